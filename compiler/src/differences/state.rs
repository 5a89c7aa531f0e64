//! What agents remember: channels and their readers, positions, groups, transactional ids, ledgers.

use std::collections::BTreeSet;

use weir_grammar::tree::Role;
use weir_plan::{Component, Leg, Origin, Plan, Route, Value, readers_of};

use super::{Compared, Effect, PlanChange, by_name, settings, subject};
use crate::flows::surface::texts;
use crate::signatures::classes::Class;
use crate::signatures::{ENCRYPTION_RECORD, Signature};
use crate::types::Type;

/// Returns the names of the settings with this kind of `touches`.
fn touching<'s>(signature: &'s Signature, kind: &str) -> Vec<&'s str> {
    let touches = |setting: &&crate::signatures::SettingSignature| {
        setting.touches.iter().any(|touches| &*touches.kind.text == kind)
    };
    signature.group.settings.iter().filter(touches).map(|setting| &*setting.name.text).collect()
}

fn shown(component: &Component, setting: &str) -> String {
    component.settings.values.get(setting).map_or("null".to_owned(), ToString::to_string)
}

/// Returns the channels and sinks at which a leg ends.
fn ends<'l>(leg: &'l Leg, found: &mut Vec<(&'l str, bool)>) {
    match &leg.to {
        Route::Channel(name) => found.push((name, false)),
        Route::Sink(name) => found.push((name, true)),
        other => other.legs().into_iter().for_each(|leg| ends(leg, found)),
    }
}

/// Returns whether a flow with the sink, or with a channel before it, stores positions.
fn never_repeats(plan: &Plan, name: &str) -> bool {
    let flows = plan.flows.iter().filter(|flow| flow.delivers.never_repeats());
    flows.flat_map(|flow| &flow.paths).any(|path| {
        let mut found = Vec::new();
        ends(&path.leg, &mut found);
        let begins = matches!(&path.from, Origin::Source(from) | Origin::Channel(from) if from == name);
        begins || found.iter().any(|(end, _)| *end == name)
    })
}

