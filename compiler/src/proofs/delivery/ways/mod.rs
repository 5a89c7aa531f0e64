//! The ways of events over an edge: from a source or a channel, over steps and forks, to each channel and sink.

mod differing;
mod order;

use std::collections::BTreeSet;

use weir_grammar::Span;
use weir_grammar::tree::Role;
use weir_plan::Action;
use weir_plan::varying::{Varying, may_differ_after_restart};

use self::differing::Differing;
use super::program::Program;
use super::reasons::reason;
use super::steps::{
    OrderChange, balance_by, decided_before_channel, decided_behind_channel, decided_by_header,
    decided_by_table, decided_by_table_before, effect_of, first_step, fork, returns_elsewhere,
};
use crate::analysis::graph::{Arrival, Destination, Edge, Leg, Step};
use crate::analysis::proofs::{Effect, Hop, HopKind, Reason, Rule};
use crate::names::scopes::ComponentIndex;
use crate::spelling::label;

/// One way of events over an edge.
#[derive(Debug, Clone)]
pub(super) struct Way {
    /// The index of the edge.
    pub(super) edge: usize,
    /// What the events pass behind the beginning of the edge: steps, forks and channels that the compiler added.
    pub(super) passed: Vec<Passed>,
    /// The channel or sink where the way ends, or the origin of a flow's rejected events; `None` if all events are dropped.
    pub(super) to: Option<ComponentIndex>,
    /// Why events may be lost or repeated on the way.
    pub(super) reasons: Vec<Reason>,
    /// Whether the way leads over an optional branch.
    pub(super) is_optional: bool,
}

/// What events pass on a way.
#[derive(Debug, Clone)]
pub(super) enum Passed {
    /// A step or a fork.
    Step(Hop),
    /// An effect on the order.
    Change(OrderChange),
    /// A channel that the compiler added.
    Channel(ComponentIndex),
}

const LOSES: &[Effect] = &[Effect::Loses];
const REPEATS: &[Effect] = &[Effect::Repeats];
const REORDERS: &[Effect] = &[Effect::Reorders];

/// The state of a walk over an edge.
#[derive(Debug, Clone)]
struct Trail {
    passed: Vec<Passed>,
    reasons: Vec<Reason>,
    differing: Differing,
    is_behind: bool,
    /// The place of an `explode` before.
    exploded: Option<Span>,
    /// Whether a `dedupe` behind a channel is before.
    is_deduped: bool,
    is_optional: bool,
    /// The sinks that several branches of a `copy` behind a channel lead to.
    copied: BTreeSet<ComponentIndex>,
}

/// Returns the ways of an edge.
pub(super) fn of_edge(program: &Program<'_>, index: usize) -> Vec<Way> {
    let edge = &program.graph.edges[index];
    let is_behind = program.is_behind_channel(edge);
    let mut trail = Trail {
        passed: Vec::new(),
        reasons: Vec::new(),
        differing: Differing::begin(program, edge),
        is_behind,
        exploded: None,
        is_deduped: false,
        is_optional: false,
        copied: BTreeSet::new(),
    };
    let rejected = program.reject_channels(edge.flow);
    let mut reached = program.channels(&edge.leg);
    reached.extend(&rejected);
    let mut walk = Walk {
        program,
        edge,
        index,
        knows_positions: !is_behind
            && program.channels(&edge.leg).iter().all(|channel| program.is_durable(*channel)),
        has_durable: reached.iter().any(|channel| program.is_durable(*channel)),
        stores_positions: (0..program.graph.flows.len()).any(|flow| program.stores_positions(flow)),
        volatile_rejects: rejected.into_iter().find(|channel| !program.is_durable(*channel)),
        ways: Vec::new(),
    };
    if is_behind {
        walk.begin_behind(&edge.leg, &mut trail);
    }
    walk.leg(&edge.leg, trail);
    walk.ways
}

struct Walk<'w, 'p> {
    program: &'w Program<'p>,
    edge: &'w Edge,
    index: usize,
    /// Whether all channels that the events reach know which events of a source they have, dropped ones included.
    knows_positions: bool,
    /// Whether a channel that the events reach, rejected ones included, is durable.
    has_durable: bool,
    /// Whether a flow of the program stores positions.
    stores_positions: bool,
    /// The first channel for rejected events that is not durable.
    volatile_rejects: Option<ComponentIndex>,
    ways: Vec<Way>,
}

