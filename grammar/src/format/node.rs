//! Builds documents from pest's pairs.

use std::borrow::Cow;

use pest::iterators::Pair;

use super::comments::Comments;
use super::document::{Document, Flat};
use crate::Rule;
use crate::layout::RESERVED_WORDS;

/// Builds the document of one item.
pub(super) struct Nodes<'t, 'c> {
    /// The text of the file. The pairs refer to a copy of the item.
    pub(super) text: &'t str,
    /// The offset of the item in the file.
    base: usize,
    pub(super) comments: &'c mut Comments<'t>,
    /// The offset of a name that keeps its backticks although it isn't reserved, since it would be a keyword without them.
    quoted: Option<usize>,
}

impl<'t, 'c> Nodes<'t, 'c> {
    pub(super) fn new(text: &'t str, base: usize, comments: &'c mut Comments<'t>) -> Nodes<'t, 'c> {
        Nodes { text, base, comments, quoted: None }
    }

    /// Builds the pair's document, with its comments.
    pub(super) fn node(&mut self, pair: Pair<'_, Rule>) -> Document<'t> {
        let (start, end) = self.extent(&pair);
        self.commented(start, end, false, |nodes| nodes.bare(pair))
    }

    /// Builds the document of an entry or element. Blank lines after preceding comments are kept.
    pub(super) fn entry(&mut self, pair: Pair<'_, Rule>) -> Document<'t> {
        let (start, end) = self.extent(&pair);
        self.commented(start, end, true, |nodes| nodes.bare(pair))
    }

    /// Returns the offsets in the file of the pair's first token and of the end of its last token.
    pub(super) fn extent(&self, pair: &Pair<'_, Rule>) -> (usize, usize) {
        let text = pair.as_str();
        let start = self.base + pair.as_span().start() + (text.len() - text.trim_start().len());
        (start, start + text.trim().len())
    }

    /// Builds a document with the comments before its first token and after its last token. These comments are taken
    /// before those of the parts, so that they cause no line breaks inside the document.
    pub(super) fn commented(
        &mut self,
        start: usize,
        end: usize,
        keep_blank: bool,
        document: impl FnOnce(&mut Self) -> Document<'t>,
    ) -> Document<'t> {
        let blank_right_before = keep_blank && self.comments.blank_right_before(start);
        let before = self.comments.take_before(start);
        let after = self.comments.take_after(end);
        let document = document(self);
        if before.is_empty() && after.is_none() {
            return document;
        }
        let mut parts = self.own_lines(before, keep_blank, blank_right_before);
        parts.push(document);
        parts.extend(after.map(Document::Trailing));
        Document::sequence(parts)
    }

    /// Formats comments on lines of their own. With `keep_blank`, blank lines between them are kept; with `blank_at_end`, a
    /// blank line follows the last comment.
    pub(super) fn own_lines(
        &self,
        comments: Vec<super::OwnLine<'t>>,
        keep_blank: bool,
        blank_at_end: bool,
    ) -> Vec<Document<'t>> {
        let blanks = comments.iter().skip(1).map(|comment| comment.blank_before && keep_blank);
        let blanks: Vec<bool> = blanks.chain([blank_at_end]).collect();
        let comments = comments.into_iter().zip(blanks).map(|(comment, blank)| {
            let blank_after = blank && comment.kind != crate::tree::CommentKind::Item;
            Document::OwnLine { text: comment.text, blank_after }
        });
        comments.collect()
    }

