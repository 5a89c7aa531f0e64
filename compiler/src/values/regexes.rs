//! The syntax check of regular expressions, and their named groups.

use regex_syntax::ast;
use regex_syntax::hir::{Hir, HirKind};
use weir_grammar::Span;

use crate::checker::Checker;
use crate::diagnostics::MalformedRegex;

/// A named group of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) name: String,
    /// Whether the group takes part in every match.
    pub(crate) always: bool,
}

impl Checker<'_> {
    /// Checks a regular expression. `span` is the span of the text literal, with its quotes.
    pub(crate) fn regex(&mut self, pattern: &str, span: Span) -> Option<()> {
        let Some(error) = syntax_error(pattern) else { return self.size_of_regex(pattern, span) };
        let (reason, place) = match &error {
            regex_syntax::Error::Parse(error) => (error.kind().to_string(), Some(*error.span())),
            regex_syntax::Error::Translate(error) => (error.kind().to_string(), Some(*error.span())),
            _ => (error.to_string(), None),
        };
        let span = place.and_then(|place| self.place_in_text(pattern, place, span)).unwrap_or(span);
        self.report(MalformedRegex { reason, span });
        None
    }

    /// Checks that the compiled form of a regular expression is not too large for the agent.
    fn size_of_regex(&mut self, pattern: &str, span: Span) -> Option<()> {
        if !is_too_large(pattern) {
            return Some(());
        }
        let reason = "its compiled form is larger than 10 MiB: repeat less".to_owned();
        self.report(MalformedRegex { reason, span });
        None
    }

    /// Returns the span of a part of a pattern in the program; `None` if the literal has escapes.
    fn place_in_text(&self, pattern: &str, place: ast::Span, span: Span) -> Option<Span> {
        let quotes = ["r\"", "\""];
        let open = quotes.iter().find(|open| self.files.text(span) == format!("{open}{pattern}\""))?;
        let start = span.start + (open.len() + place.start.offset) as u32;
        let length = place.end.offset.saturating_sub(place.start.offset).max(1) as u32;
        Some(Span { start, end: (start + length).min(span.end), ..span })
    }
}

/// Returns the syntax error of a pattern, if it has one.
pub(crate) fn syntax_error(pattern: &str) -> Option<regex_syntax::Error> {
    regex_syntax::Parser::new().parse(pattern).err()
}

/// Returns whether the compiled form of a checked pattern exceeds the limit of the `regex` crate, which the agent keeps.
pub(crate) fn is_too_large(pattern: &str) -> bool {
    // Compiling costs far more than parsing, and no short pattern without a counted repetition is large.
    (pattern.contains('{') || pattern.len() > 256) && regex::bytes::Regex::new(pattern).is_err()
}

/// Returns the number of groups of a checked pattern, with and without names.
pub(crate) fn group_count(pattern: &str) -> usize {
    let parsed = regex_syntax::Parser::new().parse(pattern);
    parsed.map_or(0, |pattern| pattern.properties().explicit_captures_len())
}

/// Returns the first group that a replacement names and the pattern lacks, in the syntax of the `regex` crate.
pub(crate) fn unknown_reference<'t>(replacement: &'t str, pattern: &str) -> Option<&'t str> {
    let (count, named) = (group_count(pattern), groups(pattern));
    let exists = |name: &str| match name.parse::<usize>() {
        Ok(number) => number <= count,
        Err(_) => named.iter().any(|group| group.name == name),
    };
    let mut rest = replacement;
    while let Some((_, after)) = rest.split_once('$') {
        if let Some(after) = after.strip_prefix('$') {
            rest = after;
            continue;
        }
        let braced = after.strip_prefix('{').and_then(|inner| Some(&inner[..inner.find('}')?]));
        let is_of_name = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        let bare = &after[..after.find(|letter| !is_of_name(letter)).unwrap_or(after.len())];
        let name = braced.unwrap_or(bare);
        if !name.is_empty() && !exists(name) {
            return Some(name);
        }
        rest = after;
    }
    None
}

/// Returns the named groups of a checked pattern, in the order of its text.
pub(crate) fn groups(pattern: &str) -> Vec<Group> {
    let mut found = Vec::new();
    if let Ok(hir) = regex_syntax::Parser::new().parse(pattern) {
        walk(&hir, true, &mut found);
    }
    found
}

fn walk(hir: &Hir, always: bool, found: &mut Vec<Group>) {
    match hir.kind() {
        HirKind::Capture(capture) => {
            if let Some(name) = &capture.name {
                found.push(Group { name: name.to_string(), always });
            }
            walk(&capture.sub, always, found);
        }
        HirKind::Concat(parts) => parts.iter().for_each(|part| walk(part, always, found)),
        HirKind::Alternation(parts) => parts.iter().for_each(|part| walk(part, false, found)),
        HirKind::Repetition(repetition) => walk(&repetition.sub, always && repetition.min > 0, found),
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replacements_name_groups_of_the_pattern() {
        let unknown = |replacement| unknown_reference(replacement, r"(\d+)-(?<word>\w+)");
        for known in ["", "$1", "$0 $2", "${1}a", "$word", "${word}s", "$$1_", "a$", "$-", "{x}"] {
            assert_eq!(unknown(known), None, "{known}");
        }
        for (replacement, name) in
            [("$3", "3"), ("$1_", "1_"), ("$1a", "1a"), ("${words}", "words"), ("$$$x", "x")]
        {
            assert_eq!(unknown(replacement), Some(name), "{replacement}");
        }
    }

    #[test]
    fn a_group_that_may_be_left_out_is_known() {
        let groups = groups(r"(?<a>\d+)(?:-(?<b>x))?(?:(?<c>y)|z)(?<d>w)+");
        let always: Vec<(&str, bool)> = groups.iter().map(|group| (&*group.name, group.always)).collect();
        assert_eq!(always, [("a", true), ("b", false), ("c", false), ("d", true)]);
    }
}
