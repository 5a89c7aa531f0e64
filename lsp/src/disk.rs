//! Access to the files that the editor has not opened.

use std::collections::BTreeMap;

use weir_compiler::{Library, Options, SourceFiles};

/// The files of the machine, as the server needs them. Names are absolute paths with `/`.
pub trait Disk: SourceFiles {
    /// Returns the names of the `.flow` files in a folder and its subfolders, sorted; at most `most` of them.
    fn programs(&self, folder: &str, most: usize) -> Vec<String>;

    /// Returns the names of the files and subfolders of a folder, sorted; the names of folders end with `/`.
    fn entries(&self, folder: &str) -> Vec<String>;

    /// Writes texts as read-only files into a folder that only this version of Weir uses, unless they are there already.
    /// Returns the name of the folder; `None` if the folder can't be written.
    fn materialize(&self, texts: &[(&str, &str)]) -> Option<String>;

    /// Runs a test of a program, and returns the result in words; `None` if this server runs no tests. It has to take a second at
    /// most, since no other request is answered meanwhile.
    fn run_test(&self, _test: &RequestedTest<'_>) -> Option<String> {
        None
    }
}

/// A test that an editor asks to run.
pub struct RequestedTest<'r> {
    /// The name of the program's file.
    pub entry: &'r str,
    /// The texts of the program's files, as the editor has them.
    pub texts: BTreeMap<String, String>,
    /// The test's title.
    pub title: &'r str,
    /// The library.
    pub library: &'r Library,
    /// The values of params.
    pub options: Options,
}
