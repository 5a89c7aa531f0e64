//! The events at each component: their headers and fields, and the types of these.

use weir_grammar::tree::Role;
use weir_plan::{Component, EventType, Plan, SENSITIVE, type_name};

use super::{Compared, Effect, PlanChange, by_name, subject};

/// A header or a field of events.
#[derive(Debug, PartialEq)]
struct Column {
    name: String,
    type_name: String,
    optional: bool,
    sensitive: bool,
}

impl Column {
    /// Returns the type in words: `Text? sensitive`.
    fn shown(&self) -> String {
        let optional = if self.optional { "?" } else { "" };
        let sensitive = if self.sensitive { " sensitive" } else { "" };
        format!("{}{optional}{sensitive}", self.type_name)
    }
}

/// Returns the columns of the events of a component.
fn columns(plan: &Plan, component: &Component) -> Vec<Column> {
    let Some(EventType { schema }) = plan.event_types.get(component.event_type.0 as usize) else {
        return Vec::new();
    };
    let fields = schema.fields().iter().map(|field| Column {
        name: field.name().clone(),
        type_name: type_name(field.data_type()),
        optional: field.is_nullable(),
        sensitive: field.metadata().contains_key(SENSITIVE),
    });
    fields.collect()
}

fn find<'c>(columns: &'c [Column], name: &str) -> Option<&'c Column> {
    columns.iter().find(|column| column.name == name)
}

impl Compared<'_> {
    /// Compares the events of the components that both plans have.
    pub(super) fn events(&self, changes: &mut Vec<PlanChange>) {
        for role in [Role::Source, Role::Channel, Role::Sink] {
            let new = by_name(self.new, role);
            for (name, before) in by_name(self.old, role) {
                let Some(after) = new.get(name).filter(|after| after.kind == before.kind) else { continue };
                let (old, new) = (columns(self.old, before), columns(self.new, after));
                let says = changed(&old, &new);
                if says.is_empty() {
                    continue;
                }
                let says = format!("its events change: {}", says.join(", "));
                let change = match self.is_durable(role, before) && !fit(&old, &new) {
                    true => {
                        let says = format!("{says}; events that wait do not fit any more");
                        PlanChange::new(Effect::Refused, subject(role, name), says).advice(
                            "if events wait, deliver them first with the old plan: `weir run --drain-only`",
                        )
                    }
                    false => PlanChange::new(Effect::None, subject(role, name), says),
                };
                changes.push(change);
            }
        }
    }
}

/// Returns whether events of the old columns can be read with the new ones: those that are required must be there, and each has
/// its type.
fn fit(old: &[Column], new: &[Column]) -> bool {
    new.iter().all(|after| match find(old, &after.name) {
        Some(before) => before.type_name == after.type_name && (after.optional || !before.optional),
        None => after.optional,
    })
}

/// Returns the columns that are gone, new or of another type, in words.
fn changed(old: &[Column], new: &[Column]) -> Vec<String> {
    let mut says = Vec::new();
    for before in old {
        let name = &before.name;
        match find(new, name) {
            None => says.push(format!("`{name}` is gone")),
            Some(after) if after != before => {
                says.push(format!("`{name}` is {} instead of {}", after.shown(), before.shown()));
            }
            Some(_) => {}
        }
    }
    let added = new.iter().filter(|after| find(old, &after.name).is_none());
    says.extend(added.map(|after| format!("`{}: {}` is new", after.name, after.shown())));
    says
}
