//! Syntax errors as data. The compiler renders them as messages.

use crate::Span;

/// A syntax error.
#[derive(Debug, Clone, PartialEq)]
pub struct SyntaxError {
    /// The place of the error.
    pub span: Span,
    /// The kind of the error.
    pub kind: SyntaxErrorKind,
}

/// The kinds of syntax errors.
#[derive(Debug, Clone, PartialEq)]
pub enum SyntaxErrorKind {
    /// A token at a place where the grammar expects another one.
    Unexpected {
        /// The token, in quotes or described.
        found: String,
        /// Descriptions of the expected tokens, the likeliest first.
        expected: Vec<&'static str>,
        /// A hint at the likely intention, if this is a typical mistake.
        hint: Option<String>,
    },
    /// A text without a closing `"` on its line.
    UnclosedText {
        /// The edits that close it or join its lines, if its end is clear.
        edits: Vec<(Span, String)>,
    },
    /// An opening bracket without its closing one.
    UnclosedBracket {
        /// The bracket.
        opener: char,
    },
    /// A closing bracket without its opening one.
    UnmatchedBracket {
        /// The bracket.
        closer: char,
        /// The innermost open bracket, if any, with its place.
        opener: Option<(char, Span)>,
    },
    /// A malformed number, or a number with an unknown unit.
    MalformedNumber {
        /// A description of the problem.
        reason: String,
        /// The place of the unit, if the unit is unknown.
        unit: Option<Span>,
    },
    /// An invalid escape or brace in a text.
    MalformedText {
        /// A description of the problem.
        reason: String,
        /// The correct spelling, if it is known.
        instead: Option<&'static str>,
    },
    /// An unknown word at the beginning of an item.
    UnknownItem {
        /// The word.
        word: String,
    },
    /// The text exceeds a limit of the language for sizes or nesting.
    Limit {
        /// The counted things, such as `bytes in a file`.
        what: &'static str,
        /// The maximum number of them.
        limit: usize,
    },
    /// A chained comparison: `a < b < c`.
    Chained,
    /// A form of another language or tool.
    Foreign(Box<Foreign>),
}

/// A form of another language or tool, and the form that means the same here.
#[derive(Debug, Clone, PartialEq)]
pub struct Foreign {
    /// The mistake in words.
    pub message: String,
    /// The right form in words: `write …`.
    pub title: String,
    /// A remark about the right form.
    pub help: Option<String>,
    /// The edits that make the right form; empty if only the author knows what was meant.
    pub edits: Vec<(Span, String)>,
    /// Forms of one group are one mistake.
    pub(crate) group: Option<String>,
}

impl Foreign {
    /// Creates a form with a message, its right form in words, and the edits that write it.
    pub fn new(message: String, title: String, edits: Vec<(Span, String)>) -> Foreign {
        Foreign { message, title, help: None, edits, group: None }
    }
}
