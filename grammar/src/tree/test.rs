//! Tests of programs.

use super::{Expression, Name, Path};
use crate::Span;

/// A test.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// The title.
    pub title: String,
    /// The place of the title, including the quotes.
    pub title_span: Span,
    /// The actions and expectations, in order.
    pub acts: Vec<Act>,
    /// Whether an act has a syntax error and is missing.
    pub broken: bool,
}

/// One line of a test: an action or an expectation.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    /// The place of the line.
    pub span: Span,
    /// The kind of the act.
    pub kind: ActKind,
}

/// The kinds of acts.
#[derive(Debug, Clone, PartialEq)]
pub enum ActKind {
    /// `send clicks ["…"]`
    Send(Path, Expression),
    /// `expect lake [{ … }]`, also of `rejects`
    Expect(Path, Expression),
    /// `expect no loss`
    ExpectNo(Name),
    /// `advance 10min`
    Advance(Expression),
    /// `fail lake 3 times`
    Fail(Path, Fault),
    /// `crash`
    Crash,
}

/// The failure that a test injects into a component.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// The next calls fail, this number of times.
    Times(Expression),
    /// A named failure, such as `disk_full`.
    Named(Name),
}
