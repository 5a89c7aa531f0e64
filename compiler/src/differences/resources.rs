//! The most memory and disk space that the two programs take.

use weir_grammar::tree::Role;
use weir_plan::{Bytes, WorstCase};

use super::{Compared, Effect, PlanChange, by_name, subject};
use crate::spelling::bytes_in_words;

/// A resource: its name, and its part of the bytes.
type Resource = (&'static str, fn(&Bytes) -> u64);

const RESOURCES: [Resource; 2] =
    [("memory", |bytes: &Bytes| bytes.memory), ("disk space", |bytes: &Bytes| bytes.disk)];

/// Returns what a component takes; nothing if the plan does not have it.
fn of(worst: &WorstCase, component: &str) -> Bytes {
    worst.components.get(component).copied().unwrap_or_default()
}

/// Returns what the whole program takes.
fn sum(worst: &WorstCase) -> Bytes {
    let parts = worst.components.values().chain([&worst.process]);
    parts.fold(Bytes::default(), |sum, part| Bytes {
        memory: sum.memory.saturating_add(part.memory),
        disk: sum.disk.saturating_add(part.disk),
    })
}

/// Adds a change for each resource of which another amount is taken.
fn compare(subject: &str, (before, after): (Bytes, Bytes), changes: &mut Vec<PlanChange>) {
    for (name, amount) in RESOURCES {
        let (before, after) = (amount(&before), amount(&after));
        let (before, after) = (bytes_in_words(before), bytes_in_words(after));
        // Amounts are told with two digits, and smaller changes are none.
        if before != after {
            let says = format!("takes at most {after} of {name} instead of {before}");
            changes.push(PlanChange::new(Effect::Takes, subject, says));
        }
    }
}

impl Compared<'_> {
    /// Compares what the programs take: first as a whole, then the components that both have. A plan that was compiled before the
    /// amounts were part of plans says nothing.
    pub(super) fn resources(&self, changes: &mut Vec<PlanChange>) {
        let (Some(old), Some(new)) = (&self.old.worst_case, &self.new.worst_case) else { return };
        compare("program", (sum(old), sum(new)), changes);
        for role in [Role::Source, Role::Channel, Role::Sink] {
            let kept = by_name(self.new, role);
            for name in by_name(self.old, role).into_keys().filter(|name| kept.contains_key(name)) {
                compare(&subject(role, name), (of(old, name), of(new, name)), changes);
            }
        }
    }
}
