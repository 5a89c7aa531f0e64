//! Compiles the legs of a plan's paths, and collects the parts that this version does not support.

use std::sync::Arc;

use arrow_schema::SchemaRef;
use weir_plan::{Leg, Route as PlannedRoute, support};

use super::ActiveLeg;
use crate::expressions::{CompileError, SharedExpressions};
use crate::steps::{Before, Observing, Selector, Step, StepTools, keeps_original_body};

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
    /// The first leg that works receives the batches.
    Failover(Vec<CompiledLeg>, Arc<ActiveLeg>),
    /// The selector chooses a leg for each event.
    Select(Arc<Selector>, Vec<CompiledLeg>),
}

/// Whether a branch may fail without failing the event.
pub(crate) type Optional = bool;

impl CompiledLeg {
    /// Compiles a leg for events of a type, if it is known. Adds the parts that this version does not support to
    /// `errors`, and returns none then.
    pub(crate) fn compile(
        leg: &Leg,
        schema: Option<&SchemaRef>,
        tools: &StepTools<'_>,
        errors: &mut Vec<CompileError>,
    ) -> Option<CompiledLeg> {
        let before = Before::first_step(schema.cloned());
        let shared = SharedExpressions::of(leg.expressions());
        CompiledLeg::compile_after(leg, &StepTools { shared: &shared, ..*tools }, before, errors)
    }

    /// Whether events come to a sink, through this leg alone.
    pub(crate) fn leads_to_a_sink(&self) -> bool {
        matches!(self.to, CompiledRoute::Sink(_)) || self.to.legs().any(CompiledLeg::leads_to_a_sink)
    }

    /// In how many ways the steps of the leg and of the legs behind it reject events.
    pub(crate) fn ways_to_reject(&self) -> usize {
        let own: usize = self.steps.iter().map(|step| step.ways_to_reject()).sum();
        own + self.to.legs().map(CompiledLeg::ways_to_reject).sum::<usize>()
    }

    /// Compiles a leg after other steps.
    fn compile_after(
        leg: &Leg,
        tools: &StepTools<'_>,
        mut before: Before,
        errors: &mut Vec<CompileError>,
    ) -> Option<CompiledLeg> {
        let refused = errors.len();
        let mut steps = Vec::new();
        for (index, step) in leg.steps.iter().enumerate() {
            if keeps_original_body(leg, index, &before) {
                steps.push(Arc::new(Step::keep_original_body(&mut before)));
            }
            match Step::compile(step, tools, &mut before) {
                Ok(step) => steps.push(Arc::new(step)),
                Err(error) => errors.push(error),
            }
        }
        let to = CompiledRoute::compile(&leg.to, tools, &before, errors)?;
        (errors.len() == refused).then_some(CompiledLeg { steps, to })
    }
}

impl CompiledRoute {
    /// The index of the leg whose sink reports the events that the steps before the route reject: a required one, if
    /// there is one.
    pub(crate) fn reporting_leg(&self) -> Option<usize> {
        let is_required = |index: usize| match self {
            CompiledRoute::Copy(branches) => branches.get(index).is_some_and(|(_, optional)| !optional),
            _ => true,
        };
        let with_sink = self.legs().enumerate().filter(|(_, leg)| leg.leads_to_a_sink());
        with_sink.map(|(index, _)| index).min_by_key(|index| (!is_required(*index), *index))
    }

    /// The legs behind the route.
    pub(crate) fn legs(&self) -> Box<dyn Iterator<Item = &CompiledLeg> + '_> {
        match self {
            CompiledRoute::Channel(_) | CompiledRoute::Sink(_) | CompiledRoute::End => {
                Box::new(std::iter::empty())
            }
            CompiledRoute::Copy(branches) => Box::new(branches.iter().map(|(leg, _)| leg)),
            CompiledRoute::Balance(legs)
            | CompiledRoute::Failover(legs, _)
            | CompiledRoute::Select(_, legs) => Box::new(legs.iter()),
        }
    }

    fn compile(
        route: &PlannedRoute,
        tools: &StepTools<'_>,
        before: &Before,
        errors: &mut Vec<CompileError>,
    ) -> Option<CompiledRoute> {
        let mut refuse = |what: &str| errors.push(CompileError::Unsupported(what.to_owned()));
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
            PlannedRoute::Failover(legs) => {
                legs.iter().filter_map(support::unsupported_branch).for_each(refuse);
            }
            PlannedRoute::Copy(_) | PlannedRoute::Match(_) | PlannedRoute::Balance { by: Some(_), .. } => {}
        }
        let chooses = matches!(route, PlannedRoute::Match(_) | PlannedRoute::Balance { by: Some(_), .. });
        let observed = tools.observing.filter(|_| chooses).map(Observing::route);
        // All legs are compiled before any is refused, so that all errors are reported at once.
        let compiled: Vec<Option<CompiledLeg>> = route
            .legs()
            .into_iter()
            .map(|leg| CompiledLeg::compile_after(leg, tools, before.clone(), errors))
            .collect();
        let selector = Selector::compile(route, &tools.expressions(), observed);
        let selector = selector.map_err(|error| errors.push(error)).ok()?;
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
            PlannedRoute::Failover(_) => Some(CompiledRoute::Failover(compiled, Arc::default())),
            _ => None,
        }
    }
}