impl Walk<'_, '_> {
    /// Adds what is wrong with the steps of a leg behind a channel if a restart applies them again.
    fn begin_behind(&self, leg: &Leg, trail: &mut Trail) {
        if first_step(leg, &Step::rejects).is_none() {
            return;
        }
        if let Some(step) = first_step(leg, &|step| may_differ_after_restart(&step.action)) {
            let place = self.program.place(step.span, step.used);
            let what = format!("`{}` may have another result after a restart", self.text(step.span));
            let why = "a restart applies it again to events that were rejected or written already";
            trail.reasons.push(
                reason(Rule::StepVaries, &[Effect::Loses, Effect::Repeats], place, what, why)
                    .with_positions(true)
                    .with_remedy("move this step before the channel"),
            );
        }
    }

    fn text(&self, span: Span) -> String {
        label(self.program.files.text(span))
    }

    fn leg(&mut self, leg: &Leg, mut trail: Trail) {
        for step in &leg.steps {
            self.step(step, &mut trail);
        }
        self.decides(None, leg, &mut trail);
        match &leg.to {
            Destination::Component(arrival) => self.arrive(arrival, trail),
            Destination::End | Destination::Unknown => self.end(None, trail),
            Destination::Copy(branches) => {
                if trail.is_behind {
                    trail.copied.extend(self.sinks_of_several(branches));
                }
                for (optional, branch) in branches {
                    let mut trail = trail.clone();
                    trail.is_optional |= optional;
                    let says = match optional {
                        true => "this branch is optional: it promises nothing, and holds nothing up",
                        false => "each branch gets every event",
                    };
                    trail.passed.push(Passed::Step(fork("copy", says)));
                    self.leg(branch, trail);
                }
            }
            Destination::Match(cases) => {
                for case in cases {
                    let mut trail = trail.clone();
                    let says = "each event goes to the first case that is true";
                    trail.passed.push(Passed::Step(fork("match", says)));
                    self.leg(&case.leg, trail);
                }
            }
            Destination::Balance { by, legs, channel, word } => {
                self.through(*channel, leg, &mut trail);
                let (hop, change) = match by {
                    Some(by) => balance_by(by, *word),
                    None => self.balance(*word, leg.whole, &mut trail),
                };
                trail.passed.extend([Passed::Step(hop), Passed::Change(change)]);
                legs.iter().for_each(|leg| self.leg(leg, trail.clone()));
            }
            Destination::Failover { word, legs, channel } => {
                self.through(*channel, leg, &mut trail);
                let why = "events that come again after a crash may go to another branch";
                trail.reasons.push(returns_elsewhere(Rule::Failover, "failover", *word));
                trail.reasons.push(reason(
                    Rule::Failover,
                    REPEATS,
                    *word,
                    "`failover` may send an event that comes again to another branch",
                    why,
                ));
                let change = OrderChange::Nothing(reason(
                    Rule::Failover,
                    REORDERS,
                    *word,
                    "`failover` changes between its branches",
                    "events that one branch gives back come to another one after newer events",
                ));
                let says = "events go to the first branch that works";
                trail.passed.extend([Passed::Step(fork("failover", says)), Passed::Change(change)]);
                legs.iter().for_each(|leg| self.leg(leg, trail.clone()));
            }
        }
    }

    /// Returns the sinks that several of the branches lead to.
    fn sinks_of_several(&self, branches: &[(bool, Leg)]) -> BTreeSet<ComponentIndex> {
        let (mut seen, mut several) = (BTreeSet::new(), BTreeSet::new());
        for (_, branch) in branches {
            let sinks: BTreeSet<ComponentIndex> = branch.components().into_iter().collect();
            let sinks = sinks.into_iter().filter(|index| self.program.role(*index) == Role::Sink);
            several.extend(sinks.filter(|sink| !seen.insert(*sink)));
        }
        several
    }

    /// Returns the reason that the copies of an event have one position at a sink.
    fn copies_of_one_position(&self, sink: ComponentIndex) -> Reason {
        let declared = &self.program.component(sink).declared;
        let from = &self.program.component(self.edge.from).declared.name;
        let what = format!("several branches of a `copy` lead from `{from}` to `{}`", declared.name);
        let why = "the copies of an event have one position there: after a crash, one is taken for the other";
        reason(Rule::CopiesOfOnePosition, LOSES, declared.span, what, why)
            .with_positions(true)
            .with_remedy("lead each branch to a sink of its own")
    }

    /// Goes on behind a channel that the compiler added before the branches of a fork.
    fn through(&self, channel: Option<ComponentIndex>, leg: &Leg, trail: &mut Trail) {
        let Some(channel) = channel else { return };
        trail.passed.push(Passed::Channel(channel));
        self.explodes_before(channel, trail);
        trail.exploded = None;
        trail.is_behind = true;
        trail.differing = trail.differing.clone().behind_channel();
        leg.to.legs().into_iter().for_each(|leg| self.begin_behind(leg, trail));
    }

