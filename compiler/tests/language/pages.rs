//! The pages of the codes: their `wrong` programs give the code of the page, their `right` programs are clean.

use std::collections::BTreeMap;

use weir_compiler::diagnostics::{REGISTRY, page, title};
use weir_compiler::{Analysis, Fixed, Library, Options, SourceFiles, analyse, fix, render};

use crate::fixtures::library_with;

/// Returns the fenced blocks of a page by the words after their fences: `flow wrong`, `sh right` …
fn blocks(page: &str) -> BTreeMap<String, String> {
    let mut blocks = BTreeMap::new();
    let mut open: Option<(String, String)> = None;
    for line in page.lines() {
        open = match (line.strip_prefix("```"), open) {
            (Some(info), None) => Some((info.to_owned(), String::new())),
            (Some(_), Some((info, text))) => {
                assert!(blocks.insert(info.clone(), text).is_none(), "two blocks are `{info}`");
                None
            }
            (None, Some((info, text))) => Some((info, text + line + "\n")),
            (None, None) => None,
        };
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// The file name of the programs of pages, under which imported files can import them.
const ENTRY: &str = "main.flow";

/// A program of a page, and the files that it may import: blocks such as `flow shared.flow`.
struct Program<'b> {
    blocks: &'b BTreeMap<String, String>,
    /// `wrong` or `right`.
    which: &'static str,
}

impl SourceFiles for Program<'_> {
    fn read(&self, name: &str) -> Result<String, String> {
        let name = if name == ENTRY { self.which } else { name };
        let text = self.blocks.get(&format!("flow {name}")).cloned();
        text.ok_or_else(|| "no such file".to_owned())
    }
}

impl Program<'_> {
    /// Returns the library with the signatures of the block `flow library`.
    fn library(&self) -> Library {
        library_with(self.blocks.get("flow library").map(|text| ("library.flow", text.as_str())))
    }

    /// Returns the options that the command in the `sh` block sets.
    fn options(&self) -> Options {
        let mut options = Options::default();
        let command = self.blocks.get(&format!("sh {}", self.which)).map_or("", String::as_str);
        for value in command.split(" --set ").skip(1) {
            let (name, value) = value.trim_end().split_once('=').expect("a value is set as name=value");
            options.params.insert(name.to_owned(), value.to_owned());
        }
        options
    }

    fn check(&self) -> Analysis {
        analyse(self, ENTRY, &self.library(), &self.options())
    }

    fn fix(&self) -> Fixed {
        fix(self, ENTRY, &self.library(), &self.options())
    }
}

#[test]
fn each_page_shows_its_code() {
    for (code, ..) in REGISTRY {
        let blocks = blocks(page(code).unwrap());
        let mut wrong = Program { blocks: &blocks, which: "wrong" }.check();
        if *code == "E0002" {
            let warnings = wrong.not_carried_out();
            wrong.diagnostics.extend(warnings);
        }
        if *code == "E0003" {
            let refused = "no broker of localhost:9902 can be reached: Connection refused".to_owned();
            wrong.diagnostics.extend(wrong.cannot_connect("clicks", Some("brokers"), refused));
        }
        let said = render::human(&wrong.diagnostics, &wrong.files, false);
        assert!(!wrong.diagnostics.is_empty(), "{code}: nothing is wrong");
        assert!(wrong.diagnostics.iter().all(|diagnostic| diagnostic.code() == *code), "{code}\n{said}");
        if blocks.contains_key("flow wrong") {
            let right = Program { blocks: &blocks, which: "right" }.check();
            let said = render::human(&right.diagnostics, &right.files, false);
            assert!(right.diagnostics.is_empty(), "{code}: what is right is not clean\n{said}");
        }
    }
}

#[test]
fn fixes_make_what_pages_show_right() {
    for (code, ..) in REGISTRY {
        let blocks = blocks(page(code).unwrap());
        let fixed = Program { blocks: &blocks, which: "wrong" }.fix();
        let said = render::human(&fixed.analysis.diagnostics, &fixed.analysis.files, false);
        assert!(fixed.changes.is_empty() || fixed.analysis.diagnostics.is_empty(), "{code}\n{said}");
    }
}

#[test]
fn each_page_has_a_title_and_both_programs() {
    let known = ["flow wrong", "flow right", "flow library", "sh wrong", "sh right"];
    for (code, ..) in REGISTRY {
        let text = page(code).unwrap();
        assert!(text.starts_with(&format!("# {code}: ")), "{code}: the heading is `# {code}: title`");
        let title = title(code).unwrap();
        assert!(title.len() < 60 && !title.ends_with('.'), "{code}: `{title}` is no title");
        let blocks = blocks(text);
        for info in blocks.keys() {
            let known = known.contains(&info.as_str()) || info.ends_with(".flow");
            assert!(known, "{code}: a block of no known kind: `{info}`");
        }
        for which in ["wrong", "right"] {
            let found = blocks.keys().any(|info| info.ends_with(which));
            assert!(found, "{code}: nothing is shown that is {which}");
        }
    }
}

#[test]
fn pages_are_of_codes() {
    let folder = crate::fixtures::root().join("docs/diagnostics");
    for path in crate::fixtures::files(&folder, "md") {
        let code = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(page(&code).is_some(), "{code} is in no registry: its page is left over");
    }
}
