//! Tidiness as a test: sizes, dependencies and words, over every file that git knows.
//!
//! The checks are functions from text to faults and are tested on small bad inputs, so that each is known to fail for
//! its reason.

mod arrows;
mod library;
mod rooms;
mod source;
mod words;

use std::path::PathBuf;
use std::process::Command;
use std::{fmt, fs};

use weir_tests::repository;

/// Something untidy, and where.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    path: String,
    line: usize,
    what: String,
}

impl Fault {
    fn new(path: &str, line: usize, what: impl Into<String>) -> Fault {
        Fault { path: path.to_owned(), line, what: what.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

/// Every text file that git tracks or would add, as its path in the repository and its text.
fn files() -> Vec<(String, String)> {
    let mut git = Command::new("git");
    git.current_dir(repository()).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let output = git.output().expect("git runs: this is a clone of its repository");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("the repository's file names are UTF-8");
    let names = names.split_terminator('\0').map(PathBuf::from);
    // what was deleted and not committed yet is still listed; what is no text holds no source
    let texts = names.filter_map(|name| {
        Some((name.display().to_string(), fs::read_to_string(repository().join(&name)).ok()?))
    });
    texts.collect()
}

/// Holds every file of the repository whose name `wanted` accepts against a check.
fn all_tidy(wanted: impl Fn(&str) -> bool, check: impl Fn(&str, &str) -> Vec<Fault>) {
    let files = files();
    let mut seen = 0;
    let mut faults = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| wanted(path)) {
        seen += 1;
        faults.extend(check(path, text).iter().map(Fault::to_string));
    }
    assert!(seen > 0, "there was nothing to check: the test itself is wrong");
    assert!(faults.is_empty(), "{} untidy places:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn rust_sources_are_tidy() {
    all_tidy(|path| path.ends_with(".rs"), source::check);
}

#[test]
fn dependencies_follow_the_arrows() {
    all_tidy(|path| path.ends_with("Cargo.toml") && path != "Cargo.toml", arrows::check);
}

#[test]
fn the_rooms_of_each_crate_stand_on_each_other() {
    for house in &rooms::HOUSES {
        let is_source = |path: &str| path.starts_with(house.folder) && path.ends_with(".rs");
        let files = files().into_iter().filter(|(path, _)| is_source(path)).collect();
        let faults: Vec<String> = rooms::check(house, &files).iter().map(Fault::to_string).collect();
        assert!(!files.is_empty() && faults.is_empty(), "{}", faults.join("\n"));
    }
}

#[test]
fn every_crate_is_in_the_workspace_and_has_an_arrow() {
    let root = fs::read_to_string(repository().join("Cargo.toml")).expect("the workspace has a Cargo.toml");
    let packages: Vec<String> = files().into_iter().map(|(path, _)| path).collect();
    let faults = arrows::check_members(&root, &packages);
    assert!(faults.is_empty(), "{faults:?}");
}

#[test]
fn the_library_is_documented() {
    all_tidy(|path| path.starts_with("stdlib/") && path.ends_with(".flow"), library::check);
}

#[test]
fn no_file_names_a_private_place() {
    // the lock file's form is cargo's own, and it names the registry
    all_tidy(|path| path != "Cargo.lock", words::check);
}
