//! The files of a program: the entry, and the files that it imports.

use std::collections::HashMap;

use weir_grammar::tree::{self, Import, ItemKind, Name};
use weir_grammar::{FileId, Span, join_chains, parse};

use crate::diagnostics::{Diagnostic, ImportCycle, Limit, UnreadableFile};
use crate::files::sources::{Files, SourceFiles};
use crate::files::syntax;

/// The most files of a program.
const FILES_MAX: usize = 1_000;

/// One file of a program.
#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) file: FileId,
    pub(crate) tree: tree::File,
    pub(crate) imports: Vec<Imported>,
    /// Whether an imported file could not be read, so that names are missing.
    pub(crate) broken: bool,
}

/// An import whose file was found.
#[derive(Debug)]
pub(crate) struct Imported {
    pub(crate) file: FileId,
    pub(crate) alias: Option<Name>,
    pub(crate) span: Span,
}

/// Reads the files of a program. The entry is the first module.
pub(crate) fn load(
    sources: &dyn SourceFiles,
    entry: &str,
    text: String,
    files: &mut Files,
    diagnostics: &mut Vec<Diagnostic>,
) -> Vec<Module> {
    let mut loader =
        Loader { sources, files, diagnostics, modules: Vec::new(), known: HashMap::new(), open: Vec::new() };
    loader.module(normalized(entry), text);
    loader.modules.sort_by_key(|module| module.file);
    loader.modules
}

struct Loader<'l> {
    sources: &'l dyn SourceFiles,
    files: &'l mut Files,
    diagnostics: &'l mut Vec<Diagnostic>,
    modules: Vec<Module>,
    /// The files whose reading has begun, by their normalised names.
    known: HashMap<String, FileId>,
    /// The chain of imports from the entry to the current file.
    open: Vec<String>,
}

impl Loader<'_> {
    fn module(&mut self, name: String, text: String) -> FileId {
        let file = self.files.add(name.as_str(), text.as_str());
        self.known.insert(name.clone(), file);
        let mut parsed = parse(file, &text);
        parsed.errors.extend(join_chains(&mut parsed.file, &text));
        drop(text);
        let errors = parsed.errors.into_iter().map(|error| syntax::diagnostic(error, self.files));
        self.diagnostics.extend(errors);
        let mut module = Module { file, tree: parsed.file, imports: Vec::new(), broken: false };
        self.open.push(name.clone());
        for item in &module.tree.items {
            if let ItemKind::Import(import) = &item.kind {
                match self.import(&name, import) {
                    Some(file) => {
                        let (alias, span) = (import.alias.clone(), import.path_span);
                        module.imports.push(Imported { file, alias, span });
                    }
                    None => module.broken = true,
                }
            }
        }
        self.open.pop();
        self.modules.push(module);
        file
    }

    fn import(&mut self, importer: &str, import: &Import) -> Option<FileId> {
        let name = beside(importer, &import.path);
        if let Some(place) = self.open.iter().position(|open| *open == name) {
            let mut files = self.open[place..].to_vec();
            files.push(name);
            self.diagnostics.push(ImportCycle { span: import.path_span, files }.into());
            return None;
        }
        if let Some(file) = self.known.get(&name) {
            return Some(*file);
        }
        if self.known.len() == FILES_MAX {
            let what = "files of one program".to_owned();
            self.diagnostics.push(Limit { what, limit: FILES_MAX, span: import.path_span }.into());
            return None;
        }
        match self.sources.read(&name) {
            Ok(text) => Some(self.module(name, text)),
            Err(reason) => {
                self.diagnostics.push(UnreadableFile { name, reason, span: import.path_span }.into());
                None
            }
        }
    }
}

/// Returns the name of an imported file: the path of the import, relative to the folder of the importer.
fn beside(importer: &str, path: &str) -> String {
    if path.starts_with('/') {
        return normalized(path);
    }
    match importer.rsplit_once('/') {
        Some((folder, _)) => normalized(&format!("{folder}/{path}")),
        None => normalized(path),
    }
}

/// Returns a path without `.`, and without `..` after a folder: the name of the file in diagnostics, which is the
/// same for all importers.
pub fn normalized(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "." => {}
            "" if !parts.is_empty() => {}
            ".." if parts.last().is_some_and(|last| !matches!(*last, "" | "..")) => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_found_beside_the_file_that_names_them() {
        assert_eq!(beside("flows/main.flow", "shared/types.flow"), "flows/shared/types.flow");
        assert_eq!(beside("flows/main.flow", "../types.flow"), "types.flow");
        assert_eq!(beside("main.flow", "./types.flow"), "types.flow");
        assert_eq!(beside("../main.flow", "../types.flow"), "../../types.flow");
        assert_eq!(beside("/etc/weir/main.flow", "types.flow"), "/etc/weir/types.flow");
        assert_eq!(beside("-", "types.flow"), "types.flow");
    }
}
