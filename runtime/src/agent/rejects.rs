//! Checks the rejects of a plan: the promise that they need, decisions that may differ, and circles of channels.

use std::collections::{BTreeMap, BTreeSet};

use weir_plan::circles::{places_in_circles, reached};
use weir_plan::varying::{Decision, Varying, may_differ_after_restart};
use weir_plan::{Action, Delivery, Flow, Leg, Origin, Path, Plan, Route, Step, support};
use xxhash_rust::xxh3::xxh3_64;

use super::BuiltChannel;

/// The names of the sources that put into a channel, separated by commas.
pub(super) fn sources_into(plan: &Plan, channel: &str) -> String {
    let paths = plan.flows.iter().flat_map(|flow| &flow.paths);
    let sources = paths.filter_map(|path| match &path.from {
        Origin::Source(name) if channels(&path.leg).contains(channel) => Some(name.as_str()),
        _ => None,
    });
    sources.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(", ")
}

/// Returns a number that differs between paths that may reject different events.
pub(super) fn version_of(path: &Path) -> u64 {
    // A plan was read from JSON, or can be written as JSON.
    let text = serde_json::to_string(path).unwrap_or_default();
    xxh3_64(format!("{}{text}", env!("CARGO_PKG_VERSION")).as_bytes())
}

/// Returns the decisions of a flow's paths that may send an event another way when they are made again.
pub(super) fn varying(plan: &Plan) -> Vec<String> {
    let mut problems = Vec::new();
    let (headers, all) = (arriving(plan, &|varying| varying), arriving(plan, &Varying::with_tables));
    for flow in &plan.flows {
        let rejected = rejects_of(flow).map(channels).unwrap_or_default();
        let exactly_once = flow.delivers.never_repeats();
        for path in &flow.paths {
            let is_behind = matches!(path.from, Origin::Channel(_));
            let mut reached = channels(&path.leg).into_iter().chain(rejected.iter().copied());
            let has_durable = reached.any(|name| is_durable(plan, name));
            let is_safe = !exactly_once && !has_durable;
            if !is_behind && (flow.delivers == Delivery::BestEffort || is_safe) {
                continue;
            }
            let found = varying_decision(&path.leg, Varying::begin(is_behind));
            // Behind a channel, only stored positions make an event known.
            let counts = exactly_once || !is_behind;
            let read_again = |before| varying_decision(&path.leg, before).filter(|_| counts);
            let found = found
                .map(|what| (what, support::VARYING_DECISION))
                .or_else(|| Some((read_again(begin(plan, path, &headers))?, support::VARYING_HEADER)));
            let found = found.or_else(|| {
                let is_read_again = has_durable || begins_durable(plan, path);
                let counts = exactly_once || is_read_again && flow.delivers != Delivery::BestEffort;
                let what = decision_by_table(&path.leg, is_behind, begin(plan, path, &headers))?;
                counts.then_some((what, support::VARYING_TABLE))
            });
            // A step before the channel may have set a column from a table.
            let found =
                found.or_else(|| Some((read_again(begin(plan, path, &all))?, support::VARYING_TABLE)));
            problems.extend(found.map(|(what, why)| {
                format!("flow {}: this version can't carry out {what}, {why}", flow.name)
            }));
        }
    }
    problems
}

fn begins_durable(plan: &Plan, path: &Path) -> bool {
    matches!(&path.from, Origin::Channel(name) if is_durable(plan, name))
}

fn is_durable(plan: &Plan, channel: &str) -> bool {
    let found = plan.channels.iter().find(|known| known.name == channel);
    found.is_some_and(|found| support::DURABLE_CHANNELS.contains(&&*found.kind))
}

/// Returns what may differ at the beginning of a path when events come again, by what arrives at each channel.
fn begin(plan: &Plan, path: &Path, arriving: &BTreeMap<&str, BTreeSet<String>>) -> Varying {
    match &path.from {
        Origin::Source(name) => {
            let source = plan.sources.iter().find(|source| source.name == *name);
            let headers = source.into_iter().flat_map(|source| support::varying_headers(&source.kind));
            Varying::begin(false).with_columns(headers)
        }
        // A durable channel keeps the events as they were read first.
        Origin::Channel(name) if is_durable(plan, name) => Varying::begin(true),
        Origin::Channel(name) => {
            let columns = arriving.get(name.as_str()).into_iter().flatten().cloned();
            Varying::begin(true).with_columns(columns)
        }
        Origin::Rejects(_) => Varying::begin(false),
    }
}

