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
    match &leg.to {
        Route::Channel(name) | Route::Sink(name) => {
            found.insert(name.clone());
        }
        Route::End => {}
        Route::Copy(branches) => {
            let required = branches.iter().filter(|branch| !branch.optional);
            required.for_each(|branch| follow(&branch.leg, found));
        }
        Route::Match(cases) => cases.iter().for_each(|case| follow(&case.leg, found)),
        Route::Balance { legs, .. } | Route::Failover(legs) => {
            legs.iter().for_each(|leg| follow(leg, found));
        }
    }
}
