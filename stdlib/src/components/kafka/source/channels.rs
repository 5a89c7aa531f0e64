//! What a consumer group has committed, held against the durable channels behind the source.
//!
//! A commit of what was delivered names the channels that it was delivered to: where each is kept, as a hash,
//! and its incarnation. Whoever begins there later compares: a channel that is kept at the same place and does not
//! know the incarnation, or has stored less than the group has committed, has lost what it had. Channels of other
//! members are kept at other places and say nothing, since partitions go from member to member.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_runtime::batch::Partition;
use weir_runtime::channel::Incarnation;
use weir_runtime::source::DownstreamChannels;
use xxhash_rust::xxh3::xxh3_64;

/// Brokers take metadata of 4 KiB by default. Beyond so many channels the others say nothing.
const CHANNELS_MAX: usize = 40;

/// Channels as a commit names them: a hash of where each is kept, and its incarnation.
pub(super) type Named = Vec<(u64, Incarnation)>;

/// The durable channels behind a source.
pub(super) struct Channels {
    behind: DownstreamChannels,
    /// The name of each channel by the hash of its place.
    names: BTreeMap<u64, Arc<str>>,
}

/// What speaks against going on where the group has committed.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Disagreement {
    /// These channels were deleted since, or put back from an older copy.
    Strange(Vec<Arc<str>>),
    /// A channel has stored less than it had when the group committed.
    Less { channel: Arc<str>, through: u64 },
}

impl Channels {
    /// The channels behind a source on this machine.
    pub(super) fn new(behind: DownstreamChannels, host: &str) -> Channels {
        let hash = |place: String| xxh3_64(format!("{host}\0{place}").as_bytes());
        let names = behind.paths().into_iter().take(CHANNELS_MAX).map(|(name, place)| (hash(place), name));
        Channels { names: names.collect(), behind }
    }

    /// What goes along with a commit of what they have stored by now.
    pub(super) fn named(&self) -> Named {
        let incarnations = self.behind.incarnations();
        let named = self.names.iter().filter_map(|(hash, name)| Some((*hash, *incarnations.get(name)?)));
        named.collect()
    }

    /// Compares where the group is in a partition with what the channels know that it was delivered to. Says
    /// whether there are any of these.
    pub(super) fn judge(
        &self,
        partition: &Partition,
        committed: u64,
        named: &[(u64, Incarnation)],
    ) -> Result<bool, Disagreement> {
        let ours = named.iter().filter_map(|(hash, incarnation)| Some((self.names.get(hash)?, *incarnation)));
        let ours: BTreeMap<Arc<str>, Incarnation> =
            ours.map(|(name, incarnation)| (name.clone(), incarnation)).collect();
        let strange = self.behind.with_unknown_incarnation(&ours);
        judge(committed, &ours, strange, || self.behind.stored_through(partition))
    }
}

fn judge(
    committed: u64,
    ours: &BTreeMap<Arc<str>, Incarnation>,
    strange: Vec<Arc<str>>,
    stored: impl FnOnce() -> BTreeMap<Arc<str>, u64>,
) -> Result<bool, Disagreement> {
    if ours.is_empty() {
        return Ok(false);
    }
    if !strange.is_empty() {
        return Err(Disagreement::Strange(strange));
    }
    let less = stored().into_iter().find(|(name, through)| ours.contains_key(name) && *through < committed);
    match less {
        Some((channel, through)) => Err(Disagreement::Less { channel, through }),
        None => Ok(true),
    }
}

/// Channels as a commit's metadata lists them.
pub(super) fn list(named: &Named) -> String {
    let entries = named.iter().map(|(hash, incarnation)| format!("{hash:016x}:{incarnation}"));
    entries.collect::<Vec<String>>().join(",")
}

/// The channels of such a list.
pub(super) fn named(list: &str) -> Named {
    let entry = |entry: &str| {
        let (hash, incarnation) = entry.split_once(':')?;
        Some((u64::from_str_radix(hash, 16).ok()?, incarnation.parse().ok()?))
    };
    list.split(',').filter_map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incarnation(number: u8) -> Incarnation {
        Incarnation::from_bytes([number; 16])
    }

    fn ours() -> BTreeMap<Arc<str>, Incarnation> {
        [("buffer".into(), incarnation(1)), ("other".into(), incarnation(2))].into()
    }

    fn stored(buffer: u64, other: u64) -> impl FnOnce() -> BTreeMap<Arc<str>, u64> {
        move || [("buffer".into(), buffer), ("other".into(), other), ("later".into(), 0)].into()
    }

    #[test]
    fn a_group_is_where_the_channels_are_or_behind() {
        assert_eq!(judge(70, &ours(), Vec::new(), stored(70, 90)), Ok(true));
        let less = Disagreement::Less { channel: "other".into(), through: 69 };
        assert_eq!(judge(70, &ours(), Vec::new(), stored(70, 69)), Err(less));
    }

    #[test]
    fn a_channel_that_does_not_know_the_incarnation_is_said() {
        let strange = vec!["buffer".into()];
        assert_eq!(judge(70, &ours(), strange.clone(), stored(90, 90)), Err(Disagreement::Strange(strange)));
    }

    #[test]
    fn what_was_delivered_to_channels_of_other_members_says_nothing() {
        assert_eq!(judge(70, &BTreeMap::new(), Vec::new(), stored(0, 0)), Ok(false));
    }

    #[test]
    fn the_list_of_a_commit_is_read_as_it_was_written() {
        let channels = vec![(7, incarnation(1)), (u64::MAX, incarnation(2))];
        assert_eq!(named(&list(&channels)), channels);
        assert_eq!(list(&Vec::new()), "");
        for wrong in ["", ",", "7", "7:", "x:1", ":", "7:xyz,"] {
            assert_eq!(named(wrong), [], "{wrong}");
        }
    }
}