    fn balance(&self, word: Span, whole: bool, trail: &mut Trail) -> (Hop, OrderChange) {
        // The key of a `balance by` with errors is not known either.
        if whole {
            let why = "events that come again after a crash may go to another branch";
            trail.reasons.push(returns_elsewhere(Rule::Balance, "balance", word));
            trail.reasons.push(
                reason(
                    Rule::Balance,
                    REPEATS,
                    word,
                    "`balance` may send an event that comes again to another branch",
                    why,
                )
                .with_remedy("distribute the events by a key: `balance by`"),
            );
        }
        let change = OrderChange::Nothing(
            reason(
                Rule::Balance,
                REORDERS,
                word,
                "`balance` distributes events over its branches in turn",
                "no order holds between the branches",
            )
            .with_remedy("distribute the events by a key: `balance by`"),
        );
        (fork("balance", "each batch goes to one branch"), change)
    }

    /// Adds the reason if a step rejects, or the fork behind the steps chooses, by what may differ.
    fn decides(&self, step: Option<&Step>, leg: &Leg, trail: &mut Trail) {
        let conditions = || match step {
            Some(_) => Vec::new(),
            None => leg.to.conditions(),
        };
        let steps = || step.into_iter().map(|step| (&step.action, step.on_failure));
        let is_varied = |by: &Varying| by.clone().decision(steps(), conditions()).is_some();
        let Differing { varying, reread, tables, headers } = &trail.differing;
        let (varies, varies_when_reread) = (is_varied(varying), is_varied(reread));
        let (varies_by_table, varies_by_header) = (is_varied(tables), is_varied(headers));
        // Behind a channel, `begin_behind` has found a step that rejects by a table.
        let is_found = varies_by_table && trail.is_behind && step.is_some();
        if !varies && (!varies_when_reread || is_found) {
            return;
        }
        let (place, what) = match (step, &leg.to) {
            (Some(step), _) => {
                (self.program.place(step.span, step.used), format!("`{}` decides", self.text(step.span)))
            }
            (None, Destination::Balance { word, .. }) => (*word, "`balance by` decides".to_owned()),
            (None, _) => {
                let from = &self.program.component(self.edge.from).declared.name;
                (self.edge.from_span, format!("the `match` behind `{from}` decides"))
            }
        };
        let found = match (varies, trail.is_behind) {
            (true, true) => decided_behind_channel(place, &what, trail.is_deduped && step.is_none()),
            (true, false) => decided_before_channel(place, &what).with_positions(!self.has_durable),
            (false, _) if varies_by_table => {
                let is_durable = self.has_durable || self.program.is_durable(self.edge.from);
                decided_by_table(place, &what).with_positions(!is_durable)
            }
            // Without stored positions, only a durable channel takes an event for known.
            (false, is_behind) => match varies_by_header {
                true => decided_by_header(place, &what),
                false => decided_by_table_before(place, &what),
            }
            .with_positions(is_behind || !self.has_durable),
        };
        if step.is_none() {
            let why = "an event that comes again may come to this branch then, behind newer events";
            let change = reason(found.rule, REORDERS, place, what, why);
            trail.passed.push(Passed::Change(OrderChange::Nothing(change)));
        }
        trail.reasons.push(found);
    }

    fn step(&mut self, step: &Step, trail: &mut Trail) {
        let passed_late = self.passes_late(step, self.program.place(step.span, step.used), trail);
        self.decides(Some(step), &self.edge.leg, trail);
        let action = &step.action;
        trail.differing = trail.differing.clone().behind(action);
        let place = self.program.place(step.span, step.used);
        if step.rejects() {
            self.rejects(step, place, trail);
            if self.program.rejects(self.edge.flow).is_some() {
                let what = format!("`{}`", self.text(step.span));
                trail.passed.extend(self.returns_late(place, what, trail).map(Passed::Change));
            }
        }
        trail.passed.extend(passed_late.map(Passed::Change));
        if let Action::Explode(_) = action {
            trail.exploded = Some(place);
            if trail.is_behind {
                let why = "all elements of an event have one position there, and may end in different files";
                let found = reason(
                    Rule::ExplodeBehindChannel,
                    &[Effect::Loses, Effect::Repeats],
                    place,
                    format!("`{}` is behind a channel", self.text(step.span)),
                    why,
                )
                .with_positions(true)
                .with_remedy("move the `explode` between a source and a durable channel");
                self.shares_position(&found, trail);
                trail.reasons.push(found);
            }
        }
        trail.is_deduped |= trail.is_behind && matches!(action, Action::Dedupe { .. });
        if let Some(says) = effect_of(step) {
            let hop = Hop { kind: HopKind::Step, name: self.text(step.span), says: says.to_owned() };
            trail.passed.push(Passed::Step(hop));
        }
        trail.passed.extend(self.column_change(step, place).map(Passed::Change));
    }

