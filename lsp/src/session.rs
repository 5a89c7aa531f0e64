//! The state of a connection: documents, programs, and what the client has said about itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use gen_lsp_types::SemanticToken;
use weir_compiler::{Analysis, Library, Options, SourceFiles, analyse};

use crate::capabilities::Client;
use crate::disk::{Disk, MissedPart};
use crate::documents::Documents;
use crate::library_documents::LibraryDocuments;
use crate::places::{Places, View};
use crate::programs::{Program, Programs, Texts};
use crate::publishing;
use crate::settings::Settings;
use crate::uris;

/// The most programs of a workspace, since each analysis takes about fifty times the memory of its text. Further files are
/// checked only while they are open.
pub(crate) const PROGRAMS_MAX: usize = 2_000;

/// The state of a connection.
pub(crate) struct Session<'s> {
    pub(crate) client: Client,
    pub(crate) library: Arc<Library>,
    pub(crate) library_documents: LibraryDocuments,
    pub(crate) disk: &'s dyn Disk,
    /// The environment variables of the server.
    environment: BTreeMap<String, String>,
    settings: Settings,
    pub(crate) documents: Documents,
    pub(crate) programs: Programs,
    /// The folders of the workspace.
    roots: Vec<String>,
    /// The files whose diagnostics may differ from those that the client has.
    unpublished: BTreeSet<String>,
    /// The analysis of an empty program, which has the library's definitions.
    empty: Option<Arc<Analysis>>,
    /// The last semantic tokens of open documents, each with the identity of the result.
    tokens: HashMap<String, (String, Vec<SemanticToken>)>,
}

