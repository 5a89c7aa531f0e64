//! Resolves the destinations of legs: components and forks.

use weir_grammar::Span;
use weir_grammar::tree::{Expression, Role};
use weir_plan::{Expression as Planned, support};

use super::{Position, Typing};
use crate::analysis::graph::{Case, Destination, Leg};
use crate::diagnostics::Misplaced;
use crate::expressions::{Bindings, Typer};
use crate::flows::graph::destinations;
use crate::flows::{Destination as Written, Leg as WrittenLeg};
use crate::names::scopes::ComponentIndex;
use crate::spelling::role_in_words;
use crate::steps::{State, narrow};

/// The branches of a `balance` or a `failover`.
struct Ways {
    legs: Vec<Leg>,
    /// The channel that the compiler added before the branches.
    channel: Option<ComponentIndex>,
    whole: bool,
}

impl Typing<'_, '_> {
    /// Resolves the destination of a leg, and returns whether all of it is known.
    pub(super) fn destination(
        &mut self,
        to: &Written<'_>,
        state: Option<State>,
        position: Position,
    ) -> (Destination, bool) {
        match to {
            Written::Broken => (Destination::Unknown, false),
            // The step that takes all events is checked with the other steps.
            Written::End(_) => (Destination::End, true),
            Written::Component(index, span) => {
                let (arrival, whole) = self.arrive(*index, *span, state, position);
                (Destination::Component(arrival), whole)
            }
            Written::Copy(branches) => {
                let branches = branches
                    .iter()
                    .map(|(optional, leg)| (*optional, self.leg(leg, state.clone(), position)));
                let branches: Vec<(bool, Leg)> = branches.collect();
                let whole = branches.iter().all(|(_, leg)| leg.whole);
                (Destination::Copy(branches), whole)
            }
            Written::Match(cases) => self.cases(cases, state, position),
            Written::Balance { by, legs, span } => {
                let word = Span { end: span.start + "balance".len() as u32, ..*span };
                if by.is_none() && legs.iter().any(|leg| !matches!(leg.to, Written::Component(..))) {
                    let what = "a `balance` without `by` with another fork within it".to_owned();
                    self.checker.notes.unsupported_forks.push((word, what));
                }
                let key = match (by, &state) {
                    // Locals do not pass through a channel.
                    (Some(by), Some(state)) if self.needs_channel(legs, position) => {
                        let state = State { bindings: Bindings::default(), columns: state.columns.clone() };
                        Some(self.key(by, &state))
                    }
                    (Some(by), Some(state)) => Some(self.key(by, state)),
                    _ => None,
                };
                let is_wrong = key == Some(None);
                // The events behind a wrong value are unknown, so that nothing is reported that only follows from it.
                let (by, state) = if is_wrong { (None, None) } else { (key.flatten(), state) };
                let Ways { legs, channel, whole } = self.ways(legs, ("balance", *span), state, position);
                (Destination::Balance { by, legs, channel, word }, whole && !is_wrong)
            }
            Written::Failover { legs, span } => {
                let word = Span { end: span.start + "failover".len() as u32, ..*span };
                if legs.iter().any(|leg| !matches!(leg.to, Written::Component(..))) {
                    self.checker.notes.unsupported_forks.push((word, support::FORKED_BRANCH.to_owned()));
                }
                let Ways { legs, channel, whole } = self.ways(legs, ("failover", *span), state, position);
                (Destination::Failover { legs, channel, word }, whole)
            }
        }
    }

    /// Types the key of a `balance`: events with the same key take the same branch.
    fn key(&mut self, by: &Expression, state: &State) -> Option<Planned> {
        let typed = Typer::new(self.checker, Some(&state.columns), &state.bindings).typed(by, None)?;
        let planned = self.checker.sure(typed)?.planned;
        self.checker.notes.fork_expressions.push(by.span);
        Some(planned)
    }