    fn bare(&mut self, pair: Pair<'_, Rule>) -> Document<'t> {
        let rule = pair.as_rule();
        let (start, end) = self.extent(&pair);
        let text = &self.text[start..end];
        if matches!(rule, Rule::string | Rule::raw_string) || pair.clone().into_inner().next().is_none() {
            let text = if rule == Rule::name { self.name(text, start) } else { text };
            return Document::Text(Cow::Borrowed(text));
        }
        self.note_keyword(&pair);
        let children: Vec<Pair<'_, Rule>> =
            pair.into_inner().filter(|pair| pair.as_rule() != Rule::EOI).collect();
        match rule {
            // At these places the words can only be names, so they need no backticks.
            Rule::thing_name if text == "`in`" => Document::fixed("in"),
            Rule::kind_name if text == "`null`" => Document::fixed("null"),
            Rule::expression | Rule::operation => self.operation(children),
            Rule::conditional => self.conditional(children),
            Rule::arm => self.arm(children),
            Rule::list => self.bracketed(children, true),
            Rule::arguments | Rule::parameters => self.bracketed(children, false),
            Rule::paren => self.paren(children),
            Rule::chain => self.chain(children),
            Rule::case => self.case(children),
            Rule::delivers => self.promises(children),
            Rule::entry | Rule::field => self.row(children),
            _ => self.sequence(children),
        }
    }

    fn name(&self, text: &'t str, start: usize) -> &'t str {
        let bare = text.trim_matches('`');
        if RESERVED_WORDS.contains(&bare) || self.quoted == Some(start) { text } else { bare }
    }

    /// Records a name that would be a keyword without its backticks.
    fn note_keyword(&mut self, pair: &Pair<'_, Rule>) {
        let (place, words): (_, &[&str]) = match pair.as_rule() {
            Rule::use_step => (pair.clone().into_inner().next(), &["`throttle`", "`sample`"]),
            Rule::handler => (pair.clone().into_inner().nth(1), &["`reject`", "`drop`"]),
            Rule::parameter => (pair.clone().into_inner().nth(2), &["`field`"]),
            _ => return,
        };
        if let Some(place) =
            place.filter(|place| words.iter().any(|word| place.as_str().trim().starts_with(word)))
        {
            self.quoted = Some(self.extent(&place).0);
        }
    }

    /// Formats consecutive tokens and parts.
    pub(super) fn sequence(&mut self, children: Vec<Pair<'_, Rule>>) -> Document<'t> {
        let mut parts = Vec::new();
        let mut left: Option<Rule> = None;
        // Whether the parts at the end are broken together with the other lines of the sequence.
        let mut hangs = false;
        let mut braced = false;
        let mut children = children.into_iter();
        while let Some(child) = children.next() {
            let rule = child.as_rule();
            match left {
                Some(_) if matches!(rule, Rule::because | Rule::handler | Rule::otherwise) => {
                    let hanging = Document::indented(vec![Document::line(), self.node(child)]);
                    hangs |= !braced;
                    parts.push(if braced { Document::group(hanging, false) } else { hanging });
                }
                _ => {
                    if left.is_some_and(|left| !is_tight(left, rule)) {
                        parts.push(Document::Space);
                    }
                    braced |= super::brackets::is_in_brackets(&child);
                    if rule == Rule::lbrace {
                        let inside: Vec<_> = std::iter::once(child).chain(children.by_ref()).collect();
                        parts.push(self.braces(inside));
                    } else {
                        parts.push(self.node(child));
                    }
                }
            }
            left = Some(rule);
        }
        let sequence = Document::sequence(parts);
        if hangs { Document::group(sequence, false) } else { sequence }
    }

    /// Formats `name: value`, aligned with adjacent entries.
    fn row(&mut self, children: Vec<Pair<'_, Rule>>) -> Document<'t> {
        let mut children = children.into_iter();
        let mut parts: Vec<Document<'t>> = children.by_ref().take(2).map(|child| self.node(child)).collect();
        parts.extend([Document::Cell, Document::Space]);
        parts.push(self.sequence(children.collect()));
        Document::Row(Box::new(Document::sequence(parts)))
    }

    /// Formats `delivers a, b`.
    fn promises(&mut self, children: Vec<Pair<'_, Rule>>) -> Document<'t> {
        let mut parts = Vec::new();
        for child in children {
            match child.as_rule() {
                Rule::delivers_word => parts.push(self.node(child)),
                Rule::comma => parts.push(Document::Comma),
                _ if parts.len() == 1 => {
                    parts.push(Document::Space);
                    parts.push(self.node(child));
                }
                _ => {
                    let promise = self.node(child);
                    let line = Document::Line { flat: Flat::Space, blank: false };
                    parts.push(Document::indented(vec![line, promise]));
                }
            }
        }
        Document::group(Document::sequence(parts), false)
    }
}

/// Returns whether there is no blank between two parts.
fn is_tight(left: Rule, right: Rule) -> bool {
    let touches_left = matches!(
        right,
        Rule::comma
            | Rule::colon
            | Rule::question
            | Rule::dot
            | Rule::member
            | Rule::index
            | Rule::arguments
            | Rule::parameters
            | Rule::type_parameters
            | Rule::type_argument
            | Rule::type_sizes
            | Rule::dots
            | Rule::dots_equal
            | Rule::rbracket
            | Rule::rparen
            | Rule::greater
    );
    let touches_right = matches!(
        left,
        Rule::dot
            | Rule::minus
            | Rule::sign
            | Rule::dots
            | Rule::dots_equal
            | Rule::lbracket
            | Rule::lparen
            | Rule::less
    );
    touches_left || touches_right
}
