//! Finds tests that can't fail, and expectations that are true in every run.

use weir_grammar::Span;
use weir_grammar::tree::Operator;

use super::ProgramTests;
use crate::analysis::program_tests::{StepTest, TestAct, TestActKind, TestEvents};
use crate::diagnostics::ExpectsNothing;

const THE_TEST: &str = "this test";
const THE_EXPECTATION: &str = "this expectation";

impl ProgramTests<'_, '_> {
    /// Warns about a table without rows.
    pub(super) fn table_tests_something(&mut self, test: &StepTest, title: Span) {
        if test.rows.is_empty() {
            let (reason, help) = ("it has no rows", "add a row: `in: …, out: …`");
            self.checker.report(ExpectsNothing { what: THE_TEST, reason, help, span: title });
        }
    }

    /// Warns about a test without expectations, and about each expectation that can't fail.
    pub(super) fn acts_test_something(&mut self, acts: &[TestAct], title: Span) {
        let is_expectation = |act: &&TestAct| match &act.kind {
            TestActKind::Expect { .. }
            | TestActKind::Writes { .. }
            | TestActKind::NoLoss
            | TestActKind::NoDuplicates
            | TestActKind::Order
            | TestActKind::Metric { .. } => true,
            TestActKind::Send { .. }
            | TestActKind::Advance(_)
            | TestActKind::Fail { .. }
            | TestActKind::DiskFull(_)
            | TestActKind::Crash => false,
        };
        if !acts.iter().any(|act| is_expectation(&act)) {
            let help = "say what has to come out: `expect SINK [{ … }]`";
            let reason = "it expects nothing";
            self.checker.report(ExpectsNothing { what: THE_TEST, reason, help, span: title });
            return;
        }
        for (index, act) in acts.iter().enumerate() {
            if let Some((reason, help)) = why_true(act, &acts[..index]) {
                self.checker.report(ExpectsNothing { what: THE_EXPECTATION, reason, help, span: act.span });
            }
        }
    }
}

/// Returns why an expectation holds in every run, and what would test something; none if it may fail.
fn why_true(act: &TestAct, before: &[TestAct]) -> Option<(&'static str, &'static str)> {
    let sends = before.iter().any(|act| matches!(act.kind, TestActKind::Send { .. }));
    let faults = before.iter().any(|act| {
        matches!(act.kind, TestActKind::Fail { .. } | TestActKind::DiskFull(_) | TestActKind::Crash)
    });
    let nothing_sent = ("nothing was sent before", "`send` events before it");
    match &act.kind {
        TestActKind::Expect { events: TestEvents::Listed(events), .. }
        | TestActKind::Writes { events, .. } => (events.is_empty() && !sends).then_some(nothing_sent),
        TestActKind::NoLoss | TestActKind::NoDuplicates | TestActKind::Order if !sends => Some(nothing_sent),
        TestActKind::NoLoss | TestActKind::NoDuplicates if !faults => {
            let reason = "it compares with a run without faults, and this test has none";
            Some((reason, "let something fail before it (`fail … 3 times`, `crash`), or expect the events"))
        }
        TestActKind::Metric { comparison, value, .. } => {
            let always = match comparison {
                Operator::GreaterOrEqual => *value <= 0,
                Operator::Greater | Operator::NotEqual => *value < 0,
                _ => false,
            };
            always
                .then_some(("a count is never below 0", "expect a number that a wrong program does not have"))
        }
        _ => None,
    }
}
