//! Compares the commits of a consumer group with the durable channels behind the source.
//!
//! A commit names the channels to which its records were delivered: a hash of each channel's location, and its
//! incarnation. A member that starts at the commit compares: a channel at the same location has lost records if it does
//! not know the incarnation, or has stored less than the group has committed. Partitions move between members, so
//! channels at other locations belong to other members and are ignored.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_runtime::batch::Partition;
use weir_runtime::channel::Incarnation;
use weir_runtime::source::DownstreamChannels;
use xxhash_rust::xxh3::xxh3_64;

/// The most channels that a commit names. By default, brokers accept metadata of 4 KiB.
const CHANNELS_MAX: usize = 40;

/// The channels that a commit names: a hash of each channel's location, and its incarnation.
pub(super) type ChannelList = Vec<(u64, Incarnation)>;

/// The durable channels behind a source.
pub(super) struct Channels {
    behind: DownstreamChannels,
    /// The name of each channel, by the hash of its location.
    names: BTreeMap<u64, Arc<str>>,
}

/// Why a member can't start at the group's commit.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Mismatch {
    /// These channels do not know the incarnation: they were deleted since, or restored from an older copy.
    UnknownIncarnation(Vec<Arc<str>>),
    /// A channel has stored fewer records than the group has committed.
    MissingRecords { channel: Arc<str>, through: u64 },
}

impl Channels {
    /// Returns the channels behind a source on the machine `host`.
    pub(super) fn new(behind: DownstreamChannels, host: &str) -> Channels {
        let hash = |location: String| xxh3_64(format!("{host}\0{location}").as_bytes());
        let locations = behind.paths().into_iter().take(CHANNELS_MAX);
        Channels { names: locations.map(|(name, location)| (hash(location), name)).collect(), behind }
    }

    /// Returns the channels and their present incarnations, for a commit.
    pub(super) fn list(&self) -> ChannelList {
        let incarnations = self.behind.incarnations();
        let named = self.names.iter().filter_map(|(hash, name)| Some((*hash, *incarnations.get(name)?)));
        named.collect()
    }

    /// Compares the group's offset in a partition with the channels that its commit names. Returns whether the commit
    /// names any of these channels.
    ///
    /// # Errors
    /// When a channel has lost records that the group has committed.
    pub(super) fn compare(
        &self,
        partition: &Partition,
        committed: u64,
        commit_channels: &[(u64, Incarnation)],
    ) -> Result<bool, Mismatch> {
        let ours = commit_channels
            .iter()
            .filter_map(|(hash, incarnation)| Some((self.names.get(hash)?, *incarnation)));
        let ours: BTreeMap<Arc<str>, Incarnation> =
            ours.map(|(name, incarnation)| (name.clone(), incarnation)).collect();
        let unknown = self.behind.with_unknown_incarnation(&ours);
        compare(committed, &ours, unknown, || self.behind.stored_through(partition))
    }
}

fn compare(
    committed: u64,
    ours: &BTreeMap<Arc<str>, Incarnation>,
    unknown: Vec<Arc<str>>,
    stored: impl FnOnce() -> BTreeMap<Arc<str>, u64>,
) -> Result<bool, Mismatch> {
    if ours.is_empty() {
        return Ok(false);
    }
    if !unknown.is_empty() {
        return Err(Mismatch::UnknownIncarnation(unknown));
    }
    let missing =
        stored().into_iter().find(|(name, through)| ours.contains_key(name) && *through < committed);
    match missing {
        Some((channel, through)) => Err(Mismatch::MissingRecords { channel, through }),
        None => Ok(true),
    }
}

/// Formats channels for the metadata of a commit.
pub(super) fn format_list(channels: &ChannelList) -> String {
    let entries = channels.iter().map(|(hash, incarnation)| format!("{hash:016x}:{incarnation}"));
    entries.collect::<Vec<String>>().join(",")
}

/// Parses the channels in the metadata of a commit. Invalid entries are ignored.
pub(super) fn parse_list(list: &str) -> ChannelList {
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
    fn channels_have_stored_at_least_the_committed_records() {
        assert_eq!(compare(70, &ours(), Vec::new(), stored(70, 90)), Ok(true));
        let missing = Mismatch::MissingRecords { channel: "other".into(), through: 69 };
        assert_eq!(compare(70, &ours(), Vec::new(), stored(70, 69)), Err(missing));
    }

    #[test]
    fn a_channel_that_does_not_know_the_incarnation_is_reported() {
        let unknown = vec!["buffer".into()];
        assert_eq!(
            compare(70, &ours(), unknown.clone(), stored(90, 90)),
            Err(Mismatch::UnknownIncarnation(unknown))
        );
    }

    #[test]
    fn channels_of_other_members_are_ignored() {
        assert_eq!(compare(70, &BTreeMap::new(), Vec::new(), stored(0, 0)), Ok(false));
    }

    #[test]
    fn a_list_of_channels_is_parsed_as_it_was_formatted() {
        let channels = vec![(7, incarnation(1)), (u64::MAX, incarnation(2))];
        assert_eq!(parse_list(&format_list(&channels)), channels);
        assert_eq!(format_list(&Vec::new()), "");
        for wrong in ["", ",", "7", "7:", "x:1", ":", "7:xyz,"] {
            assert_eq!(parse_list(wrong), [], "{wrong}");
        }
    }
}