/// Returns the columns that may differ when the same events arrive again, for each channel. `also` adds what varies in addition to
/// headers.
fn arriving<'p>(plan: &'p Plan, also: &dyn Fn(Varying) -> Varying) -> BTreeMap<&'p str, BTreeSet<String>> {
    fn arrive<'p>(leg: &'p Leg, before: &Varying, arriving: &mut BTreeMap<&'p str, BTreeSet<String>>) {
        let behind = before.clone().behind(leg.steps.iter().map(|step| &step.action));
        if let Route::Channel(name) = &leg.to {
            arriving.entry(name).or_default().extend(behind.columns());
        }
        leg.to.legs().into_iter().for_each(|leg| arrive(leg, &behind, arriving));
    }
    let mut all = BTreeMap::new();
    loop {
        let before = all.clone();
        for path in plan.flows.iter().flat_map(|flow| &flow.paths) {
            arrive(&path.leg, &also(begin(plan, path, &before)), &mut all);
        }
        if all == before {
            return all;
        }
    }
}

/// Returns a decision of a leg that may differ when it is made again.
fn varying_decision(leg: &Leg, mut before: Varying) -> Option<String> {
    let steps = leg.steps.iter().map(|step| (&step.action, step.on_failure));
    match before.decision(steps, leg.to.conditions()) {
        Some(Decision::Step(index)) => Some(format!("the step `{}`", leg.steps[index].label)),
        Some(Decision::Fork) => Some("a `match` or `balance by`".to_owned()),
        None => leg.to.legs().into_iter().find_map(|leg| varying_decision(leg, before.clone())),
    }
}

/// Returns a decision of a leg that may differ when the files of lookup tables have changed. Behind a channel, only the forks: without
/// stored positions a step there rejects again, and with them `lacking` asks for more.
fn decision_by_table(leg: &Leg, is_behind: bool, before: Varying) -> Option<String> {
    let mut before = before.with_tables();
    if !is_behind {
        return varying_decision(leg, before);
    }
    before = before.behind(leg.steps.iter().map(|step| &step.action));
    match before.decision(std::iter::empty(), leg.to.conditions()) {
        Some(_) => Some("a `match` or `balance by`".to_owned()),
        None => leg.to.legs().into_iter().find_map(|leg| decision_by_table(leg, true, before.clone())),
    }
}

/// Whether the rejects of a flow take the events that a sink behind a channel rejects itself. They don't if these events could
/// come back to the channel: the sink would reject them again and again. Nor if an `explode` is before the sink, since a
/// rejected element would stand for all elements of its event.
pub(super) fn takes_from_sink(plan: &Plan, flow: &str, channel: &str, sink: &str) -> bool {
    let rejects = |name: &str| {
        let sink = plan.sinks.iter().find(|sink| sink.name == name);
        sink.is_some_and(|sink| support::REJECTING_SINKS.contains(&sink.kind.as_str()))
    };
    let Some(flow) = plan.flows.iter().find(|of| of.name == flow).filter(|_| rejects(sink)) else {
        return false;
    };
    let mut exploding = flow.paths.iter().filter(|path| explodes(&path.leg));
    if exploding.any(|path| matches!(&path.from, Origin::Channel(from) if from == channel)) {
        return false;
    }
    let Some(into) = rejects_of(flow).map(channels) else { return false };
    let mut arrows: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for flow in &plan.flows {
        let into = rejects_of(flow).map(channels).unwrap_or_default();
        for path in &flow.paths {
            let Origin::Channel(from) = &path.from else { continue };
            if path.leg.rejects() || sinks(&path.leg).into_iter().any(rejects) {
                arrows.entry(from).or_default().extend(&into);
            }
        }
    }
    !reached(&arrows, into).contains(channel)
}

/// The sinks that a leg leads to.
fn sinks(leg: &Leg) -> BTreeSet<&str> {
    let own = match &leg.to {
        Route::Sink(name) => Some(name.as_str()),
        _ => None,
    };
    own.into_iter().chain(leg.to.legs().into_iter().flat_map(sinks)).collect()
}

/// Returns the sinks to which several branches of a `copy` behind a channel lead, where positions are stored: the copies of an event
/// have one position there.
pub(super) fn copied_twice(plan: &Plan) -> Vec<String> {
    fn is_copied(leg: &Leg) -> bool {
        let legs = leg.to.legs();
        let mut seen = BTreeSet::new();
        let is_copy = matches!(leg.to, Route::Copy(_));
        is_copy && legs.iter().flat_map(|leg| sinks(leg)).any(|sink| !seen.insert(sink))
            || legs.into_iter().any(is_copied)
    }
    let mut problems = Vec::new();
    for flow in plan.flows.iter().filter(|flow| flow.delivers.never_repeats()) {
        let mut behind = flow.paths.iter().filter(|path| matches!(path.from, Origin::Channel(_)));
        if behind.any(|path| is_copied(&path.leg)) {
            let what = support::COPIED_TO_ONE_SINK;
            problems.push(format!("flow {}: this version can't carry out {what}", flow.name));
        }
    }
    problems
}

