//! What components put, take, wait and hold at most, held against each other where they meet: the
//! `puts`, `takes`, `waits` and `holds` clauses of signatures.

use std::cmp::Ordering;

use weir_grammar::tree::{Amount, AmountKind, Role};
use weir_plan::Value;

use crate::checker::Checker;
use crate::diagnostics::{DefaultPutTooLarge, HeldTooLong, PutTooLarge, ShownAmount, TooLarge};
use crate::flows::Edge;
use crate::flows::components::CheckedComponent;
use crate::flows::graph::required_destinations;
use crate::names::scopes::ComponentIndex;
use crate::signatures::classes::Class;
use crate::values::operators::compare;
use crate::values::requirements::{Side, collect_names, is_met, operand_value, shown_value};
use crate::values::settings::is_within;

/// How often a size is doubled or halved in search of one that fits: more than any size has bits.
const STEPS: u32 = 63;

impl Checker<'_> {
    /// Holds what a source puts as one whole against what the channel at its side takes at once.
    pub(crate) fn puts_fit(&mut self, source: &Side<'_>, channel: &Side<'_>) {
        let (Some(put), Some(taken)) = (source.amount(AmountKind::Puts), channel.amount(AmountKind::Takes))
        else {
            return;
        };
        if compare(&put.most, &taken.most) != Some(Ordering::Greater) {
            return;
        }
        let lower = source.fitting(
            &put,
            |size, steps| size.checked_shr(steps),
            |most| compare(most, &taken.most) != Some(Ordering::Greater),
        );
        let raise = channel.fitting(
            &taken,
            |size, steps| size.checked_mul(1 << steps),
            |most| compare(&put.most, most) != Some(Ordering::Greater),
        );
        let written = put.is_written(source) && taken.is_written(channel);
        let implicit = channel.implicit;
        let (put, taken) = (put.shown(source), taken.shown(channel));
        let too_large = TooLarge { put, taken, lower, raise, implicit };
        // A default of the library must not make a program wrong.
        match written {
            true => self.report(PutTooLarge(too_large)),
            false => self.report(DefaultPutTooLarge(too_large)),
        }
    }
}

/// Warns where a sink holds events for longer than the peers of a source wait for them. A channel that
/// outlives the agent answers them itself.
pub(crate) fn answers_in_time(
    edges: &[Edge<'_>],
    components: &[CheckedComponent<'_>],
    checker: &mut Checker<'_>,
) {
    let class = |index: ComponentIndex| components[index].signature.map(|signature| signature.class);
    for edge in edges {
        let Some(source) = components[edge.from].side() else { continue };
        let Some(wait) = source.amount(AmountKind::Waits) else { continue };
        let mut sinks: Vec<ComponentIndex> = Vec::new();
        for first in required_destinations(&edge.leg) {
            match components[first].declared.role {
                Role::Channel if class(first) == Some(Class::Volatile) => {
                    let behind = edges.iter().filter(|edge| edge.from == first);
                    sinks.extend(behind.flat_map(|edge| required_destinations(&edge.leg)));
                }
                Role::Sink if hands_on(checker) => sinks.push(first),
                _ => {}
            }
        }
        for sink in sinks {
            let Some(sink) = components[sink].side() else { continue };
            let Some(held) = sink.amount(AmountKind::Holds) else { continue };
            if compare(&held.most, &wait.most).is_some_and(Ordering::is_ge) {
                checker.report(HeldTooLong { waits: wait.shown(&source), holds: held.shown(&sink) });
            }
        }
    }
}

/// Whether the channel of a way that names none hands acknowledgements through.
fn hands_on(checker: &Checker<'_>) -> bool {
    let kind = checker.library.default_channel.as_deref();
    let signature = kind.and_then(|kind| checker.library.signature(Role::Channel, kind));
    signature.is_some_and(|signature| signature.class == Class::Volatile)
}

/// An amount of a component with its value.
struct Measured<'s> {
    amount: &'s Amount,
    most: Value,
}

impl Measured<'_> {
    /// Whether the program gives one of the settings that it follows from, or it follows from none.
    fn is_written(&self, side: &Side<'_>) -> bool {
        let settings = side.named_in(&self.amount.most);
        settings.is_empty() || settings.iter().any(|setting| !setting.default)
    }

    fn shown(&self, side: &Side<'_>) -> ShownAmount {
        let mut settings = side.named_in(&self.amount.most);
        let setting = settings.first().map(|setting| setting.name.clone());
        settings.extend(self.amount.condition.iter().flat_map(|condition| side.named_in(condition)));
        ShownAmount {
            component: side.name.to_owned(),
            declared: side.declared,
            most: shown_value(&self.most),
            setting,
            settings,
            because: self.amount.because.text.clone(),
            because_span: self.amount.because.span,
        }
    }
}

impl<'s> Side<'s> {
    /// What the component puts, takes, waits or holds at most: of several clauses the one that decides.
    fn amount(&self, kind: AmountKind) -> Option<Measured<'s>> {
        let amounts = self.group.amounts.iter().filter(|amount| amount.kind == kind);
        let applies = |amount: &&Amount| {
            amount.condition.as_ref().is_none_or(|condition| is_met(condition, self.values))
        };
        let measured = amounts.filter(applies).filter_map(|amount| {
            let most = operand_value(&amount.most, self.values)?;
            (most != Value::Null).then_some(Measured { amount, most })
        });
        measured.reduce(|first, second| {
            let order = compare(&second.most, &first.most);
            let decides = match kind {
                AmountKind::Puts | AmountKind::Holds => order == Some(Ordering::Greater),
                AmountKind::Takes | AmountKind::Waits => order == Some(Ordering::Less),
            };
            if decides { second } else { first }
        })
    }

    /// The setting of an amount and the first size, of those that `step` makes of its own, with which the
    /// amount fits.
    fn fitting(
        &self,
        measured: &Measured<'_>,
        step: impl Fn(u64, u32) -> Option<u64>,
        fits: impl Fn(&Value) -> bool,
    ) -> Option<(String, String)> {
        let mut names = Vec::new();
        collect_names(&measured.amount.most, &mut names);
        let name = names.first()?;
        let setting = self.setting(name)?;
        let Value::Size(size) = self.values.get(name)? else { return None };
        let sizes = (1..=STEPS).map_while(|steps| step(*size, steps)).map(Value::Size);
        let mut allowed =
            sizes.filter(|size| setting.range.as_ref().is_none_or(|range| is_within(range, size)));
        let found = allowed.find(|size| {
            let mut values = self.values.clone();
            values.insert(name.clone(), size.clone());
            let changed = Side { values: &values, ..*self };
            changed.amount(measured.amount.kind).is_some_and(|measured| fits(&measured.most))
        })?;
        Some((format!("{}.{name}", self.name), shown_value(&found)))
    }
}
