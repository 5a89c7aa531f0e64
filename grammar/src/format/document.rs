//! What is to be printed, with the places where a line may end.

use std::borrow::Cow;

/// A piece of a text whose line ends are still open.
#[derive(Debug)]
pub(super) enum Document<'t> {
    /// A token.
    Text(Cow<'t, str>),
    /// A blank, unless a line ends here.
    Space,
    /// A comma, which stands before a comment that ends the line.
    Comma,
    /// A comma where the group's lines are broken.
    CommaIfBroken,
    /// The end of a line if the group's lines are broken.
    Line {
        /// What stands here if they are not.
        flat: Flat,
        /// Whether a blank line follows.
        blank: bool,
    },
    /// The end of a line.
    HardLine {
        /// Whether a blank line follows.
        blank: bool,
    },
    /// One level deeper where lines begin in it.
    Indent(Box<Document<'t>>),
    /// What is either all on one line, or broken at all its own lines.
    Group(Box<Group<'t>>),
    /// One after the other.
    Sequence { parts: Vec<Document<'t>>, forced: bool },
    /// A comment on a line of its own.
    OwnLine { text: &'t str, blank_after: bool },
    /// A comment at the end of its line.
    Trailing(&'t str),
    /// An entry whose value is aligned with its neighbours' where all are on one line each.
    Row(Box<Document<'t>>),
    /// Where the aligned part of a row begins.
    Cell,
}

/// What stands for a line end in a group that is on one line.
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
    /// Whether its lines are broken, however short they are.
    pub(super) forced: bool,
    /// Its last part, which has no say in whether the others are on one line: `copy { … }` in a chain.
    pub(super) last: Option<Document<'t>>,
}

impl<'t> Document<'t> {
    pub(super) fn fixed(text: &'static str) -> Document<'t> {
        Document::Text(Cow::Borrowed(text))
    }

    /// A line's end, or a blank.
    pub(super) fn line() -> Document<'t> {
        Document::Line { flat: Flat::Space, blank: false }
    }

    /// A line's end, or nothing.
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

    /// Whether it has a line's end, whatever its width.
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
