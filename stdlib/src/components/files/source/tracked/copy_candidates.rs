//! Compressed copies: the candidates for their originals, and the files for which they wait.

use std::collections::HashMap;
use std::path::PathBuf;

use weir_runtime::batch::Partition;

use super::super::content::Content;
use super::super::copies::{CopyCandidates, KnownText, ReadableFile, ReadableText, may_match};
use super::super::identity::{Key, PartitionName};
use super::super::positions::{RememberedCopy, RememberedFile};
use super::{AwaitedOriginal, CopyOf, FileId, Files, Phase, Tracked};

impl Tracked {
    /// Returns its partition, if it has one.
    fn partition(&self) -> Option<Partition> {
        match (&self.text, &self.remembered) {
            (Some(text), _) => text.partition.clone(),
            (None, known) => known.as_ref().map(|known| Partition::new(known.partition.clone())),
        }
    }

    /// Returns the state of a copy that has to be known after a restart.
    pub(super) fn remembered_copy(&self) -> Option<RememberedCopy> {
        let CopyOf { partition, done } = self.copy.as_ref()?;
        let partition = partition.name().to_string();
        Some(RememberedCopy { key: self.key, stamp: self.stamp, partition, done: *done })
    }

    /// Adds this file to the candidates for the original of a text with this beginning, if it may be the original.
    fn add_candidate(&self, id: FileId, beginning: &[u8], follow: bool, candidates: &mut CopyCandidates) {
        let (head, compressed, is_copy) = match (&self.text, &self.remembered) {
            (Some(text), _) => (text.head, text.is_compressed(), text.is_copy()),
            (None, Some(known)) => (known.head, known.compressed, known.copy.is_some()),
            (None, None) => return,
        };
        // If the copy is shorter than the original's hashed head, only a comparison can decide.
        let shorter = follow && beginning.len() < head.length;
        if !(shorter || may_match(head, beginning)) || !may_have_copies(compressed, is_copy, follow) {
            return;
        }
        let text = match (&self.content, self.gone_since, self.phase) {
            (_, _, Phase::Quarantined) => None,
            (Some(Content::Plain(file)), _, _) => file.again().ok().map(ReadableText::Open),
            (_, None, _) => Some(ReadableText::At { path: self.path.clone(), key: self.key, compressed }),
            (_, Some(_), _) => None,
        };
        let read = self.text.as_ref().and_then(|text| {
            let consumed = text.reader.hash.current();
            KnownText::new(text.partition.clone()?, consumed.through, Some(consumed), Some(id))
        });
        // The file is gone, and was not identified since it changed.
        let unread = self.remembered.as_deref().filter(|_| self.text.is_none());
        if let Some(text) = text {
            candidates.readable_files.push(ReadableFile { id, text });
            candidates.read_texts.extend(read);
            // The path may belong to another file by now.
            let known = self.remembered.as_deref().filter(|_| self.phase == Phase::New);
            let reader = self.is_unidentified().then_some(id);
            candidates.known_texts.extend(known.and_then(|known| KnownText::of_remembered(known, reader)));
        } else {
            let unread = unread.filter(|_| !weir_runtime::put_back!("gone_originals_forgotten"));
            candidates.known_texts.extend(read.or_else(|| KnownText::of_remembered(unread?, Some(id))));
        }
    }
}

/// Returns whether a file may be the original of compressed copies. A complete file that was compressed from the start
/// is not an original, although another file may have the same text.
fn may_have_copies(compressed: bool, is_copy: bool, follow: bool) -> bool {
    !compressed || is_copy || follow
}

impl Files {
    /// Returns the candidates for the original of a compressed text with this beginning.
    pub(in super::super) fn candidates(&self, id: FileId, beginning: &[u8], follow: bool) -> CopyCandidates {
        let mut candidates = CopyCandidates { grow: follow, ..CopyCandidates::default() };
        for (other, file) in self.all.iter().filter(|(other, _)| **other != id) {
            file.add_candidate(*other, beginning, follow, &mut candidates);
        }
        for known in self.remembered.values().flatten() {
            if may_match(known.head, beginning)
                && may_have_copies(known.compressed, known.copy.is_some(), follow)
            {
                let reader = self.unidentified_holder(known).filter(|reader| *reader != id);
                candidates.known_texts.extend(KnownText::of_remembered(known, reader));
            }
        }
        candidates.copy_of = self.all.get(&id).and_then(|file| file.copy.as_ref()).and_then(|copy| {
            let all = self.remembered.values().flatten();
            let known = all.into_iter().find(|known| known.partition == copy.partition.name())?;
            Some((copy.partition.clone(), known.position.position()))
        });
        candidates
    }

    /// Returns the unidentified file that may hold this remembered text.
    fn unidentified_holder(&self, known: &RememberedFile) -> Option<FileId> {
        let key = known.copy.or_else(|| known.name().map(|name| name.key))?;
        let id = *self.by_key.get(&key)?;
        self.all.get(&id).is_some_and(|file| file.is_unidentified()).then_some(id)
    }

