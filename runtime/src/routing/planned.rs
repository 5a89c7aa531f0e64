//! From the paths of a plan to routes whose steps are ready to run, or to all that is not carried out.

use std::sync::Arc;

use weir_plan::{Leg, Route as PlannedRoute};

use crate::expressions::{Functions, NotCarriedOut};
use crate::steps::Step;

/// A leg of the plan with steps that are ready to run. Its ends are names.
pub(crate) struct Compiled {
    pub(crate) steps: Vec<Arc<Step>>,
    pub(crate) to: Ends,
}

/// Where a compiled leg leads.
pub(crate) enum Ends {
    Channel(String),
    Sink(String),
    /// Each event goes to every branch, of which some may fail.
    Copy(Vec<(Compiled, Optional)>),
    /// Each event goes to one of these, which take turns.
    Balance(Vec<Compiled>),
}

/// Whether a branch may fail without failing the event.
pub(crate) type Optional = bool;

impl Compiled {
    /// The leg, or none: then all that is not carried out is in `missing`.
    pub(crate) fn of(leg: &Leg, functions: &Functions, missing: &mut Vec<NotCarriedOut>) -> Option<Compiled> {
        let before = missing.len();
        let mut steps = Vec::new();
        for step in &leg.steps {
            match Step::compile(step, functions) {
                Ok(step) => steps.push(Arc::new(step)),
                Err(error) => missing.push(error),
            }
        }
        let to = Ends::of(&leg.to, functions, missing)?;
        (missing.len() == before).then_some(Compiled { steps, to })
    }
}

impl Ends {
    fn of(route: &PlannedRoute, functions: &Functions, missing: &mut Vec<NotCarriedOut>) -> Option<Ends> {
        let mut refuse = |what: &str| missing.push(NotCarriedOut(what.to_owned()));
        let legs: Vec<&Leg> = match route {
            PlannedRoute::Channel(name) => return Some(Ends::Channel(name.clone())),
            PlannedRoute::Sink(name) => return Some(Ends::Sink(name.clone())),
            PlannedRoute::Copy(branches) => branches.iter().map(|branch| &branch.leg).collect(),
            PlannedRoute::Balance { by, legs } => {
                if by.is_some() {
                    refuse("`-> balance by`");
                }
                let ends = |leg: &Leg| matches!(leg.to, PlannedRoute::Channel(_) | PlannedRoute::Sink(_));
                if !legs.iter().all(ends) {
                    refuse("a `-> balance` whose ways part again");
                }
                legs.iter().collect()
            }
            PlannedRoute::Match(cases) => {
                refuse("`-> match`");
                cases.iter().map(|case| &case.leg).collect()
            }
            PlannedRoute::Failover(legs) => {
                refuse("`-> failover`");
                legs.iter().collect()
            }
        };
        // All of them are looked at, so that everything that is missing is named at once.
        let compiled: Vec<Option<Compiled>> =
            legs.into_iter().map(|leg| Compiled::of(leg, functions, missing)).collect();
        let compiled: Vec<Compiled> = compiled.into_iter().collect::<Option<_>>()?;
        match route {
            PlannedRoute::Copy(branches) => {
                let optional = branches.iter().map(|branch| branch.optional);
                Some(Ends::Copy(compiled.into_iter().zip(optional).collect()))
            }
            PlannedRoute::Balance { by: None, .. } => Some(Ends::Balance(compiled)),
            _ => None,
        }
    }
}
