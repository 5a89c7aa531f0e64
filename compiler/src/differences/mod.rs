//! What changes when an agent goes from one plan to another: for events, promises, resources and state.

mod events;
mod resources;
mod state;
mod steps;

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use serde::Serialize;
use weir_grammar::tree::Role;
use weir_plan::{Component, Flow, Order, Plan, Settings};

use crate::flows::graph::role_name;
use crate::signatures::classes::Class;
use crate::signatures::{Library, Signature};

/// What a change does to events, or to what an agent remembers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Events may be lost that were not lost before.
    Loses,
    /// Events may be repeated that were not repeated before.
    Repeats,
    /// Events stay where nobody reads them any more.
    Strands,
    /// A component begins again, since it does not find its progress: it may repeat events, or leave some out.
    BeginsAgain,
    /// The agent does not start as long as it is not told what to do.
    Refused,
    /// Events may arrive in another order.
    Reorders,
    /// The program takes another amount of memory or disk space.
    Takes,
    /// Nothing of that kind.
    None,
}

impl Effect {
    /// Returns whether a deployment should stop at the change.
    pub fn matters(self) -> bool {
        !matches!(self, Effect::Takes | Effect::None)
    }

    /// Returns the effect as a heading.
    fn heading(self) -> &'static str {
        match self {
            Effect::Loses => "may lose events",
            Effect::Repeats => "may repeat events",
            Effect::Strands => "leaves events for nobody",
            Effect::BeginsAgain => "begins again",
            Effect::Refused => "is refused at the start",
            Effect::Reorders => "may reorder events",
            Effect::Takes => "takes more or less",
            Effect::None => "other changes",
        }
    }
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlanChange {
    /// The effect on events or on state.
    pub effect: Effect,
    /// What changes: `channel buffer`, `flow main`, `program`.
    pub subject: String,
    /// The change in words.
    pub says: String,
    /// The lines of the plan that change: `- …` in the old one, `+ …` in the new one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// The step that avoids the effect.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<String>,
    /// The directory of a channel whose events stay, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
    /// The reader for which events stay; all if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reader: Option<String>,
    /// The number of events that a reader of the channel has not delivered, if the directory was looked into.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events: Option<u64>,
}

impl PlanChange {
    fn new(effect: Effect, subject: impl Into<String>, says: impl Into<String>) -> PlanChange {
        let (subject, says) = (subject.into(), says.into());
        let lines = Vec::new();
        PlanChange { effect, subject, says, lines, advice: None, directory: None, reader: None, events: None }
    }

    fn advice(mut self, advice: impl Into<String>) -> PlanChange {
        self.advice = Some(advice.into());
        self
    }
}

/// The changes between two plans, those that matter first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// The changes.
    pub changes: Vec<PlanChange>,
}

impl Difference {
    /// Returns whether a change loses, repeats, reorders or strands events, begins again or is refused.
    pub fn matters(&self) -> bool {
        self.changes.iter().any(|change| change.effect.matters())
    }
}

impl Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.changes.is_empty() {
            return writeln!(f, "nothing changes");
        }
        let mut last = None;
        for change in &self.changes {
            if last != Some(change.effect) {
                let line = if last.is_some() { "\n" } else { "" };
                writeln!(f, "{line}{}", change.effect.heading())?;
                last = Some(change.effect);
            }
            writeln!(f, "  {}: {}", change.subject, change.says)?;
            change.lines.iter().try_for_each(|line| writeln!(f, "    {line}"))?;
            if let Some(events) = change.events {
                match change.reader {
                    // The channel counts the events that any of its readers has not delivered.
                    Some(_) => writeln!(f, "    at most {events} events wait for it now")?,
                    None => writeln!(f, "    {events} events wait there now")?,
                }
            }
            if let Some(advice) = &change.advice {
                writeln!(f, "    {advice}")?;
            }
        }
        Ok(())
    }
}

/// Compares two plans. Components and flows are the same if they have the same name.
pub fn differences(old: &Plan, new: &Plan, library: &Library) -> Difference {
    let compared = Compared { old, new, library };
    let mut changes = Vec::new();
    compared.program(&mut changes);
    compared.flows(&mut changes);
    for role in [Role::Source, Role::Channel, Role::Sink] {
        compared.components(role, &mut changes);
    }
    compared.renamed_sources(&mut changes);
    compared.readers(&mut changes);
    compared.events(&mut changes);
    compared.steps(&mut changes);
    compared.resources(&mut changes);
    changes.extend(settings("agent", &old.agent, &new.agent, &|_| false));
    // The order of the text is kept within an effect.
    changes.sort_by_key(|change| change.effect);
    Difference { changes }
}

/// Two plans that are compared.
struct Compared<'p> {
    old: &'p Plan,
    new: &'p Plan,
    library: &'p Library,
}

