//! Every correct program of the project has a tree without an error.

use std::fs;
use std::path::{Path, PathBuf};

use tree_sitter::{Node, Parser, Tree};

/// The folders with correct programs, from the root of the project.
const FOLDERS: [&str; 3] = ["tests/language/right", "examples", "stdlib/src"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files(folder: &Path, kind: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, kind, found);
        } else if path.extension().is_some_and(|extension| extension == kind) {
            found.push(path);
        }
    }
}

fn parse(text: &str) -> Tree {
    let mut parser = Parser::new();
    parser.set_language(&tree_sitter_weir::LANGUAGE.into()).unwrap();
    parser.parse(text, None).unwrap()
}

/// Collects the places of errors and missing tokens.
fn errors(node: Node<'_>, text: &str, found: &mut Vec<String>) {
    if node.is_error() || node.is_missing() {
        let place = node.start_position();
        let line = text[node.byte_range()].lines().next().unwrap_or_default();
        let what =
            if node.is_missing() { format!("`{}` is missing", node.kind()) } else { format!("`{line}`") };
        found.push(format!("{}:{} {what}", place.row + 1, place.column + 1));
    } else if node.has_error() {
        let mut cursor = node.walk();
        node.children(&mut cursor).for_each(|child| errors(child, text, found));
    }
}

/// Returns the errors of programs, each with its name.
fn faults(programs: &[(String, String)]) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, text) in programs {
        let mut found = Vec::new();
        errors(parse(text).root_node(), text, &mut found);
        faults.extend(found.into_iter().map(|fault| format!("{name}:{fault}")));
    }
    faults
}

fn read(path: &Path) -> (String, String) {
    let name = path.strip_prefix(root()).unwrap().display().to_string();
    (name, fs::read_to_string(path).unwrap())
}

#[test]
fn every_correct_program_has_a_tree_without_an_error() {
    let mut paths = Vec::new();
    FOLDERS.iter().for_each(|folder| files(&root().join(folder), "flow", &mut paths));
    let programs: Vec<_> = paths.iter().map(|path| read(path)).collect();
    assert!(programs.len() > 60, "only {} programs in {FOLDERS:?}", programs.len());
    let faults = faults(&programs);
    assert!(faults.is_empty(), "{} errors:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_program_without_a_syntax_error_has_a_tree_without_an_error() {
    let mut paths = Vec::new();
    files(&root().join("tests/language/wrong"), "flow", &mut paths);
    let mut programs: Vec<_> = paths.iter().map(|path| read(path)).collect();
    // The last lines of a program are its expected diagnostics; codes E01 are those of the syntax.
    programs.retain(|(_, text)| text.contains("//~ E") && !text.contains("//~ E01"));
    assert!(programs.len() > 100, "only {} programs", programs.len());
    let faults = faults(&programs);
    assert!(faults.is_empty(), "{} errors:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn every_program_of_the_documents_has_a_tree_without_an_error() {
    let mut paths = vec![root().join("README.md")];
    files(&root().join("docs"), "md", &mut paths);
    let mut programs = Vec::new();
    for path in &paths {
        let (name, text) = read(path);
        for block in text.split("\n```flow").skip(1) {
            let (marks, rest) = block.split_once('\n').unwrap();
            let is_of_items =
                matches!(marks.trim(), "" | "right" | "library" | "context") || marks.ends_with(".flow");
            if is_of_items {
                programs.push((name.clone(), rest.split("\n```").next().unwrap().to_owned()));
            }
        }
    }
    assert!(programs.len() > 100, "only {} programs", programs.len());
    let faults = faults(&programs);
    assert!(faults.is_empty(), "{} errors:\n{}", faults.len(), faults.join("\n"));
}
