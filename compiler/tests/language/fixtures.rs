//! The files of the tests, and checks of their programs.

use std::fs;
use std::path::{Path, PathBuf};

use weir_compiler::{Analysis, Fixed, Library, Options, SourceFiles, analyse, fix, render};

/// Returns the root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Returns the files below a folder with this extension, sorted. Skips folders `imported`, which hold parts of other
/// programs.
pub(crate) fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter();
    let entries = entries.filter_entry(|entry| entry.file_name() != "imported").map(Result::unwrap);
    let paths = entries.map(walkdir::DirEntry::into_path);
    paths.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

/// Returns the real library with the signatures of a further file, given by its name and text.
pub(crate) fn library_with(more: Option<(&str, &str)>) -> Library {
    let mut signatures = Vec::new();
    for path in files(&root().join("stdlib/src"), "flow") {
        let name = format!("library/{}", path.file_name().unwrap().to_string_lossy());
        signatures.push((name, fs::read_to_string(path).unwrap()));
    }
    signatures.extend(more.map(|(name, text)| (name.to_owned(), text.to_owned())));
    Library::parse(signatures)
        .unwrap_or_else(|error| panic!("{}", render::human(&error.diagnostics, &error.files, false)))
}

/// Checks a text. Its `//! set name=value` lines set the values of params.
pub(crate) fn check_with(name: &str, text: &str, library: &Library) -> Analysis {
    analyse(&(name, text), name, library, &options_in(text))
}

/// Returns the options that the `//! set name=value` lines of a program set.
pub(crate) fn options_in(text: &str) -> Options {
    let mut options = Options::default();
    for line in text.lines() {
        if let Some((name, value)) = line.strip_prefix("//! set ").and_then(|line| line.split_once('=')) {
            options.params.insert(name.to_owned(), value.to_owned());
        }
    }
    options
}

/// A program of the folders `right` and `wrong`.
#[derive(Clone)]
pub(crate) struct Fixture {
    /// The path of the program's file.
    pub(crate) path: PathBuf,
    /// The name of the file without its extension.
    pub(crate) name: String,
    /// The text of the program without its expectations.
    pub(crate) text: String,
    /// The expectations: the lines after the program with its expected diagnostics, without their `//~`.
    pub(crate) expected: Vec<String>,
}

/// The prefix of an expectation.
const EXPECTATION: &str = "//~";

impl Fixture {
    pub(crate) fn read(path: &Path) -> Fixture {
        let whole = fs::read_to_string(path).unwrap();
        let end = whole.find("\n//~").map_or(whole.len(), |line_end| line_end + 1);
        let (text, expected) = whole.split_at(end);
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let expected = expected.lines().map(|line| {
            let line = line.strip_prefix(EXPECTATION).expect("expectations stand at the end, alone");
            line.trim().to_owned()
        });
        Fixture { path: path.to_owned(), name, text: text.to_owned(), expected: expected.collect() }
    }

    /// Returns all programs of a folder of `tests/language`.
    pub(crate) fn all(folder: &str) -> Vec<Fixture> {
        let paths = files(&root().join("tests/language").join(folder), "flow");
        paths.iter().map(|path| Fixture::read(path)).collect()
    }

    /// Writes the program with new expectations.
    pub(crate) fn expect(&self, expected: &[String]) {
        let lines = expected.iter().map(|line| format!("{EXPECTATION} {line}\n"));
        let end = if self.text.ends_with('\n') { "" } else { "\n" };
        fs::write(&self.path, format!("{}{end}{}", self.text, lines.collect::<String>())).unwrap();
    }

    /// Returns the library for the program, with the signatures of `name.library` if this file exists.
    pub(crate) fn library(&self) -> Library {
        let path = self.path.with_extension("library");
        let name = path.file_name().unwrap().to_string_lossy();
        let text = fs::read_to_string(&path).ok();
        library_with(text.as_deref().map(|text| (&*name, text)))
    }

    /// Returns the name of the file in diagnostics.
    pub(crate) fn file_name(&self) -> String {
        format!("{}.flow", self.name)
    }

    /// Returns the program after the application of all fixes.
    pub(crate) fn fix(&self) -> Fixed {
        fix(self, &self.file_name(), &self.library(), &options_in(&self.text))
    }

    pub(crate) fn check(&self) -> Analysis {
        self.check_against(&self.library())
    }

    pub(crate) fn check_against(&self, library: &Library) -> Analysis {
        let mut analysis = analyse(self, &self.file_name(), library, &options_in(&self.text));
        if self.text.contains(FOR_THIS_VERSION) {
            let warnings = analysis.not_carried_out();
            analysis.diagnostics.extend(warnings);
        }
        analysis
    }
}

/// The line of a program that is checked for the parts that this version does not carry out.
const FOR_THIS_VERSION: &str = "//! Checked for this version.";

/// The program and the files that it imports.
impl SourceFiles for Fixture {
    fn read(&self, name: &str) -> Result<String, String> {
        if name == self.file_name() {
            return Ok(self.text.clone());
        }
        let path = self.path.with_file_name(name);
        fs::read_to_string(path).map_err(|_| "no such file".to_owned())
    }
}