/// Returns the components of a role by their names.
fn by_name(plan: &Plan, role: Role) -> BTreeMap<&str, &Component> {
    let components = match role {
        Role::Source => &plan.sources,
        Role::Channel => &plan.channels,
        Role::Sink => &plan.sinks,
    };
    components.iter().map(|component| (component.name.as_str(), component)).collect()
}

fn flow_of<'p>(plan: &'p Plan, name: &str) -> Option<&'p Flow> {
    plan.flows.iter().find(|flow| flow.name == name)
}

fn subject(role: Role, name: &str) -> String {
    format!("{} {name}", role_name(role))
}

impl Compared<'_> {
    fn signature(&self, role: Role, component: &Component) -> Option<&Signature> {
        self.library.signature(role, &component.kind).map(|signature| &**signature)
    }

    fn is_durable(&self, role: Role, component: &Component) -> bool {
        self.signature(role, component).is_some_and(|signature| signature.class == Class::Durable)
    }

    /// Compares the names of the programs, to which state belongs.
    fn program(&self, changes: &mut Vec<PlanChange>) {
        let (old, new) = (&self.old.program, &self.new.program);
        if old == new {
            return;
        }
        let says = format!(
            "is named `{new}` instead of `{old}`: channels, ledgers and positions belong to the old name"
        );
        let advice = format!("keep the name: `agent {{ name: \"{old}\" }}`");
        changes.push(PlanChange::new(Effect::Refused, "program", says).advice(advice));
    }

    /// Compares the promises of the flows.
    fn flows(&self, changes: &mut Vec<PlanChange>) {
        for old in &self.old.flows {
            match flow_of(self.new, &old.name) {
                Some(new) => promises(old, new, changes),
                None => changes.push(PlanChange::new(Effect::None, format!("flow {}", old.name), "is gone")),
            }
        }
        for new in self.new.flows.iter().filter(|new| flow_of(self.old, &new.name).is_none()) {
            let says = format!("is new, and promises {}", promise(new));
            changes.push(PlanChange::new(Effect::None, format!("flow {}", new.name), says));
        }
    }

    /// Compares the components of a role.
    fn components(&self, role: Role, changes: &mut Vec<PlanChange>) {
        let (old, new) = (by_name(self.old, role), by_name(self.new, role));
        for (name, before) in &old {
            match new.get(name) {
                Some(after) if after.kind == before.kind => self.kept(role, before, after, changes),
                Some(after) => {
                    let says = format!("is of the kind `{}` instead of `{}`", after.kind, before.kind);
                    self.gone(role, before, &says, changes);
                }
                None => self.gone(role, before, "is gone", changes),
            }
        }
        for name in new.keys().filter(|name| !old.contains_key(*name)) {
            changes.push(PlanChange::new(Effect::None, subject(role, name), "is new"));
        }
    }
}

fn promise(flow: &Flow) -> String {
    match &flow.order {
        Order::None => flow.delivers.to_string(),
        order => format!("{}, {order}", flow.delivers),
    }
}

fn promises(old: &Flow, new: &Flow, changes: &mut Vec<PlanChange>) {
    let subject = format!("flow {}", new.name);
    let says = format!("promises {} instead of {}", promise(new), promise(old));
    let (before, after) = (old.delivers, new.delivers);
    let mut effects = Vec::new();
    if before.never_loses() && !after.never_loses() {
        effects.push(Effect::Loses);
    }
    if before.never_repeats() && !after.never_repeats() {
        effects.push(Effect::Repeats);
    }
    if !old.order.is_none() && old.order != new.order && new.order != Order::Total {
        effects.push(Effect::Reorders);
    }
    if effects.is_empty() && (before != after || old.order != new.order) {
        effects.push(Effect::None);
    }
    changes.extend(effects.into_iter().map(|effect| PlanChange::new(effect, &*subject, &*says)));
}

/// Returns the settings with other values, without those that were told otherwise.
fn settings<'s>(
    subject: &'s str,
    old: &'s Settings,
    new: &'s Settings,
    is_told: &'s dyn Fn(&str) -> bool,
) -> impl Iterator<Item = PlanChange> + use<'s> {
    let names = old.values.keys().chain(new.values.keys().filter(|name| !old.values.contains_key(*name)));
    names.filter_map(move |name| {
        let (before, after) = (old.values.get(name), new.values.get(name));
        if before == after || is_told(name) {
            return None;
        }
        let shown = |value: Option<&weir_plan::Value>| value.map_or("null".to_owned(), ToString::to_string);
        let says = format!("`{name}` is {} instead of {}", shown(after), shown(before));
        Some(PlanChange::new(Effect::None, subject, says))
    })
}
