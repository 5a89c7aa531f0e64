//! What can be wrong with a text, as data. The words for it are the compiler's.

use crate::Span;

/// A mistake in a text.
#[derive(Debug, Clone, PartialEq)]
pub struct SyntaxError {
    /// Where it is.
    pub span: Span,
    /// What it is.
    pub kind: SyntaxErrorKind,
}

/// The mistakes that a text can have.
#[derive(Debug, Clone, PartialEq)]
pub enum SyntaxErrorKind {
    /// Something else should stand here.
    Unexpected {
        /// What stands here, in words or in quotes.
        found: String,
        /// What could, in words; the likeliest first.
        expected: Vec<&'static str>,
        /// What was most likely meant, in words, if it is a typical slip.
        hint: Option<String>,
    },
    /// A `"` without a second one on its line.
    UnclosedText,
    /// An opening bracket without its closing one.
    UnclosedBracket {
        /// The bracket.
        opener: char,
    },
    /// A closing bracket without its opening one.
    UnmatchedBracket {
        /// The bracket.
        closer: char,
        /// The bracket that it should have closed, if one is open.
        opener: Option<(char, Span)>,
    },
    /// A number that isn't one, or whose unit is unknown.
    MalformedNumber {
        /// What is wrong with it.
        reason: String,
        /// The unit, if it is what is wrong.
        unit: Option<Span>,
    },
    /// A piece of text that can't stand in text.
    MalformedText {
        /// What is wrong with it.
        reason: String,
        /// What to write instead.
        instead: Option<&'static str>,
    },
    /// An item begins with a word that begins no item.
    UnknownItem {
        /// The word.
        word: String,
    },
    /// The text is larger, or nested deeper, than the language allows.
    Limit {
        /// Which limit.
        what: &'static str,
        /// Its value.
        limit: usize,
    },
    /// A question about the answer to a question: `a < b < c`.
    Chained,
}