    /// Restores the origin that an earlier run has found for an unchanged copy. Returns whether the copy is finished,
    /// so that it need not be read.
    pub(super) fn restore_copy(&mut self, id: FileId, resting: bool) -> bool {
        let Some(file) = self.all.get_mut(&id) else { return false };
        self.unsaved.note_others();
        let Some(copied) = self.copies.remove(&file.key).filter(|copied| copied.stamp == file.stamp) else {
            return false;
        };
        file.copy = Some(CopyOf { partition: Partition::new(copied.partition), done: copied.done });
        let is_finished = copied.done && resting;
        if is_finished {
            file.phase = Phase::Resting;
        }
        is_finished
    }

    /// Makes a known copy wait for the file that brings its text, and returns that file; `None` if there is none.
    pub(in super::super) fn keep_waiting(&mut self, id: FileId) -> Option<FileId> {
        let copy = self.all.get(&id).and_then(|file| file.copy.clone())?;
        let owner = self.by_partition.get(&copy.partition).copied().or_else(|| {
            let named = copy.partition.name().parse::<PartitionName>().ok()?;
            let owner = *self.by_key.get(&named.key)?;
            let rests = self.all.get(&owner)?.partition().as_ref() == Some(&copy.partition);
            let remembered = self.remembered.get(&named.key).into_iter().flatten();
            let unidentified = remembered.into_iter().any(|known| known.partition == copy.partition.name())
                && self.all.get(&owner)?.is_unidentified();
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

    /// Makes a copy wait for the file that brings its text.
    pub(in super::super) fn wait_for(&mut self, id: FileId, on: FileId) {
        let Some(other) = self.all.get(&on) else { return };
        let (unidentified, partition) = (other.is_unidentified(), other.partition());
        let Some(file) = self.get(id) else { return };
        file.awaits = Some(Box::new(AwaitedOriginal { id: on, unidentified, stamp: file.stamp }));
        file.copy = partition.map(|partition| CopyOf { partition, done: false }).or(file.copy.take());
    }

    /// Returns whether the file is a copy that waits for another file.
    pub(in super::super) fn waits(&self, id: FileId) -> bool {
        self.all.get(&id).is_some_and(|file| file.awaits.is_some())
    }

    /// Returns the compressed files that may contain this file's partial line: the copies that wait for other files, and, if
    /// nothing of the file was put, the later files that are read as texts of their own, since no hash shows their origin.
    pub(in super::super) fn holders_of_partial_line(&self, id: FileId) -> Vec<(PathBuf, Key)> {
        let text = self.all.get(&id).and_then(|file| file.text.as_ref());
        let is_unknown = text.is_some_and(|text| text.partition.is_none())
            && !weir_runtime::put_back!("unread_originals_forgotten");
        let may_hold = |other: FileId, file: &Tracked| {
            let is_later = is_unknown && other > id && file.gone_since.is_none() && file.is_compressed();
            file.awaits.is_some() || is_later
        };
        let holders = self.all.iter().filter(|(other, file)| may_hold(**other, file));
        holders.map(|(_, file)| (file.path.clone(), file.key)).collect()
    }

    /// Returns the copies that wait for this file, if it is quarantined: then it will bring nothing more of their text.
    pub(in super::super) fn copies_of_quarantined(&self, on: FileId) -> Vec<PathBuf> {
        if !self.all.get(&on).is_some_and(|file| file.phase == Phase::Quarantined) {
            return Vec::new();
        }
        let waits = |file: &Tracked| file.awaits.as_ref().is_some_and(|awaited| awaited.id == on);
        self.all.values().filter(|file| waits(file)).map(|file| file.path.clone()).collect()
    }

    /// Returns whether an unidentified file, other than the given one, may be a copy of a known file.
    pub(in super::super) fn may_have_a_copy(&self, id: Option<FileId>) -> bool {
        let others = self.all.iter().filter(|(other, _)| Some(**other) != id);
        others.map(|(_, file)| file).any(|file| file.awaits.is_none() && file.is_unidentified())
    }

    /// Marks a copy as finished: its partition was already read beyond its end.
    pub(in super::super) fn mark_copy_done(&mut self, id: FileId, partition: Partition) {
        if let Some(file) = self.get(id) {
            file.copy = Some(CopyOf { partition, done: true });
            file.phase = Phase::Resting;
        }
    }

    /// Ends the waiting of copies whose awaited file was pruned (`gone`), was identified since, or holds another text.
    /// Returns these copies, which have to be identified again.
    pub(super) fn wake_copies(&mut self, gone: &HashMap<FileId, Partition>) -> Vec<FileId> {
        let waiting: Vec<(FileId, AwaitedOriginal)> =
            self.all.iter().filter_map(|(id, file)| Some((*id, **file.awaits.as_ref()?))).collect();
        let mut woken = Vec::new();
        for (id, AwaitedOriginal { id: on, unidentified, stamp }) in waiting {
            let brings = self.all.get(&on).map(|other| (other.is_unidentified(), other.partition()));
            let Some(file) = self.get(id) else { continue };
            if let Some((is_unidentified, partition)) = brings {
                let copy = partition.map(|partition| CopyOf { partition, done: false });
                let another = file.copy.is_some() && copy.is_some() && file.copy != copy;
                if !another && (is_unidentified || !unidentified) {
                    file.copy = file.copy.take().or(copy.filter(|_| file.stamp == stamp));
                    continue;
                }
            }
            file.awaits = None;
            if let Some(partition) = gone.get(&on).filter(|_| file.stamp == stamp) {
                file.copy = Some(CopyOf { partition: partition.clone(), done: false });
            }
            woken.push(id);
        }
        woken
    }
}
