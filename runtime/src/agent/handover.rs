//! Sources whose partitions may move to other agents leave their commits to the sink behind, which commits the positions of
//! events in the transactions of their data.
//!
//! This takes one volatile channel with one sink behind it: the events of a partition then arrive in their order, so a position
//! says that everything before it has arrived. Steps must not remember events, since events of a partition that moves are dropped
//! behind them.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_plan::{Action, Leg as PlannedLeg, Origin, Plan};

use super::{BuiltSink, BuiltSource};
use crate::routing::Leg;
use crate::source::scope_names;

/// The sources that have something to hand over, and why it could not be handed over to a sink, if it could not.
pub(super) type HandedOver = BTreeMap<Arc<str>, Result<(), String>>;

/// Hands the commits of sources over to the sinks behind them, where a promise needs that.
pub(super) fn hand_over(plan: &Plan, sources: &[BuiltSource], sinks: &mut [BuiltSink]) -> HandedOver {
    let mut handed = HandedOver::new();
    for source in sources {
        if source.progress.is_some()
            && !source.source.keeps_exactly_once()
            && let Some(handover) = source.source.hands_over()
        {
            let taken = only_sink(plan, source, sinks).and_then(|(sink, prefix)| {
                let taken = sink.sink.take_over(&handover, &prefix);
                taken.map_err(|why| format!("the sink {} {why}", sink.name))
            });
            handed.insert(source.name.clone(), taken);
        }
    }
    handed
}

/// Returns the only sink behind a source, and the prefix that the names of the source's partitions have there.
fn only_sink<'s>(
    plan: &Plan,
    source: &BuiltSource,
    sinks: &'s mut [BuiltSink],
) -> Result<(&'s mut BuiltSink, String), String> {
    let targets: Vec<_> = source.legs.iter().flat_map(Leg::targets).collect();
    let [target] = targets[..] else { return Err("its events go to several channels".to_owned()) };
    let channel = &*target.name;
    if target.channel.is_durable() {
        return Err(format!(
            "the channel {channel} is durable: it has acknowledged events before they are there"
        ));
    }
    let paths = plan.flows.iter().flat_map(|flow| &flow.paths);
    let mut behind = paths.filter(|path| match &path.from {
        Origin::Source(name) => **name == *source.name,
        Origin::Channel(name) => name == channel,
        Origin::Rejects(_) => false,
    });
    if behind.any(|path| remembers(&path.leg)) {
        return Err("a step `dedupe` would remember events that another agent reads".to_owned());
    }
    let mut reading = sinks.iter_mut().filter(|sink| sink.readers.iter().any(|(read, _)| read == channel));
    let only = match (reading.next(), reading.next()) {
        (Some(only), None) => only,
        _ => return Err(format!("not exactly one sink takes events from the channel {channel}")),
    };
    if only.readers.iter().filter(|(read, _)| read == channel).count() != 1 {
        return Err(format!("several paths lead from the channel {channel} to the sink {}", only.name));
    }
    if !only.port.reject_targets().is_empty() {
        return Err("events that are rejected go to another sink".to_owned());
    }
    let scope = scope_names(&source.name, &source.legs).remove(0);
    let prefix = format!("{channel}/{scope}/");
    Ok((only, prefix))
}

/// Whether a step of the leg, or of a leg behind it, remembers events.
fn remembers(leg: &PlannedLeg) -> bool {
    leg.steps.iter().any(|step| matches!(step.action, Action::Dedupe { .. }))
        || leg.to.legs().into_iter().any(remembers)
}
