//! Tests of programs.

use super::{Expression, Name, Path};
use crate::Span;

/// A test.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// What it shows.
    pub title: String,
    /// Where the title stands, quotes included.
    pub title_span: Span,
    /// What is done and expected, in its order.
    pub acts: Vec<Act>,
    /// Whether there were acts that could not be read.
    pub broken: bool,
}

/// One line of a test.
#[derive(Debug, Clone, PartialEq)]
pub struct Act {
    /// The whole line.
    pub span: Span,
    /// What it does.
    pub kind: ActKind,
}

/// What a line of a test does.
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

/// How something fails.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// So many times, whatever is asked of it.
    Times(Expression),
    /// In a way that has a name: `disk_full`.
    Named(Name),
}