impl Compared<'_> {
    /// Compares a component that both plans have.
    pub(super) fn kept(&self, role: Role, old: &Component, new: &Component, changes: &mut Vec<PlanChange>) {
        let Some(signature) = self.signature(role, old) else { return };
        let subject = subject(role, &old.name);
        let mut told: BTreeSet<&str> = BTreeSet::new();
        let changed = |name: &str| old.settings.values.get(name) != new.settings.values.get(name);
        for name in touching(signature, "state").into_iter().filter(|name| changed(name)) {
            told.insert(name);
            let (before, after) = (shown(old, name), shown(new, name));
            match role {
                Role::Channel => {
                    changes.push(self.left(old, &format!("its directory is {after} instead of {before}")))
                }
                _ => {
                    let says = format!(
                        "`{name}` is {after} instead of {before}: what was delivered is not known there"
                    );
                    let change = PlanChange::new(Effect::BeginsAgain, &*subject, says);
                    changes.push(change.advice("move the file to the new place before the start"));
                }
            }
        }
        for name in touching(signature, "progress").into_iter().filter(|name| changed(name)) {
            told.insert(name);
            // Names of transactions and of their positions are used only where positions are stored.
            let used = name == "group" || role == Role::Source || never_repeats(self.old, &old.name);
            let effect = match (used, signature.class) {
                (false, _) => Effect::None,
                (true, Class::Durable) => Effect::Strands,
                _ => Effect::BeginsAgain,
            };
            let says = format!(
                "`{name}` is {} instead of {}: progress belongs to the old name",
                shown(new, name),
                shown(old, name)
            );
            changes.push(PlanChange::new(effect, &*subject, says));
        }
        for setting in &signature.group.settings {
            let is_keys = matches!(&setting.value_type, Type::Named(named) if **named == *ENCRYPTION_RECORD);
            let name = &*setting.name.text;
            let is_null = |component: &Component| component.settings.values.get(name) == Some(&Value::Null);
            if is_keys && is_null(old) != is_null(new) {
                told.insert(name);
                let says = if is_null(new) { "is not encrypted any more" } else { "is encrypted now" };
                let change = PlanChange::new(Effect::Refused, &*subject, says);
                changes.push(change.advice(
                    "drain it first with the old plan: `weir run --drain-only`, and use another directory",
                ));
            }
        }
        told.extend(self.places(signature, &subject, old, new, changes));
        changes.extend(settings(&subject, &old.settings, &new.settings, &|name| told.contains(name)));
    }

    /// Compares what a source reads and a sink writes.
    fn places<'s>(
        &self,
        signature: &'s Signature,
        subject: &str,
        old: &Component,
        new: &Component,
        changes: &mut Vec<PlanChange>,
    ) -> Vec<&'s str> {
        let mut told = Vec::new();
        for clause in &signature.outside {
            let name = &*clause.name.text;
            let values = |component: &Component| {
                let value = component.settings.values.get(name);
                value.map(texts).unwrap_or_default().into_iter().map(|text| text.into_owned()).collect()
            };
            let (before, after): (Vec<String>, Vec<String>) = (values(old), values(new));
            if old.settings.values.get(name) == new.settings.values.get(name) {
                continue;
            }
            told.push(name);
            let says = format!("`{name}` is {} instead of {}", shown(new, name), shown(old, name));
            let lost: Vec<&String> = before.iter().filter(|text| !after.contains(text)).collect();
            let change = match (clause.reads, lost.is_empty()) {
                (true, true) => PlanChange::new(Effect::None, subject, says),
                (true, false) => {
                    let lost: Vec<String> = lost.iter().map(|text| format!("`{text}`")).collect();
                    let says = format!("{says}: nothing reads {} any more", lost.join(", "));
                    PlanChange::new(Effect::Strands, subject, says)
                }
                // A ledger lies where the sink writes.
                (false, false) if never_repeats(self.old, &old.name) => {
                    let says = format!("{says}: its ledger lies at the old place");
                    PlanChange::new(Effect::BeginsAgain, subject, says).advice(
                        "drain the channel before it with the old plan first: `weir run --drain-only`",
                    )
                }
                (false, _) => PlanChange::new(Effect::None, subject, says),
            };
            changes.push(change);
        }
        told
    }

    /// Tells what becomes of a component that is gone.
    pub(super) fn gone(&self, role: Role, old: &Component, says: &str, changes: &mut Vec<PlanChange>) {
        match role {
            Role::Channel if self.is_durable(role, old) => changes.push(self.left(old, says)),
            _ => changes.push(PlanChange::new(Effect::None, subject(role, &old.name), says)),
        }
    }

    /// Returns the change of a durable channel whose events stay where they are.
    fn left(&self, channel: &Component, says: &str) -> PlanChange {
        let directory = self.directory(channel);
        let says = format!("{says}: events that wait would stay for nobody");
        let mut change = PlanChange::new(Effect::Strands, subject(Role::Channel, &channel.name), says)
            .advice("drain it first with the old plan: `weir run --drain-only`");
        change.directory = directory;
        change
    }

    /// Returns the path of a channel's directory, as the plan has it.
    fn directory(&self, channel: &Component) -> Option<String> {
        let signature = self.signature(Role::Channel, channel)?;
        let name = *touching(signature, "state").first()?;
        match channel.settings.values.get(name)? {
            Value::Text(path) => Some(path.clone()),
            _ => Some(format!("{}/{}", self.old.program, channel.name)),
        }
    }

    /// Compares the readers of the channels that stay.
    pub(super) fn readers(&self, changes: &mut Vec<PlanChange>) {
        let new = by_name(self.new, Role::Channel);
        for (name, channel) in by_name(self.old, Role::Channel) {
            if !self.is_durable(Role::Channel, channel)
                || new.get(name).is_none_or(|after| after.kind != channel.kind)
            {
                continue;
            }
            let (before, after) = (readers_of(self.old, name), readers_of(self.new, name));
            let directory = self.directory(channel);
            for reader in before.keys().filter(|reader| !after.contains_key(*reader)) {
                let says = format!(
                    "keeps events for {}; reader `{reader}` is gone: its events would stay for nobody, so the agent does not start",
                    count(before.len())
                );
                let shown = directory.as_deref().unwrap_or("DIRECTORY");
                let advice = format!(
                    "let the same sinks read the channel, or give the events up: `weir channel forget-reader {shown} '{reader}'`"
                );
                let mut change = PlanChange::new(Effect::Strands, subject(Role::Channel, name), says);
                if directory.is_some() {
                    change = change.advice(advice);
                }
                (change.directory, change.reader) = (directory.clone(), Some(reader.clone()));
                changes.push(change);
            }
            for reader in after.keys().filter(|reader| !before.contains_key(*reader)) {
                let says = format!(
                    "has the new reader `{reader}`, which begins with the oldest event that another reader still needs"
                );
                changes.push(PlanChange::new(Effect::None, subject(Role::Channel, name), says));
            }
        }
    }

    /// Tells of sources that have another name and read the same: a durable channel knows them by the old one.
    pub(super) fn renamed_sources(&self, changes: &mut Vec<PlanChange>) {
        let (old, new) = (by_name(self.old, Role::Source), by_name(self.new, Role::Source));
        let gone: Vec<&&Component> =
            old.iter().filter(|(name, _)| !new.contains_key(*name)).map(|(_, one)| one).collect();
        for (name, after) in new.iter().filter(|(name, _)| !old.contains_key(*name)) {
            let Some(signature) = self.signature(Role::Source, after) else { continue };
            let reads: Vec<&str> = signature.outside.iter().map(|clause| &*clause.name.text).collect();
            let same = |before: &&&&Component| {
                before.kind == after.kind
                    && !reads.is_empty()
                    && reads
                        .iter()
                        .all(|name| before.settings.values.get(*name) == after.settings.values.get(*name))
            };
            let renamed = gone.iter().find(same);
            // The channel refuses a source that it does not know while it lacks one that it knows.
            if !self.fills_known_channel(name, &gone) {
                continue;
            }
            let says = match renamed {
                Some(before) => {
                    format!("reads what `{}` read; the channel behind knows it by the old name", before.name)
                }
                None => "is not known to the channel behind, which lacks a source that it knows".to_owned(),
            };
            let advice = match renamed {
                Some(before) => format!(
                    "keep the name `{}`, or read everything again: `weir run --new-source {name}`",
                    before.name
                ),
                None => format!("say that it is another source: `weir run --new-source {name}`"),
            };
            changes.push(PlanChange::new(Effect::Refused, subject(Role::Source, name), says).advice(advice));
        }
    }

    /// Returns whether a source fills a durable channel that one of the others filled before.
    fn fills_known_channel(&self, source: &str, gone: &[&&Component]) -> bool {
        let filled = |plan: &Plan, source: &str| -> BTreeSet<String> {
            let paths = plan.flows.iter().flat_map(|flow| &flow.paths);
            let mut found = BTreeSet::new();
            for path in paths.filter(|path| matches!(&path.from, Origin::Source(name) if name == source)) {
                let mut behind = Vec::new();
                ends(&path.leg, &mut behind);
                found.extend(
                    behind.into_iter().filter(|(_, is_sink)| !is_sink).map(|(name, _)| name.to_owned()),
                );
            }
            found
        };
        let durable = |name: &String| {
            let channel = self.new.channels.iter().find(|channel| channel.name == *name);
            channel.is_some_and(|channel| self.is_durable(Role::Channel, channel))
        };
        let here: BTreeSet<String> = filled(self.new, source).into_iter().filter(durable).collect();
        gone.iter().any(|before| !filled(self.old, &before.name).is_disjoint(&here))
    }
}

fn count(readers: usize) -> String {
    if readers == 1 { "1 reader".to_owned() } else { format!("{readers} readers") }
}