/// Returns the steps `explode` whose events have no identity of their own where they need one: the events of one element
/// each have the position of the event that they come from.
pub(super) fn exploding(plan: &Plan, built: &BTreeMap<String, BuiltChannel>) -> Vec<String> {
    let is_volatile = |name: &&str| built.get(*name).is_some_and(|built| !built.channel.is_durable());
    let mut problems = Vec::new();
    for flow in &plan.flows {
        let exactly_once = flow.delivers.never_repeats();
        for path in flow.paths.iter().filter(|path| explodes(&path.leg)) {
            let is_behind = matches!(path.from, Origin::Channel(_));
            let whats = [
                (is_behind && rejects_elements(&path.leg, false), support::REJECTED_ELEMENT),
                (exactly_once && is_behind, support::EXPLODED_BEHIND_A_CHANNEL),
                (
                    exactly_once && !is_behind && channels(&path.leg).iter().any(is_volatile),
                    support::EXPLODED_INTO_A_VOLATILE_CHANNEL,
                ),
            ];
            let whats = whats.iter().filter(|(applies, _)| *applies);
            problems.extend(
                whats.map(|(_, what)| format!("flow {}: this version can't carry out {what}", flow.name)),
            );
        }
    }
    problems
}

fn is_explode(step: &Step) -> bool {
    matches!(step.action, Action::Explode(_))
}

/// Whether a step of a leg, or of a leg behind it, makes events of the elements of a list.
fn explodes(leg: &Leg) -> bool {
    leg.steps.iter().any(is_explode) || leg.to.legs().into_iter().any(explodes)
}

/// Whether a step rejects events that an `explode` has made.
fn rejects_elements(leg: &Leg, mut is_exploded: bool) -> bool {
    for step in &leg.steps {
        if is_exploded && step.rejects() {
            return true;
        }
        is_exploded |= is_explode(step);
    }
    leg.to.legs().into_iter().any(|leg| rejects_elements(leg, is_exploded))
}

/// Returns the channels of a plan to which events come back that are rejected behind them.
pub(super) fn in_circles(plan: &Plan) -> Vec<String> {
    let mut arrows: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for flow in &plan.flows {
        let into = rejects_of(flow).map(channels).unwrap_or_default();
        for path in flow.paths.iter().filter(|path| path.leg.rejects()) {
            if let Origin::Channel(from) = &path.from {
                arrows.entry(from).or_default().extend(&into);
            }
        }
    }
    let circles = places_in_circles(&arrows).into_iter().map(|channel| {
        format!("channel {channel}: events that are rejected behind it come back to it; let `rejects` lead elsewhere")
    });
    circles.collect()
}

/// Returns what the rejecting paths of a plan lack for the promise `exactly_once`.
pub(super) fn lacking(plan: &Plan, built: &BTreeMap<String, BuiltChannel>) -> Vec<String> {
    let mut problems = Vec::new();
    for flow in plan.flows.iter().filter(|flow| flow.delivers.never_repeats()) {
        let into = rejects_of(flow).map(channels).unwrap_or_default();
        let rejecting = flow.paths.iter().filter(|path| path.leg.rejects());
        for path in rejecting.filter(|path| matches!(path.from, Origin::Channel(_))) {
            problems.extend(lacking_for_exactly_once(flow, path, &into, built));
        }
    }
    problems
}

fn rejects_of(flow: &Flow) -> Option<&Leg> {
    let path = flow.paths.iter().find(|path| matches!(path.from, Origin::Rejects(_)));
    path.map(|path| &path.leg)
}

/// The channels that a leg leads to.
fn channels(leg: &Leg) -> BTreeSet<&str> {
    let own = match &leg.to {
        Route::Channel(name) => Some(name.as_str()),
        _ => None,
    };
    own.into_iter().chain(leg.to.legs().into_iter().flat_map(channels)).collect()
}

/// Returns what a rejecting path behind a channel lacks for the promise `exactly_once`: a restart applies the steps again
/// to events that were not acknowledged.
fn lacking_for_exactly_once(
    flow: &Flow,
    path: &Path,
    into: &BTreeSet<&str>,
    built: &BTreeMap<String, BuiltChannel>,
) -> Vec<String> {
    let mut lacking = Vec::new();
    let volatile =
        into.iter().find(|name| built.get(**name).is_some_and(|built| !built.channel.is_durable()));
    let Flow { name, .. } = flow;
    if let Some(channel) = volatile {
        lacking.push(format!(
            "flow {name}: with the promise `exactly_once`, events that are rejected behind a channel need a durable \
             channel, and {channel} is none: let `rejects` lead into a channel `file`"
        ));
    }
    if let Some(step) = varying_step(&path.leg) {
        lacking.push(format!(
            "flow {name}: this version can't carry out the promise `exactly_once` with the step `{step}` behind a \
             channel and steps that reject, since it may decide differently after a restart"
        ));
    }
    lacking
}

/// Returns the label of a step of a leg that may have another result for the same event.
fn varying_step(leg: &Leg) -> Option<&str> {
    let own = leg.steps.iter().find(|step| may_differ_after_restart(&step.action));
    let own = own.map(|step| step.label.as_str());
    own.or_else(|| leg.to.legs().into_iter().find_map(varying_step))
}
