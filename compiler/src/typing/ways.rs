//! Where legs lead: to one place, to several, or to one of several.

use weir_grammar::Span;
use weir_grammar::tree::{Expression, Role};
use weir_plan::Expression as Planned;

use super::{Position, Typing};
use crate::analysis::graph::{Arrival, Case, Destination, Leg};
use crate::diagnostics::Misplaced;
use crate::expressions::{Bindings, Typer};
use crate::flows::graph::destinations;
use crate::flows::{Destination as Written, Leg as WrittenLeg};
use crate::names::scopes::ComponentIndex;
use crate::spelling::role_in_words;
use crate::steps::{State, narrow};

/// Ways of which each event takes one.
struct Ways {
    legs: Vec<Leg>,
    /// The channel that was put in front of them.
    channel: Option<ComponentIndex>,
    whole: bool,
}

impl Typing<'_, '_> {
    /// Where a leg leads, and whether all of that is known.
    pub(super) fn destination(
        &mut self,
        to: &Written<'_>,
        state: Option<State>,
        position: Position,
    ) -> (Destination, bool) {
        match to {
            Written::Broken => (Destination::Unknown, false),
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
                let key = match (by, &state) {
                    // Events leave the values behind that were computed before a channel.
                    (Some(by), Some(state)) if self.needs_channel(legs, position) => {
                        let state = State { bindings: Bindings::default(), columns: state.columns.clone() };
                        Some(self.key(by, &state))
                    }
                    (Some(by), Some(state)) => Some(self.key(by, state)),
                    _ => None,
                };
                if key == Some(None) {
                    let legs = legs.iter().map(unread).collect();
                    return (Destination::Balance { by: None, legs, channel: None }, false);
                }
                let by = key.flatten();
                let Ways { legs, channel, whole } = self.ways(legs, ("balance", *span), state, position);
                (Destination::Balance { by, legs, channel }, whole)
            }
            Written::Failover { legs, span } => {
                let Ways { legs, channel, whole } = self.ways(legs, ("failover", *span), state, position);
                (Destination::Failover { legs, channel }, whole)
            }
        }
    }

    /// What keeps the events of a `balance` together.
    fn key(&mut self, by: &Expression, state: &State) -> Option<Planned> {
        let typed = Typer::new(self.checker, Some(&state.columns), &state.bindings).typed(by, None)?;
        self.checker.sure(typed).map(|typed| typed.planned)
    }

    /// The cases of a choice: in each, what the condition says is known, and that those before it failed.
    fn cases(
        &mut self,
        cases: &[(Option<&Expression>, WrittenLeg<'_>)],
        mut state: Option<State>,
        position: Position,
    ) -> (Destination, bool) {
        let mut resolved = Vec::new();
        let mut whole = true;
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

    /// Ways of which each event takes one: all into channels, or all to sinks behind one channel.
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
            // Events leave the values behind that were computed before the channel.
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

    /// Whether a source's events must wait in a channel of the path's own until a sink takes them.
    fn needs_channel(&self, legs: &[WrittenLeg<'_>], position: Position) -> bool {
        let to_sinks =
            first_end(legs).is_some_and(|index| self.components[index].declared.role == Role::Sink);
        self.components[position.from].declared.role == Role::Source && to_sinks && !position.held
    }

    /// Reports ways of which some end at channels and others at sinks, and channels to fall back on.
    fn of_one_kind(&mut self, legs: &[WrittenLeg<'_>], word: &str) {
        let ends: Vec<_> = legs.iter().flat_map(destinations).collect();
        let Some((first, _)) = ends.first() else { return };
        let wanted = if word == "failover" { Role::Sink } else { self.components[*first].declared.role };
        for (index, span) in ends {
            let declared = &self.components[index].declared;
            if declared.role == wanted {
                continue;
            }
            let rule = match word {
                "failover" => "`failover` tries sinks, one after the other".to_owned(),
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

/// Where the first of several ways leads first.
fn first_end(legs: &[WrittenLeg<'_>]) -> Option<ComponentIndex> {
    legs.first().and_then(|leg| destinations(leg).first().map(|(index, _)| *index))
}

/// A leg whose steps are not checked, because of something that has been reported.
fn unread(written: &WrittenLeg<'_>) -> Leg {
    let all = |legs: &[WrittenLeg<'_>]| legs.iter().map(unread).collect();
    let to = match &written.to {
        Written::Broken => Destination::Unknown,
        Written::Component(to, span) => {
            Destination::Component(Arrival { to: *to, span: *span, channel: None, held: false, events: None })
        }
        Written::Copy(branches) => {
            let branches = branches.iter().map(|(optional, leg)| (*optional, unread(leg)));
            Destination::Copy(branches.collect())
        }
        Written::Match(cases) => {
            let cases = cases.iter().map(|(_, leg)| Case { condition: None, leg: unread(leg) });
            Destination::Match(cases.collect())
        }
        Written::Balance { legs, .. } => Destination::Balance { by: None, legs: all(legs), channel: None },
        Written::Failover { legs, .. } => Destination::Failover { legs: all(legs), channel: None },
    };
    Leg { steps: Vec::new(), to, whole: false }
}
