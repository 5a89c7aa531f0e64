//! The programs of the workspace and their analyses. Each `.flow` file is the entry of a program, as in `weir check FOLDER`.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use gen_lsp_types::Diagnostic;
use weir_compiler::{Analysis, SourceFiles};

use crate::disk::Disk;
use crate::documents::Documents;

/// A program and the result of its last check.
#[derive(Debug, Default)]
pub(crate) struct Program {
    /// The last analysis; `None` before the first check.
    pub(crate) analysis: Option<Arc<Analysis>>,
    /// The files that the last check read, each with the hash of its text; `None` for a file that could not be read.
    pub(crate) reads: BTreeMap<String, Option<u64>>,
    /// The diagnostics of the last check by the names of their files.
    pub(crate) diagnostics: BTreeMap<String, Vec<Diagnostic>>,
    /// Marks of what the tests of the program have not reached, by the names of their files.
    pub(crate) missed: BTreeMap<String, Vec<Diagnostic>>,
    /// Whether a file or an option has changed since the last check.
    pub(crate) stale: bool,
}

impl Program {
    /// The files that have diagnostics or marks.
    fn into_files(self) -> impl Iterator<Item = String> {
        self.diagnostics.into_keys().chain(self.missed.into_keys())
    }
}

/// The programs by the names of their entry files.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    all: BTreeMap<String, Program>,
    /// The names of the programs to check.
    stale: BTreeSet<String>,
}

impl Programs {
    pub(crate) fn get(&self, entry: &str) -> Option<&Program> {
        self.all.get(entry)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Program)> {
        self.all.iter().map(|(entry, program)| (entry.as_str(), program))
    }

    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Adds a program that has to be checked, unless it is known.
    pub(crate) fn add(&mut self, entry: &str) {
        if !self.all.contains_key(entry) {
            self.all.insert(entry.to_owned(), Program { stale: true, ..Program::default() });
            self.stale.insert(entry.to_owned());
        }
    }

    /// Removes a program. Returns the files that had its diagnostics.
    pub(crate) fn remove(&mut self, entry: &str) -> Vec<String> {
        self.stale.remove(entry);
        self.all.remove(entry).map(|program| program.into_files().collect()).unwrap_or_default()
    }

    /// Notes that a file has another text: the programs that read it have to be checked again, and no others.
    pub(crate) fn changed(&mut self, file: &str) {
        for (entry, program) in &mut self.all {
            if entry == file || program.reads.contains_key(file) {
                program.stale = true;
                self.stale.insert(entry.clone());
            }
        }
    }

    /// Notes that all programs have to be checked again.
    pub(crate) fn all_changed(&mut self) {
        for (entry, program) in &mut self.all {
            program.stale = true;
            self.stale.insert(entry.clone());
        }
    }

    /// Returns the next program to check: one of the open documents, or else the first by name.
    pub(crate) fn next_stale(&self, documents: &Documents) -> Option<String> {
        let open = documents.names().filter(|name| self.stale.contains(*name)).min();
        open.map(str::to_owned).or_else(|| self.stale.first().cloned())
    }

    pub(crate) fn stale_count(&self) -> usize {
        self.stale.len()
    }

    /// Stores the result of a check. Returns the files whose diagnostics may have changed. What tests have not reached stays marked as
    /// long as the texts are the same.
    pub(crate) fn checked(&mut self, entry: &str, mut program: Program) -> Vec<String> {
        self.stale.remove(entry);
        if let Some(before) = self.all.get_mut(entry).filter(|before| before.reads == program.reads) {
            program.missed = std::mem::take(&mut before.missed);
        }
        let mut files: BTreeSet<String> = program.diagnostics.keys().cloned().collect();
        files.insert(entry.to_owned());
        if let Some(before) = self.all.insert(entry.to_owned(), program) {
            files.extend(before.into_files());
        }
        files.into_iter().collect()
    }

    /// Marks what the tests of a program have not reached. Returns the files whose marks may have changed.
    pub(crate) fn set_missed(
        &mut self,
        entry: &str,
        missed: BTreeMap<String, Vec<Diagnostic>>,
    ) -> Vec<String> {
        let Some(program) = self.all.get_mut(entry) else { return Vec::new() };
        let mut files: Vec<String> = missed.keys().cloned().collect();
        files.extend(std::mem::replace(&mut program.missed, missed).into_keys());
        files
    }

    /// Returns the programs that read a file, its own program first.
    pub(crate) fn readers(&self, file: &str) -> Vec<String> {
        let own = self.all.contains_key(file).then(|| file.to_owned());
        let others =
            self.iter().filter(|(entry, program)| *entry != file && program.reads.contains_key(file));
        own.into_iter().chain(others.map(|(entry, _)| entry.to_owned())).collect()
    }
}

/// The texts of the open documents, and of the files on the disk. Notes what has been read.
pub(crate) struct Texts<'t> {
    documents: &'t Documents,
    disk: &'t dyn Disk,
    /// Texts that take the place of a file's text.
    replaced: Option<&'t HashMap<String, String>>,
    reads: RefCell<BTreeMap<String, Option<u64>>>,
}

impl<'t> Texts<'t> {
    pub(crate) fn new(documents: &'t Documents, disk: &'t dyn Disk) -> Texts<'t> {
        Texts { documents, disk, replaced: None, reads: RefCell::default() }
    }

    /// Replaces the texts of some files, by their names.
    pub(crate) fn with(self, texts: &'t HashMap<String, String>) -> Texts<'t> {
        Texts { replaced: Some(texts), ..self }
    }

    /// Returns the files that were read.
    pub(crate) fn reads(self) -> BTreeMap<String, Option<u64>> {
        self.reads.into_inner()
    }
}

impl SourceFiles for Texts<'_> {
    fn read(&self, name: &str) -> Result<String, String> {
        let replaced = self.replaced.and_then(|texts| texts.get(name));
        let text = match (replaced, self.documents.get(name)) {
            (Some(text), _) => Ok(text.clone()),
            (None, Some(document)) => Ok(document.text.clone()),
            (None, None) => self.disk.read(name),
        };
        let hash = text.as_ref().ok().map(String::as_str).map(hash_of);
        self.reads.borrow_mut().insert(name.to_owned(), hash);
        text
    }
}

/// Returns a hash that is equal for equal values of one run.
pub(crate) fn hash_of(value: &(impl Hash + ?Sized)) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
