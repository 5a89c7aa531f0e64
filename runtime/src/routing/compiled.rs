//! Compiles the legs of a plan's paths, and collects the parts that this version does not support.

use std::sync::Arc;

use arrow_schema::FieldRef;
use weir_plan::{Leg, Route as PlannedRoute};

use crate::expressions::Unsupported;
use crate::steps::{Selector, Step, StepTools};

/// A leg of the plan with compiled steps, whose destinations are names.
pub(crate) struct CompiledLeg {
    pub(crate) steps: Vec<Arc<Step>>,
    pub(crate) to: CompiledRoute,
}

/// The route at the end of a compiled leg.
pub(crate) enum CompiledRoute {
    Channel(String),
    Sink(String),
    /// No destination: the last step drops all events.
    End,
    /// Each event goes to every branch.
    Copy(Vec<(CompiledLeg, Optional)>),
    /// The legs receive batches in turn.
    Balance(Vec<CompiledLeg>),
    /// The selector chooses a leg for each event.
    Select(Arc<Selector>, Vec<CompiledLeg>),
}

/// Whether a branch may fail without failing the event.
pub(crate) type Optional = bool;

impl CompiledLeg {
    /// Compiles a leg. Adds the parts that this version does not support to `unsupported`, and returns none then.
    pub(crate) fn compile(
        leg: &Leg,
        tools: &StepTools<'_>,
        unsupported: &mut Vec<Unsupported>,
    ) -> Option<CompiledLeg> {
        CompiledLeg::compile_after(leg, tools, Vec::new(), unsupported)
    }

    /// Compiles a leg after steps that have these locals.
    fn compile_after(
        leg: &Leg,
        tools: &StepTools<'_>,
        mut locals: Vec<FieldRef>,
        unsupported: &mut Vec<Unsupported>,
    ) -> Option<CompiledLeg> {
        let before = unsupported.len();
        let mut steps = Vec::new();
        for step in &leg.steps {
            match Step::compile(step, tools, &mut locals) {
                Ok(step) => steps.push(Arc::new(step)),
                Err(error) => unsupported.push(error),
            }
        }
        let to = CompiledRoute::compile(&leg.to, tools, &locals, unsupported)?;
        (unsupported.len() == before).then_some(CompiledLeg { steps, to })
    }
}

impl CompiledRoute {
    fn compile(
        route: &PlannedRoute,
        tools: &StepTools<'_>,
        locals: &[FieldRef],
        unsupported: &mut Vec<Unsupported>,
    ) -> Option<CompiledRoute> {
        let mut refuse = |what: &str| unsupported.push(Unsupported(what.to_owned()));
        match route {
            PlannedRoute::Channel(name) => return Some(CompiledRoute::Channel(name.clone())),
            PlannedRoute::Sink(name) => return Some(CompiledRoute::Sink(name.clone())),
            PlannedRoute::End => return Some(CompiledRoute::End),
            PlannedRoute::Balance { by: None, legs } => {
                let is_component =
                    |leg: &Leg| matches!(leg.to, PlannedRoute::Channel(_) | PlannedRoute::Sink(_));
                if !legs.iter().all(is_component) {
                    refuse("a `-> balance` with another route within it");
                }
            }
            PlannedRoute::Failover(_) => refuse("`-> failover`"),
            PlannedRoute::Copy(_) | PlannedRoute::Match(_) | PlannedRoute::Balance { by: Some(_), .. } => {}
        }
        // All legs are compiled before any is refused, so that all unsupported parts are reported at once.
        let compiled: Vec<Option<CompiledLeg>> = route
            .legs()
            .into_iter()
            .map(|leg| CompiledLeg::compile_after(leg, tools, locals.to_vec(), unsupported))
            .collect();
        let selector = Selector::compile(route, tools.functions);
        let selector = selector.map_err(|error| unsupported.push(error)).ok()?;
        let compiled: Vec<CompiledLeg> = compiled.into_iter().collect::<Option<_>>()?;
        if let Some(selector) = selector {
            return Some(CompiledRoute::Select(Arc::new(selector), compiled));
        }
        match route {
            PlannedRoute::Copy(branches) => {
                let optional = branches.iter().map(|branch| branch.optional);
                Some(CompiledRoute::Copy(compiled.into_iter().zip(optional).collect()))
            }
            PlannedRoute::Balance { by: None, .. } => Some(CompiledRoute::Balance(compiled)),
            _ => None,
        }
    }
}
