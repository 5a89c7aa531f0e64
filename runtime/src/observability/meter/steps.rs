//! The counts of the steps on a component's path.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::{Reading, ReasonKind};

/// What one step did with one batch.
#[derive(Debug)]
pub(crate) struct StepCount {
    /// The step's first words. Each compiled step has its own.
    pub(crate) step: Arc<str>,
    /// The number of events before the step.
    pub(crate) received: usize,
    /// The number of events after the step.
    pub(crate) passed: usize,
    /// The dropped events.
    pub(crate) dropped: Reading,
    /// The rejected events by the kinds of the reasons.
    pub(crate) rejected: Vec<(ReasonKind, Reading)>,
    /// The counts of the rules of a quality.
    pub(crate) rules: Vec<RuleCount>,
    /// The time that the step took.
    pub(crate) took: Duration,
}

/// The name of a rule with its quality.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct RuleName {
    pub(crate) quality: String,
    pub(crate) rule: String,
}

/// What a rule found in one batch.
#[derive(Debug)]
pub(crate) struct RuleCount {
    pub(crate) rule: Arc<RuleName>,
    /// The number of checked events.
    pub(crate) checked: usize,
    /// The number of events that break the rule.
    pub(crate) broken: usize,
    /// The values with which the first of these events breaks the rule.
    pub(crate) example: Option<String>,
}

/// The counts of one rule of a quality.
#[derive(Debug, Clone, Serialize)]
pub struct RuleReading {
    /// The quality's name.
    pub quality: String,
    /// The rule's name, or its text.
    pub rule: String,
    /// The events that were checked.
    pub checked: u64,
    /// The events that broke the rule.
    pub broken: u64,
    /// The values with which the first of these events broke the rule, as JSON, without sensitive ones.
    pub first_broken: Option<String>,
}

/// The counts of one step.
#[derive(Debug, Clone, Serialize)]
pub struct StepReading {
    /// The step's first words.
    pub step: Arc<str>,
    /// The events before the step.
    pub received: u64,
    /// The events after the step.
    pub passed: u64,
    /// The events that the step dropped.
    pub dropped: u64,
    /// The events that the step rejected.
    pub rejected: u64,
    /// The time that the step took, in seconds of one thread.
    pub seconds: f64,
}

impl StepReading {
    pub(crate) fn new(step: &Arc<str>) -> StepReading {
        let step = step.clone();
        StepReading { step, received: 0, passed: 0, dropped: 0, rejected: 0, seconds: 0.0 }
    }

    pub(crate) fn add(&mut self, other: &StepReading) {
        self.received += other.received;
        self.passed += other.passed;
        self.dropped += other.dropped;
        self.rejected += other.rejected;
        self.seconds += other.seconds;
    }
}

/// The rejected events of a component's path, by the step's first words and the kind of the reason.
pub type RejectedBySteps = BTreeMap<String, BTreeMap<&'static str, Reading>>;

/// The counts of the steps on one component's path.
#[derive(Debug, Default)]
pub(super) struct Steps {
    /// In the order in which the steps were applied first, which is the order of the path.
    totals: Vec<StepReading>,
    rejected: RejectedBySteps,
    /// In the order in which the rules were applied first.
    rules: Vec<RuleReading>,
}

impl Steps {
    pub(super) fn add(&mut self, count: &StepCount) {
        let known = self.totals.iter().position(|total| Arc::ptr_eq(&total.step, &count.step));
        let index = known.unwrap_or_else(|| {
            self.totals.push(StepReading::new(&count.step));
            self.totals.len() - 1
        });
        let total = &mut self.totals[index];
        total.received += count.received as u64;
        total.passed += count.passed as u64;
        total.dropped += count.dropped.events;
        total.seconds += count.took.as_secs_f64();
        count.rules.iter().for_each(|rule| self.add_rule(rule));
        let total = &mut self.totals[index];
        for (kind, reading) in &count.rejected {
            total.rejected += reading.events;
            let by_kind = self.rejected.entry(count.step.to_string()).or_default();
            by_kind.entry(kind.name()).or_default().add_reading(*reading);
        }
    }

    fn add_rule(&mut self, count: &RuleCount) {
        let RuleName { quality, rule } = &*count.rule;
        let known = self.rules.iter().position(|known| known.quality == *quality && known.rule == *rule);
        let index = known.unwrap_or_else(|| {
            let (quality, rule) = (quality.clone(), rule.clone());
            self.rules.push(RuleReading { quality, rule, checked: 0, broken: 0, first_broken: None });
            self.rules.len() - 1
        });
        let total = &mut self.rules[index];
        total.checked += count.checked as u64;
        total.broken += count.broken as u64;
        if total.first_broken.is_none() {
            total.first_broken.clone_from(&count.example);
        }
    }

    pub(super) fn rules(&self) -> Vec<RuleReading> {
        self.rules.clone()
    }

    pub(super) fn totals(&self) -> Vec<StepReading> {
        self.totals.clone()
    }

    pub(super) fn rejected(&self) -> RejectedBySteps {
        self.rejected.clone()
    }
}
