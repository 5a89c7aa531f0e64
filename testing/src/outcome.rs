//! The outcome of a test, as data.

use std::time::Duration;

use weir_grammar::Span;

use crate::watching::Reached;

/// The result of one run of a test.
#[derive(Debug, Clone)]
pub struct TestResult {
    /// The test's title.
    pub title: String,
    /// The place of the title.
    pub span: Span,
    /// The seed of the run.
    pub seed: u64,
    /// Why the test has failed; none if it has passed.
    pub failure: Option<Failure>,
    /// How long the run took.
    pub took: Duration,
    /// The virtual time that has passed.
    pub advanced: Duration,
    /// What the events have reached.
    pub reached: Reached,
    /// The way of each event, in words; empty unless it was asked for.
    pub trace: Vec<String>,
    /// A number that is equal for two runs in which the same happened.
    pub digest: u64,
    /// The files of expected events that the run has written.
    pub blessed: Vec<String>,
}

/// Why a test has failed.
#[derive(Debug, Clone, PartialEq)]
pub struct Failure {
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// The places that show it, the first one first, each with its explanation.
    pub labels: Vec<(Span, String)>,
    /// What was expected beside what came.
    pub comparison: Vec<Compared>,
    /// What may help.
    pub notes: Vec<String>,
}

/// One line of a comparison of what was expected with what came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    /// How they differ.
    pub difference: Difference,
    /// The expected event; empty if none was expected.
    pub expected: String,
    /// The event that came; empty if none came.
    pub found: String,
}

/// How an expected event differs from one that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// Not at all.
    Same,
    /// In these columns.
    In(Vec<String>),
    /// It did not come.
    Missing,
    /// It was not expected.
    Unexpected,
}

impl Failure {
    /// Makes a failure at one place.
    pub(crate) fn at(span: Span, message: impl Into<String>, label: impl Into<String>) -> Failure {
        Failure {
            message: message.into(),
            labels: vec![(span, label.into())],
            comparison: Vec::new(),
            notes: Vec::new(),
        }
    }
}
