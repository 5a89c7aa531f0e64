//! Files that have gone: which of them are let go of, and what is remembered.

use std::collections::HashMap;

use weir_runtime::batch::Partition;

use super::{FileId, Files, Phase, Search};

/// So many files that have gone are remembered, so that a packed copy of one is known.
pub(super) const GONE_MAX: usize = 10_000;

/// So many looks, one after the other, find whatever is there: a look may miss a file that is renamed while its
/// directory is looked through.
pub(in super::super) const SCANS_TO_FIND_ALL: u64 = 3;

impl Files {
    /// Lets go of files that have gone and of which nothing is under way; remembers them, within a bound.
    /// Gives back the copies that no longer have to wait for one of them.
    pub(in super::super) fn prune(&mut self) -> Vec<FileId> {
        let gone: Vec<FileId> = self
            .all
            .iter()
            .filter(|(_, file)| {
                let may_have_more = file.has_partial_line() || file.search == Search::Failed;
                let waits = file.due.is_some() || file.phase == Phase::Reading && may_have_more;
                let is_idle = file.content.is_none() && file.marks.is_empty() && !file.queued && !waits;
                file.gone_since.is_some() && is_idle
            })
            .map(|(id, _)| *id)
            .collect();
        let mut partitions = HashMap::new();
        for id in gone {
            let Some(file) = self.all.remove(&id) else { continue };
            self.lost_unidentified |= file.may_be_any();
            if self.by_key.get(&file.key) == Some(&id) {
                self.by_key.remove(&file.key);
            }
            if let Some(partition) = file.text.as_ref().and_then(|text| text.partition.clone())
                && self.by_partition.get(&partition) == Some(&id)
            {
                self.by_partition.remove(&partition);
            }
            if let Some(known) = file.remember() {
                partitions.insert(id, Partition::new(known.partition.clone()));
                self.gone.push_back((file.key, known.partition.clone()));
                self.remembered.entry(file.key).or_default().push(known);
            }
        }
        while self.gone.len() > GONE_MAX {
            if let Some((key, partition)) = self.gone.pop_front() {
                self.forget_remembered(key, &partition);
            }
        }
        self.wake(&partitions)
    }

    /// Whether a file that has not been looked into was let go of since this was asked last. It may be there under
    /// another name, and have what is kept of another file's last line.
    pub(in super::super) fn take_lost_unidentified(&mut self) -> bool {
        std::mem::take(&mut self.lost_unidentified) && !weir_runtime::put_back!("copies_looked_for_once")
    }

    /// Files that earlier runs knew and that are not there any more count as gone.
    pub(in super::super) fn mark_absent_gone(&mut self) {
        let absent = self.remembered.iter().filter(|(key, _)| !self.by_key.contains_key(key));
        let absent = absent.flat_map(|(key, all)| all.iter().map(|known| (*key, known.partition.clone())));
        self.gone.extend(absent.collect::<Vec<_>>());
        self.copies.clear();
    }
}
