//! Access to the files that the editor has not opened.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

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

    /// Returns what runs tests of programs; `None` if this server runs no tests.
    fn test_runner(&self) -> Option<RunTest> {
        None
    }
}

/// Runs a test, or all tests of a program, in a thread of its own. It ends early when the flag is set, and after a minute at most.
pub type RunTest = fn(&RequestedTest, &AtomicBool) -> RanTests;

/// What became of tests.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RanTests {
    /// The results in words.
    pub text: String,
    /// What the tests have not reached; none if not all tests of the program have run.
    pub missed: Option<Vec<MissedPart>>,
}

/// A part of a program that its tests have not reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissedPart {
    /// The name of the file.
    pub file: String,
    /// The first byte of the part, and the one behind it.
    pub bytes: Range<u32>,
    /// What has not happened there, in words.
    pub what: &'static str,
}

/// A test that an editor asks to run.
pub struct RequestedTest {
    /// The name of the program's file.
    pub entry: String,
    /// The texts of the program's files, as the editor has them.
    pub texts: BTreeMap<String, String>,
    /// The test's title; none to run all tests of the program.
    pub title: Option<String>,
    /// The library.
    pub library: Arc<Library>,
    /// The values of params.
    pub options: Options,
}
