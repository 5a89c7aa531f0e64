//! The documents: their examples are valid, and the targets of their links exist.
//!
//! The words after the fence of a block tell its kind:
//!
//! - `flow`: a program, which is clean.
//! - `flow wrong E0308`: a program with exactly this diagnostic.
//! - `flow NAME.flow`: a file that the programs of the document may import.
//! - `flow context`: a clean program with a placeholder for steps in one of its flows.
//! - `flow steps`: steps, each of which is clean in the last context's placeholder; `wrong E0308` as above.
//! - `flow library`: valid items of a library.
//! - `text said`: the diagnostics of the last faulty program, as text.
//! - `flow part`: items, chains, steps, entries or values with correct syntax; only the syntax is checked.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use weir_compiler::{Analysis, Library, Options, SourceFiles, analyse, render};
use weir_grammar::{FileId, parse, parse_value};

use crate::fixtures::{files, library_with, root};

/// The placeholder for steps in a context.
const PLACE: &str = "// the steps stand here";

/// A fenced block of a document.
struct Block {
    /// The document and the line of the block.
    place: String,
    /// The words after the fence.
    info: String,
    text: String,
}

/// Returns the documents except the pages of the codes, which have their own tests.
fn documents() -> Vec<PathBuf> {
    let top = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md", "CHANGELOG.md"];
    let mut documents: Vec<PathBuf> = top.iter().map(|name| root().join(name)).collect();
    let below = files(&root().join("docs"), "md").into_iter();
    documents.extend(below.filter(|path| !path.starts_with(root().join("docs/diagnostics"))));
    documents
}

fn blocks(document: &Path) -> Vec<Block> {
    let name = document.strip_prefix(root()).unwrap().display().to_string();
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for (line, number) in fs::read_to_string(document).unwrap().lines().zip(1..) {
        open = match (line.strip_prefix("```"), open) {
            (Some(info), None) => {
                Some(Block { place: format!("{name}:{number}"), info: info.to_owned(), text: String::new() })
            }
            (Some(_), Some(block)) => {
                blocks.push(block);
                None
            }
            (None, Some(block)) => Some(Block { text: block.text + line + "\n", ..block }),
            (None, None) => None,
        };
    }
    assert!(open.is_none(), "{name}: a block is not closed");
    blocks
}

/// The state of checking the blocks of a document.
struct Reader {
    library: Library,
    /// The files that the programs may import.
    imports: BTreeMap<String, String>,
    /// The last context.
    context: Option<String>,
    /// The diagnostics of the last faulty program, as text.
    said: String,
    faults: Vec<String>,
}

/// A program and the files that it may import.
struct Program<'r>(&'r str, &'r BTreeMap<String, String>);

impl SourceFiles for Program<'_> {
    fn read(&self, name: &str) -> Result<String, String> {
        if name == "main.flow" {
            return Ok(self.0.to_owned());
        }
        self.1.get(name).cloned().ok_or_else(|| "no such file".to_owned())
    }
}

impl Reader {
    fn read(&mut self, block: &Block) {
        let words: Vec<&str> = block.info.split(' ').collect();
        match words.as_slice() {
            ["flow"] => self.clean(block, &block.text),
            ["flow", "wrong", code] => self.wrong(block, &block.text, code),
            ["flow", "context"] => {
                assert!(block.text.contains(PLACE), "{}: no place for steps", block.place);
                self.clean(block, &block.text);
                self.context = Some(block.text.clone());
            }
            ["flow", "steps"] => self.in_context(&block.text).iter().for_each(|text| self.clean(block, text)),
            ["flow", "steps", "wrong", code] => {
                self.in_context(&block.text).iter().for_each(|text| self.wrong(block, text, code));
            }
            ["flow", "part"] if !is_readable(&block.text) => {
                self.faults.push(format!("{}: this can't be read", block.place));
            }
            ["flow", "part"] => {}
            ["text", "said"] if block.text.trim() != self.said.trim() => {
                self.faults.push(format!("{}: what is said is\n{}", block.place, self.said));
            }
            ["flow", "library"] => drop(library_with(Some((&block.place, &block.text)))),
            ["flow", name] if name.ends_with(".flow") => {
                self.imports.insert((*name).to_owned(), block.text.clone());
            }
            ["flow", ..] => {
                self.faults.push(format!("{}: there are no blocks `{}`", block.place, block.info))
            }
            _ => {}
        }
    }

