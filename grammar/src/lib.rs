//! The Weir language: source text to syntax trees and errors, and to its canonical form.
//!
//! [`parse`] always returns both: what could be read, and one error for each mistake. It reads item by
//! item, so that a mistake in one leaves the others alone and no more of pest's pairs than those of
//! one item are ever in memory.
//!
//! This crate must not know what a program means: no name is resolved, no type is known, no component
//! exists, and nothing is read but the text it is given.

#[doc(hidden)]
pub mod bare;
mod build;
mod error;
mod expectation;
mod format;
mod layout;
mod literal;
mod parse;
mod span;
pub mod tree;

pub use error::{SyntaxError, SyntaxErrorKind};
pub use format::format;
pub use layout::{ITEM_WORDS, RESERVED_WORDS};
pub use literal::UNITS;
pub use parse::{Parsed, parse, parse_value};
pub use span::{FileId, Span};

/// The parser that pest makes of `flow.pest`.
#[allow(missing_docs)]
mod pest_grammar {
    /// See `flow.pest`.
    #[derive(pest_derive::Parser)]
    #[grammar = "flow.pest"]
    pub(crate) struct FlowParser;
}

pub(crate) use pest_grammar::{FlowParser, Rule};
