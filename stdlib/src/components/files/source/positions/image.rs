//! The content of the file of positions in memory. Only what has changed is encoded anew for a save.

use std::collections::BTreeMap;

use xxhash_rust::xxh3::xxh3_64;

use super::{Downstream, Memory, RememberedCopy, RememberedFile, format};

/// The JSON of a file, and its checksum.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) json: Box<[u8]>,
    pub(super) sum: u64,
}

/// What has changed since the last save.
#[derive(Debug)]
pub(in crate::components) struct NewPositions {
    pub(in super::super) files: Vec<ChangedFile>,
    /// All texts and copies that belong to no known file, if any of them has changed.
    pub(in super::super) others: Option<(Vec<RememberedFile>, Vec<RememberedCopy>)>,
    pub(in super::super) downstream: Downstream,
}

/// The present state of a known file, which may have changed.
#[derive(Debug)]
pub(in super::super) struct ChangedFile {
    /// The file's number, which it has for one run.
    pub(in super::super) number: u64,
    /// `None` if there is nothing to be known of it after a restart.
    pub(in super::super) file: Option<RememberedFile>,
    /// `None` if it is no copy.
    pub(in super::super) copy: Option<RememberedCopy>,
}

/// The entries of the file of positions, encoded.
#[derive(Debug, Default)]
pub(in crate::components) struct Image {
    /// The known files, by their numbers.
    files: BTreeMap<u64, Entry>,
    /// The known files that are copies, by their numbers.
    copies: BTreeMap<u64, Box<[u8]>>,
    /// The texts that belong to no known file.
    other_files: Vec<Entry>,
    /// The copies that belong to no known file.
    other_copies: Vec<Box<[u8]>>,
    downstream: Downstream,
}

impl NewPositions {
    /// Returns a complete state, of which nothing was saved before.
    pub(in super::super) fn all(memory: Memory) -> NewPositions {
        let Memory { files, copies, downstream } = memory;
        NewPositions { files: Vec::new(), others: Some((files, copies)), downstream }
    }
}

impl Entry {
    fn of(file: &RememberedFile) -> serde_json::Result<Entry> {
        assert_eq!(file.contradiction(), None, "a position that could not be read back");
        let json = encode(file)?;
        Ok(Entry { sum: xxh3_64(&json), json })
    }
}

impl Image {
    /// Encodes what has changed.
    ///
    /// # Errors
    /// When something has no representation in JSON.
    pub(super) fn apply(&mut self, changes: &NewPositions) -> serde_json::Result<()> {
        for ChangedFile { number, file, copy } in &changes.files {
            match file {
                Some(file) => drop(self.files.insert(*number, Entry::of(file)?)),
                None => drop(self.files.remove(number)),
            }
            match copy {
                Some(copy) => drop(self.copies.insert(*number, encode(copy)?)),
                None => drop(self.copies.remove(number)),
            }
        }
        if let Some((files, copies)) = &changes.others {
            self.replace_others(files, copies)?;
        }
        self.downstream.clone_from(&changes.downstream);
        Ok(())
    }

    fn replace_others(
        &mut self,
        files: &[RememberedFile],
        copies: &[RememberedCopy],
    ) -> serde_json::Result<()> {
        self.other_files = files.iter().map(Entry::of).collect::<Result<_, _>>()?;
        self.other_copies = copies.iter().map(encode).collect::<Result<_, _>>()?;
        Ok(())
    }

    /// Returns the text of the file of positions.
    ///
    /// # Errors
    /// When something has no representation in JSON.
    pub(in super::super) fn text(&self) -> serde_json::Result<Vec<u8>> {
        let files: Vec<&Entry> = self.files.values().chain(&self.other_files).collect();
        let copies: Vec<&[u8]> = self.copies.values().chain(&self.other_copies).map(|json| &**json).collect();
        format::write(&self.downstream, &files, &copies)
    }
}

#[cfg(test)]
impl Image {
    /// Checks that this is the image of a state: that each of its changes was applied. If the locks were lost, nothing was.
    pub(in super::super) fn expect(&self, memory: Memory) {
        let mut expected = Image::default();
        expected.apply(&NewPositions::all(memory)).unwrap();
        let lines = |image: &Image| {
            let text = String::from_utf8(image.text().unwrap()).unwrap();
            text.lines().skip(2).map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(lines(self), lines(&expected), "a change was not noted");
    }
}

fn encode(value: &impl serde::Serialize) -> serde_json::Result<Box<[u8]>> {
    Ok(serde_json::to_vec(value)?.into_boxed_slice())
}
