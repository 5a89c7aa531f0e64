//! From the paths of a plan to routes whose steps are ready to run, or to all that is not carried out.

use std::sync::Arc;

use weir_plan::{Route as PlannedRoute, Segment};

use crate::expressions::{Functions, NotCarriedOut};
use crate::steps::Step;

/// A segment of the plan with steps that are ready to run. Its ends are names.
pub(crate) struct Compiled {
    pub(crate) steps: Vec<Arc<Step>>,
    pub(crate) to: Ends,
}

/// Where a compiled segment leads.
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
    /// The segment, or none: then all that is not carried out is in `missing`.
    pub(crate) fn of(
        segment: &Segment,
        functions: &Functions,
        missing: &mut Vec<NotCarriedOut>,
    ) -> Option<Compiled> {
        let before = missing.len();
        let mut steps = Vec::new();
        for step in &segment.steps {
            match Step::compile(step, functions) {
                Ok(step) => steps.push(Arc::new(step)),
                Err(error) => missing.push(error),
            }
        }
        let to = Ends::of(&segment.to, functions, missing)?;
        (missing.len() == before).then_some(Compiled { steps, to })
    }
}

impl Ends {
    fn of(route: &PlannedRoute, functions: &Functions, missing: &mut Vec<NotCarriedOut>) -> Option<Ends> {
        let mut refuse = |what: &str| missing.push(NotCarriedOut(what.to_owned()));
        let segments: Vec<&Segment> = match route {
            PlannedRoute::Channel(name) => return Some(Ends::Channel(name.clone())),
            PlannedRoute::Sink(name) => return Some(Ends::Sink(name.clone())),
            PlannedRoute::Copy(branches) => branches.iter().map(|branch| &branch.segment).collect(),
            PlannedRoute::Balance { by, segments } => {
                if by.is_some() {
                    refuse("`-> balance by`");
                }
                let ends = |segment: &Segment| {
                    matches!(segment.to, PlannedRoute::Channel(_) | PlannedRoute::Sink(_))
                };
                if !segments.iter().all(ends) {
                    refuse("a `-> balance` whose ways part again");
                }
                segments.iter().collect()
            }
            PlannedRoute::Match(cases) => {
                refuse("`-> match`");
                cases.iter().map(|case| &case.segment).collect()
            }
            PlannedRoute::Failover(segments) => {
                refuse("`-> failover`");
                segments.iter().collect()
            }
        };
        // All of them are looked at, so that everything that is missing is named at once.
        let compiled: Vec<Option<Compiled>> =
            segments.into_iter().map(|segment| Compiled::of(segment, functions, missing)).collect();
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
