//! Which durable channels the sink reads, and when: a channel whose place another one took has not had what the sink
//! was given by that one, and its sources give it again.

use std::collections::BTreeSet;

use weir_runtime::batch::Partition;

use super::{Commit, Incarnations, Ledger};
use crate::tools::arrived::{Known, Reads};

impl<F> Ledger<F> {
    /// Notes in what an entry says that its writer reads the channels of this commit.
    pub(super) fn note_reads(&self, known: &mut Known, commit: &Commit) {
        commit.adopted.iter().for_each(|partition| known.adopt(partition, self.next));
        let read: BTreeSet<&Partition> = commit.incarnations.keys().chain(&commit.adopted).collect();
        for partition in &read {
            known.read_in(partition, Reads { came: self.came(partition, &read), last: self.next });
        }
    }

    /// The entry with which a channel came that is read together with these.
    fn came(&self, partition: &Partition, read: &BTreeSet<&Partition>) -> u64 {
        let Some(reads) = self.known.reads_of(partition) else { return self.begun.unwrap_or(self.next) };
        // Until this writer has begun, it is the first to say that the channel has come back.
        match self.begun.is_none() && self.known.another_came_after(reads.last, read) {
            true => self.next,
            false => reads.came,
        }
    }

    /// Whether another channel has come since an entry has said that these are read.
    pub(super) fn is_read_beside(&self, incarnations: &Incarnations) -> bool {
        let read: BTreeSet<&Partition> = incarnations.keys().collect();
        let known = read.iter().filter_map(|partition| self.known.reads_of(partition));
        let mut known = known.filter(|reads| reads.last > 0);
        known.any(|reads| self.known.another_came_after(reads.last, &read))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use weir_runtime::channel::{Incarnation, Reached};

    use super::*;
    use crate::tools::file_writer::ledger::Settled;
    use crate::tools::file_writer::simulated::Simulated;

    /// What the ledger says of a channel behind a run of a sink that read these. New ones were accepted before, and the
    /// first of them brought an event.
    async fn run(disk: &Simulated, channels: &[&str], accepted: bool) -> impl Fn(&str) -> Reached + use<> {
        let ledger = async || {
            let (root, directory) = ("/lake".to_owned(), "/lake/.weir/shop.lake".to_owned());
            Ledger::read(Arc::new(disk.clone()), "lake".into(), root, directory, 1).await.unwrap()
        };
        let partitions: BTreeSet<Partition> = channels.iter().map(|name| Partition::new(*name)).collect();
        let mut at_work = ledger().await;
        if accepted {
            at_work.believe(&[], partitions.clone(), None).await.unwrap();
            // The agent may be killed here.
            at_work = ledger().await;
        }
        let incarnation = Incarnation::from_bytes([1; 16]);
        let incarnations: Incarnations =
            partitions.into_iter().map(|channel| (channel, incarnation)).collect();
        at_work.begin(incarnations.clone()).await.unwrap();
        let position = at_work.mark() + 1;
        let arrived = BTreeMap::from([(Partition::new(channels[0]), [position].into_iter().collect())]);
        let commit = Commit { arrived, incarnations: incarnations.clone(), ..Commit::default() };
        at_work.commit(&commit).await.unwrap();
        at_work.finish(Settled::new(), incarnations).await.unwrap();
        let reached = ledger().await.reached();
        move |channel| reached[&Partition::new(channel)]
    }

    #[tokio::test(start_paused = true)]
    async fn of_channels_in_turn_the_last_came_after_the_others_were_read() {
        let disk = Simulated::default();
        drop(run(&disk, &["first"], false).await);
        for (channel, other) in [("second", "first"), ("first", "second"), ("second", "first")] {
            let of = run(&disk, &[channel], true).await;
            assert!(of(channel).came > of(other).read, "{:?} {:?}", of(channel), of(other));
            assert!(of(channel).read >= of(channel).came);
            // Another run without an acceptance changes nothing.
            let again = run(&disk, &[channel], false).await;
            assert_eq!(again(channel).came, of(channel).came);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn channels_that_are_read_together_did_not_come_after_each_other() {
        let disk = Simulated::default();
        drop(run(&disk, &["one", "other"], false).await);
        drop(run(&disk, &["other", "one"], false).await);
        for alone in ["one", "other"] {
            let of = run(&disk, &["one", "other"], false).await;
            assert!(of("one").came <= of("other").read && of("other").came <= of("one").read);
            // One of them is no longer read, and is read again.
            drop(run(&disk, &[alone], false).await);
        }
        let of = run(&disk, &["one", "other"], false).await;
        assert!(of("one").came <= of("other").read && of("other").came <= of("one").read);
    }
}
