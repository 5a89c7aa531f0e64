//! Builds the tree from pest's pairs.
//!
//! The grammar fixes the inner pairs of a rule and their order, so the builder selects pairs by
//! rule and skips punctuation. If a pair is missing, the node is broken.

mod expression;
mod flow;
mod item;
mod signature;
mod step;
mod test;
mod text;

use pest::iterators::{Pair, Pairs};

use crate::error::{Foreign, SyntaxError, SyntaxErrorKind};
use crate::parse::without_marks;
use crate::repair::Shifts;
use crate::tree::{Because, Comment, CommentKind, Expression, ExpressionKind, Name, Path};
use crate::{FileId, Rule, Span};

/// Builds the tree of one file, item by item.
pub(crate) struct Builder<'t> {
    pub(crate) file: FileId,
    pub(crate) text: &'t str,
    /// The offset of the current item in the file.
    pub(crate) base: usize,
    /// The relation between places of the parsed copy and places of the item.
    pub(crate) shifts: Shifts,
    /// The entries of the current item with syntax errors, which were blanked.
    pub(crate) blanked: Vec<Span>,
    pub(crate) errors: Vec<SyntaxError>,
    /// Whether a part of a YAML file is reported.
    pub(crate) seen_yaml: bool,
    comments: &'t [Comment],
    /// The index of the first comment after the items and entries that are built.
    next_comment: usize,
}

impl<'t> Builder<'t> {
    pub(crate) fn new(file: FileId, text: &'t str, comments: &'t [Comment]) -> Builder<'t> {
        Builder {
            file,
            text,
            base: 0,
            shifts: Shifts::default(),
            blanked: Vec::new(),
            errors: Vec::new(),
            seen_yaml: false,
            comments,
            next_comment: 0,
        }
    }

    /// Begins the item at this offset, and skips the comments inside the previous item.
    pub(crate) fn begin_item(&mut self, base: usize, last_end: usize) {
        self.base = base;
        self.shifts = Shifts::default();
        self.blanked.clear();
        let rest = &self.comments[self.next_comment..];
        self.next_comment += rest.iter().take_while(|comment| comment.span.end as usize <= last_end).count();
    }

    /// Returns the doc comment before a place, after the place of the previous call.
    pub(crate) fn documentation(&mut self, place: u32) -> String {
        let rest = &self.comments[self.next_comment..];
        let before = rest.iter().take_while(|comment| comment.span.end <= place).count();
        self.next_comment += before;
        if before == 0 {
            return String::new();
        }
        let lines = rest[..before].iter().filter(|comment| comment.kind == CommentKind::Item);
        lines.map(|comment| without_marks(comment.span.slice(self.text))).collect::<Vec<_>>().join("\n")
    }

    /// Converts a range of the item's copy to a span of the file.
    pub(crate) fn span(&self, start: usize, end: usize) -> Span {
        // A place in a replaced text may correspond to a place within a character.
        let start = self.text.floor_char_boundary(self.base + self.shifts.original(start));
        let end = self.text.ceil_char_boundary(self.base + self.shifts.original(end));
        Span { file: self.file, start: start as u32, end: end as u32 }
    }

    fn span_of(&self, pair: &Pair<'_, Rule>) -> Span {
        let span = pair.as_span();
        let end = span.start() + span.as_str().trim_end().len();
        self.span(span.start(), end)
    }

    fn name(&self, pair: &Pair<'_, Rule>) -> Name {
        Name { text: pair.as_str().trim().trim_matches('`').into(), span: self.span_of(pair) }
    }

    /// Returns the next name among these pairs.
    fn next_name(&self, pairs: &mut Pairs<'_, Rule>) -> Name {
        match pairs.find(|pair| is_name(pair.as_rule())) {
            Some(pair) => self.name(&pair),
            None => Name { text: "".into(), span: self.span(0, 0) },
        }
    }

    /// Builds the path of a `path` or `place` pair.
    fn path(&self, pair: Pair<'_, Rule>) -> Path {
        let mut names = pair.into_inner();
        let first = self.next_name(&mut names);
        match names.find(|pair| is_name(pair.as_rule())) {
            Some(second) => Path { qualifier: Some(first), name: self.name(&second) },
            None => Path { qualifier: None, name: first },
        }
    }

    /// Returns the next path among these pairs.
    fn next_path(&self, pairs: &mut Pairs<'_, Rule>) -> Path {
        let found = pairs.find(|pair| matches!(pair.as_rule(), Rule::path | Rule::place));
        match found {
            Some(pair) => self.path(pair),
            None => Path { qualifier: None, name: Name { text: "".into(), span: self.span(0, 0) } },
        }
    }

    /// Returns the next expression among these pairs.
    fn next_expression(&mut self, pairs: &mut Pairs<'_, Rule>) -> Expression {
        match pairs.find(|pair| pair.as_rule() == Rule::expression) {
            Some(pair) => self.expression(pair),
            None => self.broken(),
        }
    }

    fn broken(&self) -> Expression {
        Expression { span: self.span(0, 0), kind: ExpressionKind::Broken }
    }

    fn because(&mut self, pair: Pair<'_, Rule>) -> Option<Because> {
        let text = pair.into_inner().find(|pair| is_text(pair.as_rule()))?;
        let span = self.span_of(&text);
        Some(Because { text: self.plain_text(text), span })
    }

    /// Returns whether an entry in this span was blanked because of a syntax error.
    fn has_blanked(&self, span: Span) -> bool {
        self.blanked.iter().any(|blanked| span.contains(*blanked))
    }

    fn report(&mut self, span: Span, kind: SyntaxErrorKind) {
        self.errors.push(SyntaxError { span, kind });
    }

    /// Reports a form of another language with the edits that make it right.
    fn report_foreign(&mut self, span: Span, message: String, title: String, edits: Vec<(Span, String)>) {
        let foreign = Foreign { message, title, help: None, edits, group: None };
        self.report(span, SyntaxErrorKind::Foreign(Box::new(foreign)));
    }
}

fn is_name(rule: Rule) -> bool {
    matches!(rule, Rule::name | Rule::thing_name | Rule::kind_name | Rule::header)
}

fn is_text(rule: Rule) -> bool {
    matches!(rule, Rule::string | Rule::raw_string)
}
