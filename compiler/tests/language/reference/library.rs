//! The input of the reference: the items of the library with their text.

use std::fs;

use weir_grammar::tree::{File, Item, ItemKind};
use weir_grammar::{FileId, Span, parse};

use crate::fixtures::{files, root};

/// The files of the library.
pub(super) struct Text {
    files: Vec<(String, File)>,
}

/// An item of the library.
pub(super) struct Entry<'t> {
    pub(super) item: &'t Item,
    pub(super) name: &'t str,
    file: usize,
}

impl Entry<'_> {
    /// Returns the anchor of the entry's heading, for links.
    pub(super) fn anchor(&self) -> String {
        self.name.to_lowercase()
    }
}

impl Text {
    pub(super) fn read() -> Text {
        let paths = files(&root().join("stdlib/src"), "flow");
        let files = paths.iter().zip(0..).map(|(path, number)| {
            let text = fs::read_to_string(path).unwrap();
            let file = parse(FileId(number), &text).file;
            (text, file)
        });
        Text { files: files.collect() }
    }

    /// Returns the wanted items: functions in the order of the files and their text, other items sorted by name.
    pub(super) fn entries(&self, wanted: fn(&ItemKind) -> bool) -> Vec<Entry<'_>> {
        let mut entries = Vec::new();
        for (number, (_, file)) in self.files.iter().enumerate() {
            for item in file.items.iter().filter(|item| wanted(&item.kind)) {
                let name = item.kind.name().map_or("", |name| &*name.text);
                entries.push(Entry { item, name, file: number });
            }
        }
        if !entries.iter().all(|entry| matches!(entry.item.kind, ItemKind::ExternFunction(_))) {
            entries.sort_by_key(|entry| entry.name);
        }
        entries
    }

    /// Returns the text at a place.
    pub(super) fn slice(&self, span: Span) -> &str {
        span.slice(&self.files[span.file.0 as usize].0)
    }

    /// Returns the documentation of the file of an entry.
    pub(super) fn group_of(&self, entry: &Entry<'_>) -> &str {
        &self.files[entry.file].1.documentation
    }

    /// Returns the documentation of the file of an entry as a heading and the text below.
    pub(super) fn group_heading(&self, entry: &Entry<'_>) -> String {
        let (title, rest) = self.group_of(entry).split_once('.').unwrap_or((self.group_of(entry), ""));
        let rest = rest.trim();
        if rest.is_empty() { format!("\n## {title}\n") } else { format!("\n## {title}\n\n{rest}\n") }
    }

    /// Returns whether the library declares a type of this name.
    pub(super) fn has_type(&self, name: &str) -> bool {
        let mut items = self.files.iter().flat_map(|(_, file)| &file.items);
        items.any(|item| match &item.kind {
            ItemKind::Enum(item) => &*item.name.text == name,
            ItemKind::Record(item) => &*item.name.text == name,
            _ => false,
        })
    }
}

/// Returns a doc comment as Markdown; its indented lines become code blocks.
pub(super) fn markdown(documentation: &str) -> String {
    let mut text = String::new();
    let mut within = false;
    for line in documentation.lines() {
        let part = line.strip_prefix("    ");
        if part.is_some() != within {
            text += if within { "```\n" } else { "```flow part\n" };
            within = part.is_some();
        }
        text += part.unwrap_or(line);
        text.push('\n');
    }
    if within {
        text += "```\n";
    }
    text
}

/// Returns a doc comment on one line.
pub(super) fn one_line(documentation: &str) -> String {
    documentation.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the first sentence of a doc comment; a point within a word or in code does not end the sentence.
pub(super) fn first_sentence(documentation: &str) -> String {
    let paragraph = one_line(documentation.split("\n\n").next().unwrap_or_default());
    let mut quoted = false;
    let mut end = paragraph.len();
    for (at, letter) in paragraph.char_indices() {
        quoted ^= letter == '`';
        if letter == '.' && !quoted && paragraph[at + 1..].starts_with(' ') {
            end = at + 1;
            break;
        }
    }
    paragraph[..end].trim_end_matches([':', ';']).to_owned()
}