impl<'s> Session<'s> {
    pub(crate) fn new(
        client: Client,
        library: Library,
        disk: &'s dyn Disk,
        environment: BTreeMap<String, String>,
    ) -> Session<'s> {
        let library_documents = LibraryDocuments::new(&library, disk, client.asks_for_content);
        Session {
            client,
            library: Arc::new(library),
            library_documents,
            disk,
            environment,
            settings: Settings::default(),
            documents: Documents::default(),
            programs: Programs::default(),
            roots: Vec::new(),
            unpublished: BTreeSet::new(),
            empty: None,
            tokens: HashMap::new(),
        }
    }

    /// Changes the settings. Returns whether they are others than before.
    pub(crate) fn set(&mut self, settings: Settings) -> bool {
        let changed = settings != self.settings;
        if changed {
            self.settings = settings;
            self.programs.all_changed();
            if !self.settings.coverage {
                let entries: Vec<String> = self.programs.iter().map(|(entry, _)| entry.to_owned()).collect();
                for entry in entries {
                    self.unpublished.extend(self.programs.set_missed(&entry, BTreeMap::new()));
                }
            }
        }
        changed
    }

    /// Adds a folder to the workspace, with its programs.
    pub(crate) fn add_root(&mut self, folder: String) {
        let left = PROGRAMS_MAX.saturating_sub(self.programs.len());
        for name in self.disk.programs(&folder, left) {
            if !self.is_of_library(&name) {
                self.programs.add(&name);
            }
        }
        if !self.roots.contains(&folder) {
            self.roots.push(folder);
        }
    }

    /// Removes a folder from the workspace.
    pub(crate) fn remove_root(&mut self, folder: &str) {
        self.roots.retain(|root| root != folder);
        self.remove_programs(|session, entry| !session.is_wanted(entry));
    }

    /// Removes the programs that fulfil a condition.
    fn remove_programs(&mut self, is_gone: impl Fn(&Session<'s>, &str) -> bool) {
        let entries = self.programs.iter().map(|(entry, _)| entry.to_owned());
        let gone: Vec<String> = entries.filter(|entry| is_gone(self, entry)).collect();
        for entry in gone {
            self.remove_program(&entry);
        }
    }

    /// Removes a program.
    pub(crate) fn remove_program(&mut self, entry: &str) {
        self.unpublished.extend(self.programs.remove(entry));
        self.unpublished.insert(entry.to_owned());
    }

    /// Returns the files whose diagnostics have to be compared with those that the client has. A file whose own program is
    /// not checked with the current text has to wait.
    pub(crate) fn take_unpublished(&mut self) -> Vec<String> {
        let all = std::mem::take(&mut self.unpublished);
        let is_stale = |file: &String| self.programs.get(file).is_some_and(|program| program.stale);
        let (waiting, ready): (BTreeSet<String>, BTreeSet<String>) = all.into_iter().partition(is_stale);
        self.unpublished = waiting;
        ready.into_iter().collect()
    }

    /// Returns whether a file is a program of the workspace or an open document.
    pub(crate) fn is_wanted(&self, name: &str) -> bool {
        self.documents.get(name).is_some() || self.roots.iter().any(|root| uris::is_in(name, root))
    }

    /// Returns whether a file is of the library, which is no program.
    fn is_of_library(&self, name: &str) -> bool {
        self.library_documents.name(&uris::uri(name)).is_some()
    }

    /// Notes that a file or folder on the disk was created, changed or deleted.
    pub(crate) fn changed_on_disk(&mut self, name: &str, deleted: bool) {
        if self.documents.get(name).is_some() {
            return;
        }
        self.programs.changed(name);
        if deleted {
            let is_gone = |session: &Session<'_>, entry: &str| {
                (entry == name || uris::is_in(entry, name)) && session.documents.get(entry).is_none()
            };
            return self.remove_programs(is_gone);
        }
        let is_program = name.ends_with(".flow") && !self.is_of_library(name);
        if is_program && self.is_wanted(name) && self.programs.len() < PROGRAMS_MAX {
            self.programs.add(name);
        }
    }

    pub(crate) fn options(&self) -> Options {
        self.settings.options(&self.environment)
    }

    /// Checks a program if one of its files has changed.
    pub(crate) fn refresh(&mut self, entry: &str) {
        if self.programs.get(entry).is_none_or(|program| !program.stale) {
            return;
        }
        let options = self.options();
        let texts = Texts::new(&self.documents, self.disk);
        let analysis = Arc::new(analyse(&texts, entry, &self.library, &options));
        let reads = texts.reads();
        let places = self.places(&analysis);
        let diagnostics = publishing::by_file(&analysis, &places, entry, &self.client);
        let analysis = Some(analysis);
        let program = Program { analysis, reads, diagnostics, ..Program::default() };
        self.checked(entry, program);
    }

    /// Stores the result of a check.
    pub(crate) fn checked(&mut self, entry: &str, program: Program) {
        self.unpublished.extend(self.programs.checked(entry, program));
    }

    /// Marks what the tests of a program have not reached, unless the program has other texts by now or nobody wants to see it. Returns
    /// whether marks may have changed.
    pub(crate) fn note_missed(
        &mut self,
        entry: &str,
        reads: &BTreeMap<String, Option<u64>>,
        missed: &[MissedPart],
    ) -> bool {
        let Some(program) = self.programs.get(entry) else { return false };
        let is_same = reads.iter().all(|(name, hash)| program.reads.get(name) == Some(hash));
        let Some(analysis) = program.analysis.clone().filter(|_| is_same && self.settings.coverage) else {
            return false;
        };
        let mut marks = publishing::marks(&analysis, &self.places(&analysis), missed, &self.client);
        // The tests of other programs may reach parts of the files that this one imports.
        marks.retain(|file, _| *file == *entry);
        self.unpublished.extend(self.programs.set_missed(entry, marks));
        true
    }

    /// Checks every program whose files have changed.
    pub(crate) fn refresh_all(&mut self) {
        while let Some(entry) = self.programs.next_stale(&self.documents) {
            self.refresh(&entry);
        }
    }

    /// Returns the translation of an analysis' places.
    pub(crate) fn places(&self, analysis: &Arc<Analysis>) -> Places {
        let base = self.library_documents.base.clone();
        Places::new(analysis.clone(), self.library.clone(), base, self.client.encoding)
    }

    /// Returns the file of a document in its own program, checked with its current text; for a document of the library,
    /// the file of the library. `None` for an unknown document.
    pub(crate) fn view(&mut self, uri: &str) -> Option<View> {
        if let Some(name) = self.library_documents.name(uri) {
            let name = name.to_owned();
            return self.library_view(&name);
        }
        let name = uris::name(uri);
        self.refresh(&name);
        self.view_in(&name, &name)
    }

    /// Returns a file as the last check of a program has seen it; `None` if the program does not read it.
    pub(crate) fn view_in(&self, entry: &str, name: &str) -> Option<View> {
        let analysis = self.programs.get(entry)?.analysis.clone()?;
        let file = analysis.file_named(name)?;
        let places = self.places(&analysis);
        Some(View { name: name.to_owned(), analysis, file, places, library: self.library.clone() })
    }

    /// Returns the views of a file in all programs that read it, its own program first, all checked.
    pub(crate) fn views(&mut self, uri: &str) -> Vec<View> {
        if self.library_documents.name(uri).is_some() {
            return self.view(uri).into_iter().collect();
        }
        let name = uris::name(uri);
        self.refresh_all();
        let readers = self.programs.readers(&name);
        readers.iter().filter_map(|entry| self.view_in(entry, &name)).collect()
    }

    fn library_view(&mut self, name: &str) -> Option<View> {
        let file = self.library.files().iter().position(|file| file.name == name)?;
        let file = weir_grammar::FileId(file as u32);
        let library = self.library.clone();
        let empty =
            self.empty.get_or_insert_with(|| Arc::new(analyse(&("", ""), "", &library, &Options::default())));
        let analysis = empty.clone();
        let places = self.places(&analysis);
        Some(View { name: name.to_owned(), analysis, file, places, library })
    }

    /// Analyses a program with other texts of some files.
    pub(crate) fn analyse_with(&self, entry: &str, texts: &HashMap<String, String>) -> Analysis {
        let texts = Texts::new(&self.documents, self.disk).with(texts);
        analyse(&texts, entry, &self.library, &self.options())
    }

    /// Remembers the semantic tokens of a document. Returns the identity of this result.
    pub(crate) fn remember_tokens(&mut self, uri: &str, hash: u64, tokens: &[SemanticToken]) -> String {
        let result = format!("{hash:016x}");
        if self.documents.get(&uris::name(uri)).is_some() {
            self.tokens.insert(uris::name(uri), (result.clone(), tokens.to_vec()));
        }
        result
    }

    /// Returns the semantic tokens of an earlier result, if they are the last ones that the client got.
    pub(crate) fn remembered_tokens(&self, uri: &str, result: &str) -> Option<Vec<SemanticToken>> {
        let (last, tokens) = self.tokens.get(&uris::name(uri))?;
        (last == result).then(|| tokens.clone())
    }

    /// Forgets what is known about a document that was closed.
    pub(crate) fn forget(&mut self, name: &str) {
        self.tokens.remove(name);
    }

    /// Returns the access to texts that checks use.
    pub(crate) fn texts(&self) -> impl SourceFiles + '_ {
        Texts::new(&self.documents, self.disk)
    }
}