    /// Adds the way of the events that a step rejects.
    fn rejects(&mut self, step: &Step, place: Span, trail: &Trail) {
        let Some(origin) = self.program.rejects(self.edge.flow) else { return };
        let mut trail = trail.clone();
        if trail.is_behind && trail.exploded.is_some() {
            let why = "a rejected element stands for all elements of its event, so the others get lost";
            trail.reasons.push(
                reason(
                    Rule::RejectedElement,
                    LOSES,
                    place,
                    format!("`{}` rejects elements of an `explode` behind a channel", self.text(step.span)),
                    why,
                )
                .with_remedy("move the `explode` before the channel"),
            );
        }
        if let Some(channel) = self.volatile_rejects.filter(|_| trail.is_behind) {
            let name = &self.program.component(channel).declared.name;
            let why = "a restart rejects the event again, and this channel doesn't know that it had it";
            trail.reasons.push(
                reason(
                    Rule::VolatileRejects,
                    REPEATS,
                    place,
                    format!("`{}` rejects events into `{name}`, which is not durable", self.text(step.span)),
                    why,
                )
                .with_positions(true)
                .with_remedy("let `rejects` lead into a durable channel"),
            );
        }
        let hop = fork(&self.text(step.span), "rejects events: they go to `rejects`");
        trail.passed.push(Passed::Step(hop));
        self.end(Some(origin), trail);
    }

    /// Adds the reason if an `explode` is before a channel that is not durable.
    fn explodes_before(&self, channel: ComponentIndex, trail: &mut Trail) {
        let Some(place) = trail.exploded.filter(|_| !trail.is_behind && !self.program.is_durable(channel))
        else {
            return;
        };
        let name = &self.program.component(channel).declared.name;
        let found = reason(
            Rule::ExplodeBeforeVolatile,
            &[Effect::Loses, Effect::Repeats],
            place,
            format!("`explode` is before `{name}`, which is not durable"),
            "all elements of an event have one position there, and may end in different files",
        )
        .with_positions(true)
        .with_remedy("lead the elements into a durable channel");
        self.shares_position(&found, trail);
        trail.reasons.push(found);
    }

    fn arrive(&mut self, arrival: &Arrival, mut trail: Trail) {
        let to_channel = self.program.role(arrival.to) == Role::Channel;
        let channel = if to_channel { Some(arrival.to) } else { arrival.channel };
        if let Some(channel) = channel {
            self.explodes_before(channel, &mut trail);
        }
        if let Some(channel) = channel.filter(|_| !to_channel) {
            trail.passed.push(Passed::Channel(channel));
        }
        trail.passed.extend(self.sorts_by_varying(arrival.to, &trail).map(Passed::Change));
        if trail.copied.contains(&arrival.to) {
            trail.reasons.push(self.copies_of_one_position(arrival.to));
        }
        let mut passed_on = Vec::new();
        if self.rejects_itself(arrival.to)
            && let Some(origin) = self.program.rejects(self.edge.flow)
        {
            let mut trail = trail.clone();
            let name = self.program.component(arrival.to).declared.name.to_string();
            let says = "rejects events that can never be written";
            let (mut behind, place) = (trail.clone(), self.program.component(arrival.to).declared.span);
            // The channel that the compiler adds before a sink is one.
            behind.is_behind |= !to_channel;
            passed_on.extend(self.returns_late(place, format!("`{name}`"), &behind));
            trail.passed.push(Passed::Step(fork(&name, says)));
            self.end(Some(origin), trail);
        }
        trail.passed.extend(passed_on.into_iter().map(Passed::Change));
        self.end(Some(arrival.to), trail);
    }

    /// Returns whether a component is a sink that rejects events which can never be written.
    fn rejects_itself(&self, index: ComponentIndex) -> bool {
        self.program.component(index).rejects_itself()
    }

    fn end(&mut self, to: Option<ComponentIndex>, trail: Trail) {
        let Trail { passed, reasons, is_optional, .. } = trail;
        self.ways.push(Way { edge: self.index, passed, to, reasons, is_optional });
    }
}
