//! Prunes files that are gone, and remembers their texts.

use std::collections::HashMap;

use weir_runtime::batch::Partition;

use super::{FileId, Files, Phase, Search};

/// The most texts of gone files that are remembered, so that their compressed copies are recognised.
pub(super) const GONE_MAX: usize = 10_000;

/// The number of consecutive scans that find every existing file: one scan may miss a file that is renamed while its
/// directory is read.
pub(in super::super) const SCANS_TO_FIND_ALL: u64 = 3;

impl Files {
    /// Removes files that are gone and have nothing in flight; remembers their texts, at most [`GONE_MAX`]. Returns the
    /// copies that need no longer wait for one of them.
    pub(in super::super) fn prune(&mut self) -> Vec<FileId> {
        let gone: Vec<FileId> = self
            .all
            .iter()
            .filter(|(_, file)| {
                let may_have_more = file.has_partial_line() || file.search == Search::Failed;
                let waits = file.due.is_some() || file.phase == Phase::Reading && may_have_more;
                let is_idle =
                    file.content.is_none() && file.pending_hashes.is_empty() && !file.queued && !waits;
                file.gone_since.is_some() && is_idle
            })
            .map(|(id, _)| *id)
            .collect();
        let mut partitions = HashMap::new();
        for id in gone {
            let Some(file) = self.all.remove(&id) else { continue };
            self.unsaved.note(id);
            self.lost_unidentified |= file.is_unidentified();
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
                self.unsaved.note_others();
            }
        }
        while self.gone.len() > GONE_MAX {
            if let Some((key, partition)) = self.gone.pop_front() {
                self.forget_remembered(key, &partition);
            }
        }
        self.wake_copies(&partitions)
    }

    /// Returns, and resets, whether a file was pruned before it was identified. It may exist under another name, and
    /// contain the partial line of another file.
    pub(in super::super) fn take_lost_unidentified(&mut self) -> bool {
        std::mem::take(&mut self.lost_unidentified) && !weir_runtime::put_back!("copies_looked_for_once")
    }

    /// Marks the files of earlier runs that no scan has found as gone.
    pub(in super::super) fn mark_absent_gone(&mut self) {
        let absent = self.remembered.iter().filter(|(key, _)| !self.by_key.contains_key(key));
        let absent = absent.flat_map(|(key, all)| all.iter().map(|known| (*key, known.partition.clone())));
        self.gone.extend(absent.collect::<Vec<_>>());
        self.copies.clear();
        self.unsaved.note_others();
    }
}
