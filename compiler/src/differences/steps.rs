//! The steps, forks and destinations of paths, and the functions that they call.

use std::collections::BTreeMap;

use similar::{ChangeTag, TextDiff};
use weir_plan::{Flow, Origin, Plan};

use super::{Compared, Effect, PlanChange, flow_of};

/// Returns the text of what events pass behind each origin of a flow.
fn stages<'p>(plan: &Plan, flow: &'p Flow) -> BTreeMap<&'p Origin, String> {
    let mut all = BTreeMap::<_, String>::new();
    for path in &flow.paths {
        all.entry(&path.from).or_default().push_str(&plan.stages(path));
    }
    all
}

/// Returns the lines that only one of two texts has: `- …` of the old one and `+ …` of the new one, in their order.
fn changed_lines(old: &str, new: &str) -> Vec<String> {
    let diff = TextDiff::from_lines(old, new);
    let changes = diff.iter_all_changes().filter_map(|change| {
        let sign = match change.tag() {
            ChangeTag::Delete => '-',
            ChangeTag::Insert => '+',
            ChangeTag::Equal => return None,
        };
        Some(format!("{sign} {}", change.value().trim_end()))
    });
    changes.collect()
}

impl Compared<'_> {
    /// Compares the paths that begin at the same origin of the same flow, and the functions of the same name.
    pub(super) fn steps(&self, changes: &mut Vec<PlanChange>) {
        for old in &self.old.flows {
            let Some(new) = flow_of(self.new, &old.name) else { continue };
            let after = stages(self.new, new);
            for (origin, before) in stages(self.old, old) {
                let Some(after) = after.get(origin) else { continue };
                let says = format!("the path from `{}` changes", origin.name());
                told(format!("flow {}", new.name), says, changed_lines(&before, after), changes);
            }
        }
        for old in &self.old.functions {
            let of_name = self.new.functions.iter().find(|new| new.name == old.name);
            let Some(new) = of_name else { continue };
            let lines = changed_lines(&self.old.function(old), &self.new.function(new));
            told(format!("function {}", new.name), "has another value".to_owned(), lines, changes);
        }
    }
}

fn told(subject: String, says: String, lines: Vec<String>, changes: &mut Vec<PlanChange>) {
    if !lines.is_empty() {
        changes.push(PlanChange { lines, ..PlanChange::new(Effect::None, subject, says) });
    }
}
