//! Formats brackets and their contents.

use pest::iterators::Pair;

use super::document::{Document, Flat};
use super::node::Nodes;
use crate::Rule;

impl<'t> Nodes<'t, '_> {
    /// Formats `{ … }`, with the comments before the opening brace.
    pub(super) fn braces(&mut self, children: Vec<Pair<'_, Rule>>) -> Document<'t> {
        let start = children.first().map_or(0, |open| self.extent(open).0);
        let before = self.comments.take_before(start);
        let mut parts = self.own_lines(before, false, false);
        parts.push(self.entries(children));
        Document::sequence(parts)
    }

    fn entries(&mut self, children: Vec<Pair<'_, Rule>>) -> Document<'t> {
        let Brackets { entries, open_end, close_start } = self.split(children);
        let is_broken = self.text[open_end..close_start].contains('\n');
        let mut inside = Vec::new();
        for (index, entry) in entries.into_iter().enumerate() {
            let blank = index > 0 && self.comments.blank_before(self.extent(&entry).0);
            let flat = if index == 0 { Flat::Space } else { Flat::CommaAndSpace };
            inside.push(Document::Line { flat, blank });
            inside.push(self.entry(entry));
        }
        let is_empty = inside.is_empty();
        let after_open = self.comments.take_after(open_end);
        inside.extend(self.before_close(close_start, !is_empty));
        let mut parts = vec![Document::fixed("{")];
        parts.extend(after_open.map(Document::Trailing));
        if !inside.is_empty() || after_open.is_some() {
            parts.extend([Document::indented(inside), Document::line()]);
        }
        parts.push(Document::fixed("}"));
        let braces = Document::group(Document::sequence(parts), is_broken && !is_empty);
        self.closed(braces, close_start)
    }

    /// Formats `[ … ]` or `( … )` with commas. With `keep`, the line breaks of the source are kept.
    pub(super) fn bracketed(&mut self, children: Vec<Pair<'_, Rule>>, keep: bool) -> Document<'t> {
        let (open, close) = if keep { ("[", "]") } else { ("(", ")") };
        let Brackets { mut entries, open_end, close_start } = self.split(children);
        if entries.len() == 1 && self.is_hugged(&entries[0], open_end, close_start) {
            let only: Vec<Document<'t>> = entries.drain(..).map(|entry| self.node(entry)).collect();
            let parts = [Document::fixed(open)].into_iter().chain(only).chain([Document::fixed(close)]);
            return Document::sequence(parts.collect());
        }
        let first = entries.first().map_or(open_end, |entry| self.extent(entry).0);
        let is_broken = keep && self.text[open_end..first].contains('\n');
        let mut inside = Vec::new();
        let last = entries.len();
        for (index, entry) in entries.into_iter().enumerate() {
            let blank = index > 0 && self.comments.blank_before(self.extent(&entry).0);
            let flat = if index == 0 { Flat::Nothing } else { Flat::Space };
            inside.push(Document::Line { flat, blank });
            inside.push(self.entry(entry));
            inside.push(if index + 1 == last { Document::CommaIfBroken } else { Document::Comma });
        }
        let is_empty = inside.is_empty();
        let after_open = self.comments.take_after(open_end);
        inside.extend(self.before_close(close_start, !is_empty));
        let mut parts = vec![Document::fixed(open)];
        parts.extend(after_open.map(Document::Trailing));
        parts.extend([Document::indented(inside), Document::soft_line(), Document::fixed(close)]);
        let brackets = Document::group(Document::sequence(parts), is_broken);
        self.closed(brackets, close_start)
    }

    /// Formats `(a)` or `(a else b)`.
    pub(super) fn paren(&mut self, children: Vec<Pair<'_, Rule>>) -> Document<'t> {
        let Brackets { entries, open_end, close_start } = self.split(children);
        let hugged = entries.len() == 1 && self.is_hugged(&entries[0], open_end, close_start);
        let after_open = self.comments.take_after(open_end);
        let mut inside = Vec::new();
        for (index, entry) in entries.into_iter().enumerate() {
            match (hugged, index) {
                (true, _) => {}
                (false, 0) => inside.push(Document::soft_line()),
                (false, _) => inside.push(Document::line()),
            }
            inside.push(self.node(entry));
        }
        inside.extend(self.before_close(close_start, true));
        if hugged {
            let parts = [Document::fixed("(")].into_iter().chain(inside).chain([Document::fixed(")")]);
            return Document::sequence(parts.collect());
        }
        let mut parts = vec![Document::fixed("(")];
        parts.extend(after_open.map(Document::Trailing));
        parts.extend([Document::indented(inside), Document::soft_line(), Document::fixed(")")]);
        let paren = Document::group(Document::sequence(parts), false);
        self.closed(paren, close_start)
    }

    /// Formats the comments before a closing bracket.
    fn before_close(&mut self, close_start: usize, after_entries: bool) -> Vec<Document<'t>> {
        let blank = after_entries && self.comments.blank_before(close_start);
        let comments = self.comments.take_before(close_start);
        if comments.is_empty() {
            return Vec::new();
        }
        let line = Document::HardLine { blank };
        [line].into_iter().chain(self.own_lines(comments, true, false)).collect()
    }

    /// Appends the comment after the closing bracket, unless an enclosing part has taken it.
    fn closed(&mut self, brackets: Document<'t>, close_start: usize) -> Document<'t> {
        match self.comments.take_after(close_start + 1) {
            Some(comment) => Document::sequence(vec![brackets, Document::Trailing(comment)]),
            None => brackets,
        }
    }

    /// Returns whether the only element is in brackets itself, so that both pairs open and close on the same lines.
    fn is_hugged(&self, element: &Pair<'_, Rule>, open_end: usize, close_start: usize) -> bool {
        let (start, end) = self.extent(element);
        let commented = self.comments.has_after(open_end)
            || self.comments.has_before(start)
            || self.comments.has_after(end)
            || self.comments.has_before(close_start);
        is_in_brackets(element) && !commented
    }

    fn split<'i>(&self, children: Vec<Pair<'i, Rule>>) -> Brackets<'i> {
        let open_end = children.first().map_or(0, |pair| self.extent(pair).1);
        let close_start = children.last().map_or(open_end, |pair| self.extent(pair).0);
        let last = children.len().saturating_sub(1);
        let inside = children.into_iter().enumerate().filter(|(index, _)| *index > 0 && *index < last);
        let entries = inside.map(|(_, pair)| pair);
        let entries =
            entries.filter(|pair| !matches!(pair.as_rule(), Rule::separator | Rule::comma)).collect();
        Brackets { entries, open_end, close_start }
    }
}

/// The parts of a bracketed pair.
struct Brackets<'i> {
    entries: Vec<Pair<'i, Rule>>,
    open_end: usize,
    close_start: usize,
}

/// Returns whether a value is in braces or brackets, possibly after a word: `{ … }`, `tls { … }`, `[ … ]`.
pub(super) fn is_in_brackets(pair: &Pair<'_, Rule>) -> bool {
    match pair.as_rule() {
        Rule::list | Rule::block | Rule::match_value => true,
        Rule::named => pair.clone().into_inner().any(|inner| inner.as_rule() == Rule::block),
        Rule::expression | Rule::operation | Rule::argument => {
            let mut inner = pair.clone().into_inner();
            inner.next().is_some_and(|first| inner.next().is_none() && is_in_brackets(&first))
        }
        _ => false,
    }
}
