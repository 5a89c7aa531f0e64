//! The parts of steps and forks in the delivery of events: what they do to the order, and decisions that may differ.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;

use weir_grammar::Span;
use weir_plan::{Action, Expression, OnFailure, Operation};

use super::reasons::reason;
use crate::analysis::graph::{Leg, Step};
use crate::analysis::proofs::{Effect, Hop, HopKind, Reason, Rule};

const BOTH: &[Effect] = &[Effect::Loses, Effect::Repeats];
const REORDERS: &[Effect] = &[Effect::Reorders];

/// The effect of a step or a fork on the order of events.
#[derive(Debug, Clone)]
pub(super) enum OrderChange {
    /// The columns have other values.
    Replaces(Arc<[String]>, Reason),
    /// The column has another name.
    Renames(String, String),
    /// Events with equal values in these columns stay together; `None` if the columns are not known.
    SpreadsBy(Option<BTreeSet<String>>, Reason),
    /// No order is kept.
    Nothing(Reason),
}

/// Returns the reason of a decision behind a channel that may differ each time; `deduped` if it does because of a `dedupe`.
pub(super) fn decided_behind_channel(place: Span, what: &str, deduped: bool) -> Reason {
    let (what, why, remedy) = match deduped {
        true => (
            format!("{what} behind a `dedupe`"),
            "each sink has a `dedupe` of its own, so that of two equal events both may be dropped",
            "move the `dedupe` before the channel",
        ),
        false => (
            format!("{what} by a value that varies, behind a channel"),
            "each sink decides again at each delivery, so that the event may reach no sink, or two",
            "decide by values that are always the same",
        ),
    };
    reason(Rule::DecisionBehindChannel, BOTH, place, what, why).with_remedy(remedy)
}

/// Returns the reason of a decision before a channel that may differ each time.
pub(super) fn decided_before_channel(place: Span, what: &str) -> Reason {
    let what = format!("{what} by a value that varies");
    let why =
        "when the source reads the event again, it may go another way, where its position counts as known";
    reason(Rule::DecisionBeforeChannel, BOTH, place, what, why)
        .with_remedy("decide by values that are always the same")
}

/// Returns the reason of a decision by a lookup table, whose file may change before a restart.
pub(super) fn decided_by_table(place: Span, what: &str) -> Reason {
    let what = format!("{what} by a lookup table, whose file may be another one after a restart");
    let why = "then the event may go another way, where its position counts as known, or come a second time";
    reason(Rule::TableVaries, BOTH, place, what, why).with_remedy("decide by values that are always the same")
}

/// Returns the reason of a decision behind a channel by a value that a step before the channel has from a lookup table.
pub(super) fn decided_by_table_before(place: Span, what: &str) -> Reason {
    let what =
        format!("{what} by a value of a lookup table, which may be another one when the event is read again");
    let why = "after a crash the event may go another way, where its position counts as known";
    let remedy = "decide behind a durable channel, which keeps the value, or by something else";
    reason(Rule::TableVaries, BOTH, place, what, why).with_remedy(remedy)
}

/// Returns the reason of a decision by a header that may be another one when the event is read again.
pub(super) fn decided_by_header(place: Span, what: &str) -> Reason {
    let what = format!("{what} by a header that may be another one when the event is read again");
    let why = "after a crash the event may go another way, where its position counts as known";
    let remedy = "decide behind a durable channel, which keeps the header, or by something else";
    reason(Rule::HeaderVaries, BOTH, place, what, why).with_remedy(remedy)
}

/// Returns why a fork that chooses again loses an event where positions are stored.
pub(super) fn returns_elsewhere(rule: Rule, fork: &str, word: Span) -> Reason {
    let what = format!("`{fork}` may send an event that comes again to another branch");
    let why = "the position of the event may count as known there";
    reason(rule, &[Effect::Loses], word, what, why).with_positions(true)
}

/// Returns the hop of a fork, or of a step that ends a way.
pub(super) fn fork(name: &str, says: &str) -> Hop {
    Hop { kind: HopKind::Step, name: name.to_owned(), says: says.to_owned() }
}

/// Returns the hop of a `balance by`, and its effect on the order.
pub(super) fn balance_by(by: &Expression, word: Span) -> (Hop, OrderChange) {
    let columns = columns_of(by);
    let why = "only events with an equal key stay together";
    let what = match &columns {
        Some(columns) if !columns.is_empty() => {
            let names: Vec<String> = columns.iter().map(|name| format!("`{name}`")).collect();
            format!("`balance by` spreads events by {}", names.join(" and "))
        }
        _ => "`balance by` spreads events".to_owned(),
    };
    let change = OrderChange::SpreadsBy(columns, reason(Rule::OtherKey, REORDERS, word, what, why));
    (fork("balance by", "events with equal keys go to the same branch, also when they come again"), change)
}

/// Returns the columns that alone decide the value of an expression; `None` if something else does.
pub(super) fn columns_of(expression: &Expression) -> Option<BTreeSet<String>> {
    let columns = RefCell::new(BTreeSet::new());
    let is_other = expression.any(&|part| match &part.operation {
        Operation::Column(name) => {
            columns.borrow_mut().insert(name.clone());
            false
        }
        Operation::Local(_) | Operation::Table(_) => true,
        _ => part.is_varying_call(),
    });
    (!is_other).then(|| columns.into_inner())
}

/// Returns the part of a step in the delivery, in words; `None` if it only changes events.
pub(super) fn effect_of(step: &Step) -> Option<&'static str> {
    match &step.action {
        Action::Keep(_) | Action::Drop(_) => Some("drops events, which count as delivered"),
        Action::Sample(_) => Some("keeps a part of the events, the same ones when they come again"),
        Action::Dedupe { .. } => {
            Some("drops events with a value that has passed; a restart forgets the values")
        }
        Action::Throttle(_) => Some("delays events, and drops none"),
        Action::Explode(_) => Some("makes an event of each element"),
        Action::Reject { .. } | Action::Check { .. } => Some("rejects some events: they go to `rejects`"),
        _ => match step.on_failure {
            Some(OnFailure::Reject) => Some("rejects events for which it fails: they go to `rejects`"),
            Some(OnFailure::Drop) => Some("drops events for which it fails; they count as delivered"),
            _ => None,
        },
    }
}

/// Returns the first step of a leg, or of the branches behind it, for which the predicate is true.
pub(super) fn first_step<'l>(leg: &'l Leg, is: &dyn Fn(&Step) -> bool) -> Option<&'l Step> {
    let own = leg.steps.iter().find(|step| is(step));
    own.or_else(|| leg.to.legs().into_iter().find_map(|leg| first_step(leg, is)))
}
