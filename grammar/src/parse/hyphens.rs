//! Names with hyphens: `web-logs` for `web_logs`, at all places of a file.

use std::ops::Range;

use crate::error::{Foreign, SyntaxError, SyntaxErrorKind};
use crate::layout::ITEM_WORDS;
use crate::repair::Edit;
use crate::{FileId, Span};

/// Returns the names with hyphens that the syntax errors of a file report.
pub(super) fn names(errors: &[SyntaxError]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    for error in errors {
        if let SyntaxErrorKind::Foreign(foreign) = &error.kind
            && let Some(name) = &foreign.group
            && !names.contains(name)
        {
            names.push(name.clone());
        }
    }
    names
}

/// Returns the edits that write the names of an item with `_`.
pub(super) fn edits(item: &str, base: usize, names: &[String]) -> Vec<Edit> {
    let edit =
        |name: &String, range: Range<usize>| (base + range.start..base + range.end, name.replace('-', "_"));
    let edits =
        names.iter().flat_map(|name| places(item, name).into_iter().map(move |range| edit(name, range)));
    edits.collect()
}

/// Returns an error for each name, at its declaration, with the edits of all places.
pub(super) fn errors(file: FileId, text: &str, names: &[String]) -> Vec<SyntaxError> {
    let span = |range: &Range<usize>| Span { file, start: range.start as u32, end: range.end as u32 };
    let error = |name: &String| {
        let places = places(text, name);
        let declared = places.iter().find(|range| is_declaration(text, range)).or(places.first())?;
        let better = name.replace('-', "_");
        let foreign = Foreign {
            message: format!("`{name}` is no name: names are made of letters, digits and `_`"),
            title: format!("write `{better}`"),
            help: None,
            edits: places.iter().map(|range| (span(range), better.clone())).collect(),
            group: Some(name.clone()),
        };
        Some(SyntaxError { span: span(declared), kind: SyntaxErrorKind::Foreign(Box::new(foreign)) })
    };
    names.iter().filter_map(error).collect()
}

/// Returns whether the name at a place is declared there: after an item's keyword, or before a colon.
fn is_declaration(text: &str, place: &Range<usize>) -> bool {
    let before = text[..place.start].trim_end_matches([' ', '\t']);
    let after = text[place.end..].trim_start_matches([' ', '\t']);
    ITEM_WORDS.iter().any(|word| before.ends_with(word)) || after.starts_with(':')
}

/// Returns the places of a name outside of comments and texts, and in the holes of texts.
fn places(text: &str, name: &str) -> Vec<Range<usize>> {
    let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
    let mut places = Vec::new();
    let mut line_start = 0;
    for line in text.split_inclusive('\n') {
        for (at, _) in line.match_indices(name) {
            let (before, after) = (&line[..at], &line[at + name.len()..]);
            let is_part = before.ends_with(is_of_name)
                || after.starts_with(is_of_name)
                || after.strip_prefix('-').is_some_and(|rest| rest.starts_with(is_of_name));
            let in_text = before.matches('"').count() % 2 == 1;
            let in_hole = before.ends_with('{') || before.ends_with("{@");
            if !is_part && !before.contains("//") && (!in_text || in_hole) {
                places.push(line_start + at..line_start + at + name.len());
            }
        }
        line_start += line.len();
    }
    places
}