    /// Resolves the cases of a `match`. Each case is checked with the facts that its condition is true and the earlier
    /// conditions are false.
    fn cases(
        &mut self,
        cases: &[(Option<&Expression>, WrittenLeg<'_>)],
        mut state: Option<State>,
        position: Position,
    ) -> (Destination, bool) {
        let mut resolved = Vec::new();
        let mut whole = true;
        let conditions = cases.iter().filter_map(|(condition, _)| *condition);
        self.checker.notes.fork_expressions.extend(conditions.map(|condition| condition.span));
        for (condition, leg) in cases {
            let mut inside = state.clone();
            let mut planned = None;
            if let (Some(condition), Some(outside)) = (condition, &mut state) {
                let typed =
                    Typer::new(self.checker, Some(&outside.columns), &outside.bindings).condition(condition);
                match typed {
                    Some(typed) => {
                        if let Some(fails) = &typed.fails {
                            self.checker.unhandled(fails, None);
                            whole = false;
                        }
                        inside.iter_mut().for_each(|inside| narrow(inside, &typed.facts.if_true));
                        narrow(outside, &typed.facts.if_false);
                        planned = Some(typed.planned);
                    }
                    None => whole = false,
                }
            }
            let leg = self.leg(leg, inside, position);
            whole &= leg.whole;
            resolved.push(Case { condition: planned, leg });
        }
        (Destination::Match(resolved), whole)
    }

    /// Resolves the branches of a `balance` or a `failover`. Either all lead to channels, or all lead to sinks behind
    /// one channel.
    fn ways(
        &mut self,
        legs: &[WrittenLeg<'_>],
        (word, span): (&str, Span),
        mut state: Option<State>,
        position: Position,
    ) -> Ways {
        self.of_one_kind(legs, word);
        let first = first_end(legs);
        let needs_channel = self.needs_channel(legs, position);
        let columns = state.as_ref().map(|state| state.columns.clone());
        if let Some(state) = state.as_mut().filter(|_| needs_channel) {
            // Locals do not pass through a channel.
            state.bindings = Bindings::default();
        }
        let inside = Position { held: position.held || needs_channel, ..position };
        let legs: Vec<Leg> = legs.iter().map(|leg| self.leg(leg, state.clone(), inside)).collect();
        let mut whole = legs.iter().all(|leg| leg.whole);
        let mut channel = None;
        if let (true, true, Some(first), Some(columns)) = (needs_channel, whole, first, columns) {
            channel = self.channel_between(position.from, first, span, columns);
            whole = channel.is_some();
        }
        Ways { legs, channel, whole }
    }

    /// Returns whether the compiler must add a channel between a source and the sinks of the branches.
    fn needs_channel(&self, legs: &[WrittenLeg<'_>], position: Position) -> bool {
        let to_sinks =
            first_end(legs).is_some_and(|index| self.components[index].declared.role == Role::Sink);
        self.components[position.from].declared.role == Role::Source && to_sinks && !position.held
    }

    /// Reports branches that mix channels and sinks.
    fn of_one_kind(&mut self, legs: &[WrittenLeg<'_>], word: &str) {
        let ends: Vec<_> = legs.iter().flat_map(destinations).collect();
        let Some((first, _)) = ends.first() else { return };
        let wanted = self.components[*first].declared.role;
        for (index, span) in ends {
            let declared = &self.components[index].declared;
            if declared.role == wanted {
                continue;
            }
            let rule = match word {
                "failover" => "`failover` tries channels, or sinks, not both".to_owned(),
                word => format!("`{word}` spreads over channels, or over sinks, not over both"),
            };
            let role = if declared.role == Role::Channel { "a channel" } else { "a sink" };
            let name = format!("{} `{}`", role_in_words(declared.role), declared.name);
            let declared = Some(declared.span);
            self.checker.report(Misplaced { name, role, rule, span, declared });
            self.whole = false;
            return;
        }
    }
}

/// Returns the first destination of the branches.
fn first_end(legs: &[WrittenLeg<'_>]) -> Option<ComponentIndex> {
    legs.iter().flat_map(destinations).map(|(index, _)| index).next()
}
