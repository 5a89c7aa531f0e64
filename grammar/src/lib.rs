//! The syntax of the Weir language: parses source text into a syntax tree, and formats it.
//!
//! [`parse`] always returns a tree and one error for each mistake. It parses item by item, so that a mistake
//! in one item does not affect the others, and only the pairs of one item are in memory at a time.
//!
//! This crate resolves no names, knows no types and no components, and does no I/O.

mod arrows;
#[doc(hidden)]
pub mod bare;
mod build;
mod continuation;
mod error;
mod expectation;
mod format;
mod habits;
mod layout;
mod literal;
mod parse;
mod repair;
mod span;
mod tokens;
pub mod tree;

pub use arrows::join_chains;
pub use continuation::{Continuation, continuation};
pub use error::{Foreign, SyntaxError, SyntaxErrorKind};
pub use format::format;
pub use layout::{ITEM_WORDS, RESERVED_WORDS};
pub use literal::{FIELD_UNITS, RATE_UNITS, UNITS, unit_of};
pub use parse::{Parsed, parse, parse_value};
pub use span::{FileId, Span};
pub use tokens::{Token, TokenKind, holes, is_keyword, is_of_word, tokens};

/// The parser that pest generates from `flow.pest`.
#[allow(missing_docs)]
mod pest_grammar {
    /// See `flow.pest`.
    #[derive(pest_derive::Parser)]
    #[grammar = "flow.pest"]
    pub(crate) struct FlowParser;
}

pub(crate) use pest_grammar::{FlowParser, Rule};
