//! Checks the limits of neighbouring components against each other: the `puts`, `takes`, `waits` and `holds` clauses of
//! signatures.

use std::cmp::Ordering;

use weir_grammar::tree::{Amount, AmountKind, Because, Role};
use weir_plan::Value;

use crate::analysis::graph::Graph;
use crate::analysis::settings::Values;
use crate::diagnostics::{DefaultPutTooLarge, Diagnostic, HeldTooLong, PutTooLarge, ShownAmount, TooLarge};
use crate::names::scopes::ComponentIndex;
use crate::signatures::Library;
use crate::signatures::classes::Class;
use crate::values::operators::compare;
use crate::values::ranges::is_within;
use crate::values::requirements::{
    Side, applies, channel_requirements, collect_names, operand_value, shown_value,
};

/// The maximum number of times that a size is doubled or halved in the search for one that fits. A size has 64 bits.
const STEPS: u32 = 63;

/// Returns the most bytes that a source puts as one unit; `None` if its signature does not say it.
pub(crate) fn most_put(source: &Side<'_>) -> Option<u64> {
    match source.amount(AmountKind::Puts)?.most {
        Value::Size(bytes) => Some(bytes),
        _ => None,
    }
}

/// Checks that the largest unit that a source puts fits the largest unit that the channel takes.
fn puts_fit(source: &Side<'_>, channel: &Side<'_>) -> Option<Diagnostic> {
    let (put, taken) = (source.amount(AmountKind::Puts)?, channel.amount(AmountKind::Takes)?);
    if compare(&put.most, &taken.most) != Some(Ordering::Greater) {
        return None;
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
    // A default of the library must not cause an error.
    Some(match written {
        true => PutTooLarge(too_large).into(),
        false => DefaultPutTooLarge(too_large).into(),
    })
}

/// Checks the requirements of components on their neighbouring channels, and that channels can take the units that
/// sources put.
pub(crate) fn side_by_side(graph: &Graph, library: &Library, diagnostics: &mut Vec<Diagnostic>) {
    for edge in &graph.edges {
        for (own, channel) in edge.neighbours(&graph.components) {
            let (own, channel) = (graph.components[own].side(), graph.components[channel].side());
            if let (Some(own), Some(channel)) = (own, channel) {
                diagnostics.extend(channel_requirements(&own, &channel, library));
                diagnostics.extend(puts_fit(&own, &channel));
            }
        }
    }
}

/// Warns if a sink may hold events for at least as long as the clients of a source wait for an answer. A durable
/// channel answers the clients itself.
pub(crate) fn answers_in_time(graph: &Graph, library: &Library, diagnostics: &mut Vec<Diagnostic>) {
    let class =
        |index: ComponentIndex| graph.components[index].signature.as_ref().map(|signature| signature.class);
    for edge in &graph.edges {
        let Some(source) = graph.components[edge.from].side() else { continue };
        let Some(wait) = source.amount(AmountKind::Waits) else { continue };
        let mut sinks: Vec<ComponentIndex> = Vec::new();
        for first in edge.leg.required_arrivals() {
            match graph.components[first.to].declared.role {
                Role::Channel if class(first.to) == Some(Class::Volatile) => {
                    let behind = graph.edges.iter().filter(|edge| edge.from == first.to);
                    let arrivals = behind.flat_map(|edge| edge.leg.required_arrivals());
                    sinks.extend(arrivals.map(|arrival| arrival.to));
                }
                Role::Sink if hands_on(library) => sinks.push(first.to),
                _ => {}
            }
        }
        for sink in sinks {
            let Some(sink) = graph.components[sink].side() else { continue };
            let Some(held) = sink.amount(AmountKind::Holds) else { continue };
            if compare(&held.most, &wait.most).is_some_and(Ordering::is_ge) {
                diagnostics.push(HeldTooLong { waits: wait.shown(&source), holds: held.shown(&sink) }.into());
            }
        }
    }
}

/// Returns whether the default channel passes acknowledgements through.
pub(crate) fn hands_on(library: &Library) -> bool {
    let kind = library.default_channel.as_deref();
    let signature = kind.and_then(|kind| library.signature(Role::Channel, kind));
    signature.is_some_and(|signature| signature.class == Class::Volatile)
}

/// An amount clause of a component, with its value.
struct Measured<'s> {
    amount: &'s Amount,
    most: Value,
}

impl Measured<'_> {
    /// Returns whether the program sets one of the settings that the amount depends on, or the amount depends on none.
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

/// Values of which one is replaced.
pub(super) struct Changed<'v> {
    pub(super) values: &'v dyn Values,
    pub(super) name: &'v str,
    pub(super) value: &'v Value,
}

impl Values for Changed<'_> {
    fn value(&self, name: &str) -> Option<&Value> {
        if name == self.name { Some(self.value) } else { self.values.value(name) }
    }
}

impl<'s> Side<'s> {
    /// Returns the amount of the clauses that apply: the largest for `puts` and `holds`, the smallest for `takes` and
    /// `waits`.
    fn amount(&self, kind: AmountKind) -> Option<Measured<'s>> {
        self.measured(kind).reduce(|first, second| {
            let order = compare(&second.most, &first.most);
            let decides = match kind {
                AmountKind::Puts | AmountKind::Holds | AmountKind::Memory | AmountKind::Disk => {
                    order == Some(Ordering::Greater)
                }
                AmountKind::Takes | AmountKind::Waits | AmountKind::Stores | AmountKind::Rolls => {
                    order == Some(Ordering::Less)
                }
            };
            if decides { second } else { first }
        })
    }

    /// Returns the values of the clauses of this kind that apply, each with the first setting that it names. A null is left out.
    pub(crate) fn applying(&self, kind: AmountKind) -> Vec<(Option<String>, Value)> {
        let named = self.measured(kind).map(|Measured { amount, most }| {
            let mut names = Vec::new();
            collect_names(&amount.most, &mut names);
            (names.into_iter().next(), most)
        });
        named.collect()
    }

    /// Returns the amounts of the clauses that apply. A null is left out.
    fn measured(&self, kind: AmountKind) -> impl Iterator<Item = Measured<'s>> {
        let clauses = self.group.amounts.iter().filter(move |amount| amount.kind == kind);
        let applying = clauses.filter(|amount| applies(amount.condition.as_ref(), self.values));
        applying.filter_map(|amount| {
            let most = operand_value(&amount.most, self.values)?.into_owned();
            (most != Value::Null).then_some(Measured { amount, most })
        })
    }

    /// Returns the reason of the clause of this kind that decides.
    pub(crate) fn because(&self, kind: AmountKind) -> Option<&'s Because> {
        self.amount(kind).map(|measured| &measured.amount.because)
    }

    /// Returns the setting of an amount, and the first size from `step` with which the amount satisfies `fits`.
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
        let Value::Size(size) = self.values.value(name)? else { return None };
        let sizes = (1..=STEPS).map_while(|steps| step(*size, steps)).map(Value::Size);
        let mut allowed =
            sizes.filter(|size| setting.range.as_ref().is_none_or(|range| is_within(range, size)));
        let found = allowed.find(|size| {
            let values = Changed { values: self.values, name, value: size };
            let changed = Side { values: &values, ..*self };
            changed.amount(measured.amount.kind).is_some_and(|measured| fits(&measured.most))
        })?;
        Some((format!("{}.{name}", self.name), shown_value(&found)))
    }
}
