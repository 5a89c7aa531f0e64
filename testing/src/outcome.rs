//! The outcome of a test, as data.

use std::ops::Range;
use std::time::Duration;

use weir_grammar::Span;

use crate::coverage::ReachedPlaces;

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
    pub reached: ReachedPlaces,
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
    pub expected: Marked,
    /// The event that came; empty if none came.
    pub found: Marked,
}

/// A text with the parts that differ from another text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Marked {
    /// The text.
    pub text: String,
    /// The parts that differ, in characters of the text.
    pub marks: Vec<Range<usize>>,
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

impl TestResult {
    /// Makes the result of a run that has panicked, which is a defect of Weir.
    pub fn panicked(title: &str, span: Span, seed: u64) -> TestResult {
        let failure =
            Failure::at(span, "the test has met a defect of Weir, and has panicked", "this test can't run");
        TestResult { failure: Some(failure), ..TestResult::new(title, span, seed) }
    }

    /// Makes the result of a test that has passed.
    pub(crate) fn new(title: &str, span: Span, seed: u64) -> TestResult {
        TestResult {
            title: title.to_owned(),
            span,
            seed,
            failure: None,
            took: Duration::ZERO,
            advanced: Duration::ZERO,
            reached: ReachedPlaces::new(),
            trace: Vec::new(),
            digest: 0,
            blessed: Vec::new(),
        }
    }
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
