//! The required components of an agent.

use std::collections::BTreeSet;

use weir_plan::{Leg, Origin, Plan, Route};

/// Returns the channels and sinks that events reach without an `optional` branch. Every other channel or sink is
/// optional: it may fail without stopping the agent.
pub(super) fn required(plan: &Plan) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    loop {
        let before = found.len();
        for path in plan.flows.iter().flat_map(|flow| &flow.paths) {
            let begins = match &path.from {
                Origin::Source(_) | Origin::Rejects(_) => true,
                Origin::Channel(name) => found.contains(name),
            };
            if begins {
                follow(&path.leg, &mut found);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

fn follow(leg: &Leg, found: &mut BTreeSet<String>) {
    if let Route::Channel(name) | Route::Sink(name) = &leg.to {
        found.insert(name.clone());
    }
    leg.to.required_legs().into_iter().for_each(|leg| follow(leg, found));
}
