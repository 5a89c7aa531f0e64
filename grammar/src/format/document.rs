//! The document to be printed: text with possible line breaks.

use std::borrow::Cow;

/// A part of the text whose line breaks are not yet decided.
#[derive(Debug)]
pub(super) enum Document<'t> {
    /// A token.
    Text(Cow<'t, str>),
    /// A blank, unless a line ends here.
    Space,
    /// A comma, which precedes a comment at the end of the line.
    Comma,
    /// A comma if the group is broken.
    CommaIfBroken,
    /// A line break if the group is broken.
    Line {
        /// The replacement if the group is on one line.
        flat: Flat,
        /// Whether a blank line follows.
        blank: bool,
    },
    /// A line break.
    HardLine {
        /// Whether a blank line follows.
        blank: bool,
    },
    /// A part whose lines are indented by one level.
    Indent(Box<Document<'t>>),
    /// A part that is either on one line, or broken at all of its own `Line`s.
    Group(Box<Group<'t>>),
    /// Consecutive parts.
    Sequence { parts: Vec<Document<'t>>, forced: bool },
    /// A comment on a line of its own.
    OwnLine { text: &'t str, blank_after: bool },
    /// A comment at the end of its line.
    Trailing(&'t str),
    /// An entry whose value is aligned with the values of adjacent one-line entries.
    Row(Box<Document<'t>>),
    /// The beginning of the aligned part of a row.
    Cell,
}

/// The replacement of a line break in a group that is on one line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flat {
    Nothing,
    Space,
    CommaAndSpace,
}

/// See [`Document::Group`].
#[derive(Debug)]
pub(super) struct Group<'t> {
    pub(super) content: Document<'t>,
    /// Whether the group is broken even if it fits on one line.
    pub(super) forced: bool,
    /// The last part, which does not count when the group is fitted on one line: `copy { … }` in a chain.
    pub(super) last: Option<Document<'t>>,
}

impl<'t> Document<'t> {
    pub(super) fn fixed(text: &'static str) -> Document<'t> {
        Document::Text(Cow::Borrowed(text))
    }

    /// Returns a line break, or a blank if the group is on one line.
    pub(super) fn line() -> Document<'t> {
        Document::Line { flat: Flat::Space, blank: false }
    }

    /// Returns a line break, or nothing if the group is on one line.
    pub(super) fn soft_line() -> Document<'t> {
        Document::Line { flat: Flat::Nothing, blank: false }
    }

    pub(super) fn sequence(parts: Vec<Document<'t>>) -> Document<'t> {
        let forced = parts.iter().any(Document::is_forced);
        Document::Sequence { parts, forced }
    }

    pub(super) fn indented(parts: Vec<Document<'t>>) -> Document<'t> {
        Document::Indent(Box::new(Document::sequence(parts)))
    }

    pub(super) fn group(content: Document<'t>, forced: bool) -> Document<'t> {
        let forced = forced || content.is_forced();
        Document::Group(Box::new(Group { content, forced, last: None }))
    }

    pub(super) fn group_with_last(content: Document<'t>, forced: bool, last: Document<'t>) -> Document<'t> {
        let forced = forced || content.is_forced();
        Document::Group(Box::new(Group { content, forced, last: Some(last) }))
    }

    /// Returns whether the document contains an unconditional line break.
    pub(super) fn is_forced(&self) -> bool {
        match self {
            Document::HardLine { .. } | Document::OwnLine { .. } | Document::Trailing(_) => true,
            Document::Indent(inner) | Document::Row(inner) => inner.is_forced(),
            Document::Group(group) => group.forced || group.last.as_ref().is_some_and(Document::is_forced),
            Document::Sequence { forced, .. } => *forced,
            _ => false,
        }
    }
}
