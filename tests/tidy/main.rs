//! Checks of the source code, over every file that git knows: sizes, dependencies, and names of private places.
//!
//! A check is a function from text to faults. Tests with small bad inputs show that each check fails for its reason.

mod dependencies;
mod layers;
mod library;
mod private_places;
mod source;
mod test_runs;

use std::path::PathBuf;
use std::process::Command;
use std::{fmt, fs};

use weir_tests::repository;

/// A violation of a rule, with its place.
#[derive(Debug, PartialEq, Eq)]
struct Fault {
    path: String,
    line: usize,
    message: String,
}

impl Fault {
    fn new(path: &str, line: usize, message: impl Into<String>) -> Fault {
        Fault { path: path.to_owned(), line, message: message.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// Returns the path in the repository and the text of every text file that git tracks or would add.
fn files() -> Vec<(String, String)> {
    let mut git = Command::new("git");
    git.current_dir(repository()).args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]);
    let output = git.output().expect("git runs: this is a clone of its repository");
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).expect("the repository's file names are UTF-8");
    let names = names.split_terminator('\0').map(PathBuf::from);
    // files that are deleted but still listed, and files that are not UTF-8, are skipped
    let texts = names.filter_map(|name| {
        Some((name.display().to_string(), fs::read_to_string(repository().join(&name)).ok()?))
    });
    texts.collect()
}

/// Runs a check on every file of the repository whose path `wanted` accepts.
fn check_files(wanted: impl Fn(&str) -> bool, check: impl Fn(&str, &str) -> Vec<Fault>) {
    let files = files();
    let mut seen = 0;
    let mut faults = Vec::new();
    for (path, text) in files.iter().filter(|(path, _)| wanted(path)) {
        seen += 1;
        faults.extend(check(path, text).iter().map(Fault::to_string));
    }
    assert!(seen > 0, "there was no file to check: the test itself is wrong");
    assert!(faults.is_empty(), "{} faults:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn rust_sources_follow_the_rules() {
    check_files(|path| path.ends_with(".rs"), source::check);
}

#[test]
fn dependencies_between_crates_are_allowed() {
    // Crates of editors are built by the editors' tools, outside of the workspace.
    let is_member = |path: &str| path.ends_with("/Cargo.toml") && !path.starts_with("editors/");
    check_files(is_member, dependencies::check);
}

#[test]
fn modules_use_only_modules_of_lower_layers() {
    for layers in &layers::LAYERED_CRATES {
        let is_source = |path: &str| path.starts_with(layers.folder) && path.ends_with(".rs");
        let files = files().into_iter().filter(|(path, _)| is_source(path)).collect();
        let faults: Vec<String> = layers::check(layers, &files).iter().map(Fault::to_string).collect();
        assert!(!files.is_empty() && faults.is_empty(), "{}", faults.join("\n"));
    }
}

#[test]
fn every_crate_is_a_member_of_the_workspace() {
    let root = fs::read_to_string(repository().join("Cargo.toml")).expect("the workspace has a Cargo.toml");
    let packages: Vec<String> =
        files().into_iter().map(|(path, _)| path).filter(|path| !path.starts_with("editors/")).collect();
    let faults = dependencies::check_members(&root, &packages);
    assert!(faults.is_empty(), "{faults:?}");
}

#[test]
fn the_library_is_documented() {
    check_files(|path| path.starts_with("stdlib/") && path.ends_with(".flow"), library::check);
}

#[test]
fn no_file_names_a_private_place() {
    // cargo writes the lock file, which names the registry
    check_files(|path| !path.ends_with("Cargo.lock"), private_places::check);
}
