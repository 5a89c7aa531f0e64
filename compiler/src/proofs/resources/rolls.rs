//! When sinks close their files: at the bounds of their settings, or earlier since a channel is too small for a file.

use std::cmp::Ordering;
use std::time::Duration;

use weir_grammar::Span;
use weir_grammar::tree::AmountKind;
use weir_plan::Value;

use super::stream::Stream;
use crate::analysis::graph::Graph;
use crate::analysis::settings::Origin;
use crate::diagnostics::{ClosedEarly, Diagnostic, SmallFiles};
use crate::names::scopes::ComponentIndex;
use crate::values::operators::{compare, compute};
use crate::values::requirements::{Side, shown_value};

/// Files of fewer bytes are small.
const SMALL_BYTES: f64 = (4 << 20) as f64;
/// More files than this in an hour are many.
const EACH_HOUR_MAX: f64 = 10.0;

/// The bound at which a file is closed.
pub(super) struct Roll {
    /// The setting, as `roll.age`; `None` if the channel is too small for a file.
    setting: Option<String>,
    amount: Value,
}

/// Returns an amount with its unit: `1_000 events`.
fn amount_in_words(amount: &Value) -> String {
    match amount {
        Value::Int(_) => format!("{} events", shown_value(amount)),
        amount => shown_value(amount),
    }
}

/// Returns the channels that a sink takes from.
fn channels(graph: &Graph, sink: ComponentIndex) -> Vec<ComponentIndex> {
    let neighbours = graph.edges.iter().flat_map(|edge| edge.neighbours(&graph.components));
    let mut channels: Vec<ComponentIndex> =
        neighbours.filter(|(own, _)| *own == sink).map(|(_, channel)| channel).collect();
    channels.sort_unstable();
    channels.dedup();
    channels
}

/// Returns half of an amount: a sink that holds so much of a channel closes its files.
fn half(amount: &Value) -> Option<Value> {
    match amount {
        Value::Int(number) => Some(Value::Int(number / 2)),
        Value::Size(bytes) => Some(Value::Size(bytes / 2)),
        _ => None,
    }
}

/// Returns the seconds after which a sink closes a file of this stream, and what closes it; `None` if it writes no files.
pub(super) fn first(
    graph: &Graph,
    index: ComponentIndex,
    side: &Side<'_>,
    stream: &Stream,
) -> Option<(f64, Roll)> {
    let own = side.applying(AmountKind::Rolls).into_iter();
    let own: Vec<(f64, Roll)> = own
        .filter_map(|(setting, amount)| Some((stream.seconds_until(&amount, 0.0)?, Roll { setting, amount })))
        .collect();
    if own.is_empty() {
        return None;
    }
    let holds = !side.applying(AmountKind::Holds).is_empty();
    let channels = channels(graph, index).into_iter().filter(|_| holds);
    let of_channels = channels.filter_map(|channel| {
        let stores = graph.components[channel].side()?.applying(AmountKind::Stores);
        let halves = stores.iter().filter_map(|(_, amount)| half(amount));
        let rolls = halves
            .filter_map(|amount| Some((stream.seconds_until(&amount, 0.0)?, Roll { setting: None, amount })));
        rolls.min_by(|(first, _), (second, _)| first.total_cmp(second))
    });
    own.into_iter().chain(of_channels).min_by(|(first, _), (second, _)| first.total_cmp(second))
}

/// Returns a warning about many small files.
pub(super) fn small(
    side: &Side<'_>,
    stream: &Stream,
    seconds: f64,
    roll: &Roll,
    expected: &[(String, Span)],
) -> Option<Diagnostic> {
    let (each_hour, bytes) = (3_600.0 / seconds, stream.bytes * seconds);
    if bytes >= SMALL_BYTES || each_hour <= EACH_HOUR_MAX {
        return None;
    }
    // The least time after which files are large or few.
    let enough = (SMALL_BYTES / stream.bytes).min(3_600.0 / EACH_HOUR_MAX);
    let value = match &roll.amount {
        Value::Duration(_) => Value::Duration(Duration::from_secs((enough / 60.0).ceil() as u64 * 60)),
        Value::Int(_) => Value::Int((enough * stream.events).ceil() as i64),
        Value::Size(size) => Value::Size(((*size as f64) * enough / seconds).ceil() as u64),
        _ => return None,
    };
    let setting = roll.setting.as_deref();
    let written = setting.and_then(|setting| side.settings.get(setting)?.written());
    let setting = setting.map(|setting| (format!("{}.{setting}", side.name), shown_value(&value)));
    Some(
        SmallFiles {
            sink: side.name.to_owned(),
            declared: side.declared,
            each_hour: each_hour as u64,
            bytes: bytes as u64,
            decides: amount_in_words(&roll.amount),
            setting,
            written,
            expected: expected.to_vec(),
        }
        .into(),
    )
}

/// Warns about settings of files that are never reached, since the sink holds all events of a file, and its channel is too small
/// for that.
pub(super) fn never_reached(graph: &Graph, diagnostics: &mut Vec<Diagnostic>) {
    for (index, component) in graph.components.iter().enumerate() {
        let Some(side) = component.side() else { continue };
        let Some(because) = side.because(AmountKind::Holds) else { continue };
        for channel in channels(graph, index) {
            let Some(channel) = graph.components[channel].side() else { continue };
            let stores = channel.applying(AmountKind::Stores);
            for (setting, _) in side.applying(AmountKind::Rolls) {
                // Compressed files have more bytes of events than their own: the setting's value is the least.
                let written = setting.as_deref().and_then(|name| Some((name, side.settings.get(name)?)));
                let Some((name, roll, Origin::Written(place))) =
                    written.and_then(|(name, setting)| Some((name, setting.value.clone()?, setting.origin)))
                else {
                    continue;
                };
                let too_small = |stored: &&(Option<String>, Value)| {
                    half(&stored.1).is_some_and(|half| compare(&half, &roll) == Some(Ordering::Less))
                };
                let Some((limit, stored)) = stores.iter().find(too_small) else { continue };
                let needed = compute(weir_plan::Arithmetic::Multiply, &roll, &Value::Int(2)).ok();
                let limit = limit.as_deref();
                let limit_at = limit.and_then(|name| channel.settings.get(name)?.written());
                diagnostics.push(
                    ClosedEarly {
                        sink: side.name.to_owned(),
                        setting: name.to_owned(),
                        value: amount_in_words(&roll),
                        place,
                        channel: channel.name.to_owned(),
                        implicit: channel.implicit,
                        stored: amount_in_words(stored),
                        limit: limit.map(str::to_owned),
                        limit_at,
                        channel_at: channel.declared,
                        needed: needed.as_ref().map(shown_value),
                        because: because.text.clone(),
                        because_at: because.span,
                    }
                    .into(),
                );
            }
        }
    }
}
