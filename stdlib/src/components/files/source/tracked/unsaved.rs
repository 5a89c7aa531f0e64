//! What may have changed since the positions were last saved. A save then costs as much as has changed, however many files
//! are known.

use std::collections::HashSet;

use super::super::positions::{ChangedFile, Downstream, NewPositions};
use super::{FileId, Files};

/// The parts of the state that may have changed since the last save.
#[derive(Debug, Default)]
pub(super) struct Unsaved {
    /// The known files that may have changed, pruned ones too; `None` if positions are not saved.
    files: Option<HashSet<FileId>>,
    /// Whether texts or copies that belong to no known file may have changed.
    others: bool,
}

impl Unsaved {
    /// Begins with nothing saved.
    pub(super) fn new(saves: bool) -> Unsaved {
        Unsaved { files: saves.then(HashSet::new), others: true }
    }

    /// Notes that a known file may have changed.
    pub(super) fn note(&mut self, id: FileId) {
        if let Some(files) = &mut self.files {
            files.insert(id);
        }
    }

    /// Notes that texts or copies that belong to no known file may have changed.
    pub(super) fn note_others(&mut self) {
        self.others = true;
    }
}

impl Files {
    /// Returns the changes since the last call, or since the beginning.
    pub(in super::super) fn take_unsaved(&mut self, downstream: Downstream) -> NewPositions {
        let changed = self.unsaved.files.as_mut().map(std::mem::take).unwrap_or_default();
        let files = changed.into_iter().map(|id| {
            let file = self.all.get(&id);
            let copy = file.and_then(|file| file.remembered_copy());
            ChangedFile { number: id, file: file.and_then(|file| file.remember()), copy }
        });
        let others = std::mem::take(&mut self.unsaved.others).then(|| {
            let texts = self.remembered.values().flatten().cloned().collect();
            (texts, self.copies.values().cloned().collect())
        });
        NewPositions { files: files.collect(), others, downstream }
    }

    /// Notes that nothing is saved.
    pub(in super::super) fn forget_what_is_saved(&mut self) {
        self.unsaved = Unsaved::new(self.unsaved.files.is_some());
        self.all.keys().for_each(|id| self.unsaved.note(*id));
    }
}
