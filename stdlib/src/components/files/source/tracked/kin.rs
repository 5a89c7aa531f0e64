//! Packed files and what they are copies of.

use std::collections::HashMap;
use std::path::PathBuf;

use weir_runtime::batch::Partition;

use super::super::content::Content;
use super::super::copies::{Ancestor, Kin, Neighbour, NeighbourText, may_be};
use super::super::identity::{Key, Name};
use super::super::positions::{RememberedCopy, RememberedFile};
use super::{CopyOf, FileId, Files, Phase, Tracked, Waits};

impl Tracked {
    /// The name of its text, if it has one.
    fn partition(&self) -> Option<Partition> {
        match (&self.text, &self.remembered) {
            (Some(text), _) => text.partition.clone(),
            (None, known) => known.as_ref().map(|known| Partition::new(known.partition.clone())),
        }
    }

    /// What has to be known after a restart of a file that is a copy of another.
    pub(super) fn copied(&self) -> Option<RememberedCopy> {
        let CopyOf { partition, done } = self.copy.as_ref()?;
        let partition = partition.name().to_string();
        Some(RememberedCopy { key: self.key, stamp: self.stamp, partition, done: *done })
    }

    /// Adds what a text with this beginning may have of the file.
    fn add_to(&self, id: FileId, beginning: &[u8], follow: bool, kin: &mut Kin) {
        let (head, packed, is_copy) = match (&self.text, &self.remembered) {
            (Some(text), _) => (text.head, text.is_packed(), text.is_copy()),
            (None, Some(known)) => (known.head, known.packed, known.copy.is_some()),
            (None, None) => return,
        };
        // A copy that is shorter than what is known of the original's beginning has to be compared.
        let shorter = follow && beginning.len() < head.length;
        if !(shorter || may_be(head, beginning)) || !may_have_copies(packed, is_copy, follow) {
            return;
        }
        let text = match (&self.content, self.gone_since, self.phase) {
            (_, _, Phase::Quarantined) => None,
            (Some(Content::Plain(file)), _, _) => file.again().ok().map(NeighbourText::Open),
            (_, None, _) => Some(NeighbourText::At { path: self.path.clone(), key: self.key, packed }),
            (_, Some(_), _) => None,
        };
        let read = self.text.as_ref().and_then(|text| {
            let consumed = text.reader.running.so_far();
            Ancestor::new(text.partition.clone()?, consumed.through, Some(consumed), Some(id))
        });
        // It has gone and was not looked into since it changed.
        let unread = self.remembered.as_deref().filter(|_| self.text.is_none());
        if let Some(text) = text {
            kin.neighbours.push(Neighbour { id, text });
            kin.read.extend(read);
            // Another file may lie there by now.
            let known = self.remembered.as_deref().filter(|_| self.phase == Phase::New);
            let reader = self.may_be_any().then_some(id);
            kin.ancestors.extend(known.and_then(|known| Ancestor::of_remembered(known, reader)));
        } else {
            let unread = unread.filter(|_| !weir_runtime::put_back!("gone_originals_forgotten"));
            kin.ancestors.extend(read.or_else(|| Ancestor::of_remembered(unread?, Some(id))));
        }
    }
}

/// Whether a packed file may be a copy of such a one. Complete files that were packed from the start stand
/// for themselves, although another may have the same text.
fn may_have_copies(packed: bool, is_copy: bool, follow: bool) -> bool {
    !packed || is_copy || follow
}

impl Files {
    /// What a packed text with this beginning may be a copy of.
    pub(in super::super) fn kin(&self, id: FileId, beginning: &[u8], follow: bool) -> Kin {
        let mut kin = Kin { grow: follow, ..Kin::default() };
        for (other, file) in self.all.iter().filter(|(other, _)| **other != id) {
            file.add_to(*other, beginning, follow, &mut kin);
        }
        for known in self.remembered.values().flatten() {
            if may_be(known.head, beginning) && may_have_copies(known.packed, known.copy.is_some(), follow) {
                let reader = self.may_lie_at(known).filter(|reader| *reader != id);
                kin.ancestors.extend(Ancestor::of_remembered(known, reader));
            }
        }
        kin.copy_of = self.all.get(&id).and_then(|file| file.copy.as_ref()).and_then(|copy| {
            let all = self.remembered.values().flatten();
            let known = all.into_iter().find(|known| known.partition == copy.partition.name())?;
            Some((copy.partition.clone(), known.position.position()))
        });
        kin
    }

    /// The file that may turn out to be what is remembered.
    fn may_lie_at(&self, known: &RememberedFile) -> Option<FileId> {
        let key = known.copy.or_else(|| known.name().map(|name| name.key))?;
        let id = *self.by_key.get(&key)?;
        self.all.get(&id).is_some_and(|file| file.may_be_any()).then_some(id)
    }

