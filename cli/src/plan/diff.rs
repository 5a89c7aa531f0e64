//! `weir plan --diff`: what changes from one plan to another.

use std::path::Path;

use weir_compiler::{Effect, Library, PlanChange, differences};
use weir_plan::Plan;
use weir_runtime::channel::file::inspect;

use super::{Arguments, Outcome, PlanFormat, compiled, place};
use crate::program::print;

/// Prints what changes from the old program or plan to the new plan.
///
/// # Errors
/// When the old program or plan can't be read.
pub(super) fn show(
    old: &str,
    mut new: Plan,
    library: &Library,
    arguments: &Arguments,
) -> Result<Outcome, String> {
    let old = match old.ends_with(".json") {
        true => {
            let text = std::fs::read_to_string(old).map_err(|error| format!("{old}: {error}"))?;
            Some(library.plan_from_json(&text).map_err(|error| format!("{old}: {error}"))?)
        }
        false => compiled(old, library, arguments)?.1,
    };
    let Some(mut old) = old else { return Ok(Outcome::Errors) };
    place(&mut old, arguments)?;
    place(&mut new, arguments)?;
    let mut difference = differences(&old, &new, library);
    difference.changes.iter_mut().for_each(count);
    print(&match arguments.format {
        PlanFormat::Json => {
            serde_json::to_string_pretty(&difference).map_err(|error| error.to_string())? + "\n"
        }
        _ => difference.to_string(),
    });
    Ok(if difference.matters() { Outcome::Matters } else { Outcome::Shown })
}

/// Counts the events that a change leaves in the directory of a channel. A directory that does not exist, is in use or is
/// encrypted is not looked into.
fn count(change: &mut PlanChange) {
    let (Effect::Strands, Some(directory)) = (change.effect, &change.directory) else { return };
    if let Ok(found) = inspect(Path::new(directory), None) {
        change.events = Some(found.held_events);
    }
}
