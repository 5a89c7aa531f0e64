//! The texts that are remembered: those of known files, and those of files that are gone.

use weir_runtime::batch::Partition;
use weir_runtime::source::DeliveredThrough;

use super::super::identity::{Key, PartitionName};
use super::super::positions::{Downstream, Memory, RememberedFile};
use super::super::text::Knowledge;
use super::{FileId, Files};

impl Files {
    /// Returns what is known of the texts that a new file may hold.
    pub(in super::super) fn knowledge(&self, id: FileId) -> Option<Knowledge> {
        let file = self.all.get(&id)?;
        let (key, mut generation_min) = (file.key, file.generation_min);
        let mut remembered = self.remembered.get(&key).cloned().unwrap_or_default();
        remembered.extend(file.remembered.as_deref().cloned());
        if generation_min > 0 {
            // A restarted file holds none of the remembered texts.
            let names = remembered.drain(..).filter_map(|known| known.name());
            generation_min = names.map(|name| name.generation + 1).fold(generation_min, u32::max);
        }
        Some(Knowledge { key, remembered, generation_min, candidates: None })
    }

    /// Assigns a partition to a file: its deliveries belong to the file from now on, and it is no longer remembered
    /// separately.
    pub(in super::super) fn name(&mut self, id: FileId, partition: &Partition) {
        let Some(key) = self.detach_earlier(id, Some(partition)) else { return };
        if self.by_partition.insert(partition.clone(), id).is_none() {
            self.forget_everywhere(key, partition.name());
            self.mark_others_gone(key);
        }
    }

    /// Once a file is identified, keeps its remembered state separately if that is another text, since copies of that
    /// text may still be found. Returns the file's key.
    pub(in super::super) fn detach_earlier(&mut self, id: FileId, now: Option<&Partition>) -> Option<Key> {
        let file = self.get(id)?;
        let (key, before) = (file.key, file.remembered.take());
        let before = before.filter(|before| now.is_none_or(|now| before.partition != now.name()));
        if let Some(before) = before {
            self.remembered.entry(key).or_default().push(*before);
            self.unsaved.note_others();
        }
        Some(key)
    }

    fn forget_everywhere(&mut self, key: Key, partition: &str) {
        let named = partition.parse::<PartitionName>().map_or(key, |name| name.key);
        self.forget_remembered(key, partition);
        self.forget_remembered(named, partition);
        if named != key {
            // An earlier run may have read the partition from another copy.
            let has = |all: &Vec<RememberedFile>| all.iter().any(|known| known.partition == partition);
            let elsewhere = self.remembered.iter().find(|(_, all)| has(all)).map(|(key, _)| *key);
            elsewhere.into_iter().for_each(|key| self.forget_remembered(key, partition));
        }
    }

    /// Once a file is identified, marks all other remembered texts with its key as gone.
    fn mark_others_gone(&mut self, key: Key) {
        for known in self.remembered.get(&key).into_iter().flatten() {
            let gone = (key, known.partition.clone());
            if !self.gone.contains(&gone) {
                self.gone.push_back(gone);
            }
        }
    }

    pub(super) fn forget_remembered(&mut self, key: Key, partition: &str) {
        if let Some(known) = self.remembered.get_mut(&key) {
            self.unsaved.note_others();
            known.retain(|known| known.partition != partition);
            if known.is_empty() {
                self.remembered.remove(&key);
            }
        }
    }

    /// Records that everything before this position of the partition is delivered. Returns the file, if it is known.
    pub(in super::super) fn deliver(
        &mut self,
        partition: &Partition,
        through: DeliveredThrough,
    ) -> Option<FileId> {
        let Some(id) = self.id_of_partition(partition) else {
            self.deliver_remembered(partition, through);
            return None;
        };
        let file = self.get(id)?;
        (file.delivered, file.unconfirmed) = (through.max(file.delivered), false);
        if let Some(hash) = file.pending_hashes.deliver(through.position()) {
            file.delivered_hash = Some(hash);
        }
        Some(id)
    }

    /// Records a delivery of events that an earlier run has put, for a file that is not identified yet.
    fn deliver_remembered(&mut self, partition: &Partition, through: DeliveredThrough) {
        let Ok(name) = partition.name().parse::<PartitionName>() else { return };
        let is_it = |known: &&mut RememberedFile| known.partition == partition.name();
        let at_its_place = self.remembered.get_mut(&name.key).and_then(|all| all.iter_mut().find(is_it));
        let known = match at_its_place {
            Some(known) => Some(known),
            // The partition was read from a copy, so it is remembered under the copy's key.
            None => self.remembered.values_mut().flatten().find(is_it),
        };
        if let Some(known) = known {
            known.position = through.max(known.position);
            self.unsaved.note_others();
        }
    }

    /// Returns the state of all files that has to be known after a restart.
    pub(in super::super) fn remember(&self) -> Memory {
        let tracked = self.all.values().filter_map(|file| file.remember());
        let files = tracked.chain(self.remembered.values().flatten().cloned()).collect();
        let copies =
            self.all.values().filter_map(|file| file.remembered_copy()).chain(self.copies.values().cloned());
        Memory { files, copies: copies.collect(), downstream: Downstream::default() }
    }
}