    /// Whether an earlier run has found that the file is a copy, and it is one still. If so, it is clear
    /// that it waits, or is done with.
    pub(super) fn was_copy(&mut self, id: FileId, resting: bool) -> bool {
        let Some(file) = self.all.get_mut(&id) else { return false };
        let Some(copied) = self.copies.remove(&file.key).filter(|copied| copied.stamp == file.stamp) else {
            return false;
        };
        file.copy = Some(CopyOf { partition: Partition::new(copied.partition), done: copied.done });
        let rests = copied.done && resting;
        if rests {
            file.phase = Phase::Resting;
        }
        rests
    }

    /// The file that brings what this one is known to be a copy of.
    pub(in super::super) fn keep_waiting(&mut self, id: FileId) -> Option<FileId> {
        let copy = self.all.get(&id).and_then(|file| file.copy.clone())?;
        let owner = self.by_partition.get(&copy.partition).copied().or_else(|| {
            let named = copy.partition.name().parse::<Name>().ok()?;
            let owner = *self.by_key.get(&named.key)?;
            let rests = self.all.get(&owner)?.partition().as_ref() == Some(&copy.partition);
            let remembered = self.remembered.get(&named.key).into_iter().flatten();
            let unidentified = remembered.into_iter().any(|known| known.partition == copy.partition.name())
                && self.all.get(&owner)?.may_be_any();
            (rests || unidentified).then_some(owner)
        });
        match owner.filter(|owner| *owner != id) {
            Some(owner) => {
                self.wait_for(id, owner);
                Some(owner)
            }
            None => None,
        }
    }

    /// The file is a copy of what that other one brings.
    pub(in super::super) fn wait_for(&mut self, id: FileId, on: FileId) {
        let Some(other) = self.all.get(&on) else { return };
        let (unidentified, partition) = (other.may_be_any(), other.partition());
        let Some(file) = self.all.get_mut(&id) else { return };
        file.waits = Some(Box::new(Waits { on, unidentified, stamp: file.stamp }));
        file.copy = partition.map(|partition| CopyOf { partition, done: false }).or(file.copy.take());
    }

    /// Whether the file waits for another one.
    pub(in super::super) fn waits(&self, id: FileId) -> bool {
        self.all.get(&id).is_some_and(|file| file.waits.is_some())
    }

    /// The copies that wait for other files.
    pub(in super::super) fn copies_that_wait(&self) -> Vec<(PathBuf, Key)> {
        let waiting = self.all.values().filter(|file| file.waits.is_some());
        waiting.map(|file| (file.path.clone(), file.key)).collect()
    }

    /// The copies that wait for this file, if it is set aside: it brings nothing more of what they have.
    pub(in super::super) fn copies_of_quarantined(&self, on: FileId) -> Vec<PathBuf> {
        if !self.all.get(&on).is_some_and(|file| file.phase == Phase::Quarantined) {
            return Vec::new();
        }
        let waits = |file: &Tracked| file.waits.as_ref().is_some_and(|waits| waits.on == on);
        self.all.values().filter(|file| waits(file)).map(|file| file.path.clone()).collect()
    }

    /// Whether a file other than this one, or any, may turn out to be a copy of one that is known.
    pub(in super::super) fn may_have_a_copy(&self, id: Option<FileId>) -> bool {
        let others = self.all.iter().filter(|(other, _)| Some(**other) != id);
        others.map(|(_, file)| file).any(|file| file.waits.is_none() && file.may_be_any())
    }

    /// The file is a copy of what was read beyond its end.
    pub(in super::super) fn mark_copy_done(&mut self, id: FileId, partition: Partition) {
        if let Some(file) = self.all.get_mut(&id) {
            file.copy = Some(CopyOf { partition, done: true });
            file.phase = Phase::Resting;
        }
    }

    /// The copies that have waited for one of these, or for one that is known by now.
    pub(super) fn wake(&mut self, gone: &HashMap<FileId, Partition>) -> Vec<FileId> {
        let waiting: Vec<(FileId, Waits)> =
            self.all.iter().filter_map(|(id, file)| Some((*id, **file.waits.as_ref()?))).collect();
        let mut woken = Vec::new();
        for (id, Waits { on, unidentified, stamp }) in waiting {
            let brings = self.all.get(&on).map(|other| (other.may_be_any(), other.partition()));
            let Some(file) = self.all.get_mut(&id) else { continue };
            if let Some((may_be_any, partition)) = brings {
                let copy = partition.map(|partition| CopyOf { partition, done: false });
                let another = file.copy.is_some() && copy.is_some() && file.copy != copy;
                if !another && (may_be_any || !unidentified) {
                    file.copy = file.copy.take().or(copy.filter(|_| file.stamp == stamp));
                    continue;
                }
            }
            file.waits = None;
            if let Some(partition) = gone.get(&on).filter(|_| file.stamp == stamp) {
                file.copy = Some(CopyOf { partition: partition.clone(), done: false });
            }
            woken.push(id);
        }
        woken
    }
}