    fn analyse(&self, text: &str) -> Analysis {
        analyse(&Program(text, &self.imports), "main.flow", &self.library, &Options::default())
    }

    fn clean(&mut self, block: &Block, text: &str) {
        let analysis = self.analyse(text);
        if !analysis.diagnostics.is_empty() {
            let said = render::human(&analysis.diagnostics, &analysis.files, false);
            self.faults.push(format!("{}: this is not clean\n{said}", block.place));
        }
    }

    fn wrong(&mut self, block: &Block, text: &str, code: &str) {
        let analysis = self.analyse(text);
        let codes: Vec<&str> = analysis.diagnostics.iter().map(weir_compiler::Diagnostic::code).collect();
        let said = render::human(&analysis.diagnostics, &analysis.files, false);
        self.said = said.lines().map(|line| line.trim_end().to_owned() + "\n").collect();
        if codes != [code] {
            self.faults.push(format!("{}: expected {code} alone, found {codes:?}\n{said}", block.place));
        }
    }

    /// Returns the context with each of the steps. A step begins with an arrow in the first column.
    fn in_context(&self, steps: &str) -> Vec<String> {
        let context = self.context.as_ref().expect("a context stands before steps");
        let mut alone: Vec<String> = Vec::new();
        for line in steps.lines().filter(|line| !line.is_empty()) {
            match alone.last_mut() {
                Some(last) if !line.starts_with("->") => *last += &format!("\n{line}"),
                _ => alone.push(line.to_owned()),
            }
        }
        alone.iter().map(|step| context.replace(PLACE, step)).collect()
    }
}

/// Returns whether a part has correct syntax as items, or as the content of an item.
fn is_readable(text: &str) -> bool {
    let frames = [
        text.to_owned(),
        format!("flow frame {{\n{text}\n}}"),
        format!("interceptor frame() {{\n{text}\n}}"),
        format!("source frame = frame {{\n{text}\n}}"),
        format!("schema Frame {{\n{text}\n}}"),
        format!("test \"frame\" {{\n{text}\n}}"),
    ];
    let values = || text.lines().all(|line| parse_value(FileId(0), line).1.is_empty());
    frames.iter().any(|frame| parse(FileId(0), frame).errors.is_empty()) || values()
}

#[test]
fn what_documents_show_is_so() {
    let mut seen = 0;
    let mut faults = Vec::new();
    for document in documents() {
        let (library, imports) = (library_with(None), BTreeMap::new());
        let mut reader = Reader { library, imports, context: None, said: String::new(), faults: Vec::new() };
        for block in blocks(&document) {
            seen += usize::from(block.info.starts_with("flow"));
            reader.read(&block);
        }
        faults.append(&mut reader.faults);
    }
    assert!(seen > 20, "there was hardly anything to read: the test itself is wrong");
    assert!(faults.is_empty(), "{} wrong blocks:\n{}", faults.len(), faults.join("\n"));
}

/// Returns the anchor of a heading, for links: lower case, `-` for blanks, without other signs.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|letter| letter.is_alphanumeric() || matches!(letter, ' ' | '-' | '_'));
    kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect::<String>().to_lowercase()
}

/// Returns the lines of a document outside of its blocks.
fn prose(document: &Path) -> Vec<String> {
    let text = fs::read_to_string(document).unwrap();
    let mut within = false;
    let lines = text.lines().filter(|line| {
        let fence = line.starts_with("```");
        within ^= fence;
        !within && !fence
    });
    lines.map(str::to_owned).collect()
}

#[test]
fn what_documents_point_to_is_there() {
    let mut faults = Vec::new();
    for document in documents() {
        let folder = document.parent().unwrap();
        for line in prose(&document) {
            for link in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                let (path, heading) = link.split_once('#').unwrap_or((link, ""));
                let target = if path.is_empty() { document.clone() } else { folder.join(path) };
                let found = path.contains("://")
                    || target.exists()
                        && (heading.is_empty()
                            || prose(&target).iter().any(|line| {
                                line.starts_with('#')
                                    && anchor(line.trim_start_matches(['#', ' '])) == heading
                            }));
                if !found {
                    faults.push(format!("{}: {link}", document.display()));
                }
            }
        }
    }
    assert!(faults.is_empty(), "links that lead nowhere:\n{}", faults.join("\n"));
}
