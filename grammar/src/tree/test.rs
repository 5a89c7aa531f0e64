//! Tests of programs.

use super::{Call, Entry, Expression, Name, Operator, Path};
use crate::Span;

/// A test.
#[derive(Debug, Clone, PartialEq)]
pub struct Test {
    /// The title.
    pub title: String,
    /// The place of the title, including the quotes.
    pub title_span: Span,
    /// The interceptor with its arguments, or the function, that is tested alone: `of tidy(user)`.
    pub subject: Option<Call>,
    /// The schema of the events that go into the interceptor: `of tidy(user) as Visit`.
    pub subject_schema: Option<Path>,
    /// The values of params for this test: `with topic: "clicks"`.
    pub params: Vec<Entry>,
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
    /// `send clicks lines ["…"]`: lines as a file has them, which the source makes events of.
    SendLines(Path, Expression),
    /// `expect lake writes [{ path: "…" }]`
    ExpectWrites(Path, Expression),
    /// `send clicks lines from "clicks.log"`
    SendFileLines(Path, FileName),
    /// `send clicks from "clicks.log"`
    SendFile(Path, FileName),
    /// `expect lake from "lake.json"`
    ExpectFile(Path, FileName),
    /// `expect no loss`
    ExpectNo(Name),
    /// `expect order`
    ExpectOrder,
    /// `expect metric lake.delivered == 3`: the component, the metric, the comparison and the number.
    ExpectMetric(Path, Operator, Expression),
    /// `for each { in: 404, out: "client" }`
    ForEach(Vec<Row>),
    /// `advance 10min`
    Advance(Expression),
    /// `fail lake 3 times`
    Fail(Path, Fault),
    /// `crash`
    Crash,
}

/// The name of a file, relative to the file of the program.
#[derive(Debug, Clone, PartialEq)]
pub struct FileName {
    /// The text.
    pub text: String,
    /// The place of the text, including the quotes.
    pub span: Span,
}

/// A row of a table: what goes in, and what has to come out.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The place of the row.
    pub span: Span,
    /// What goes in.
    pub given: Expression,
    /// What has to come out.
    pub out: Expression,
}

/// The failure that a test injects into a component.
#[derive(Debug, Clone, PartialEq)]
pub enum Fault {
    /// The next calls fail, this number of times.
    Times(Expression),
    /// A named failure, such as `disk_full`.
    Named(Name),
}
