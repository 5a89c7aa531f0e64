//! The observer of an agent, which sees the events at every step and route: tests of programs show and count them.

use std::cell::Cell;
use std::sync::Arc;

use crate::batch::Batch;

/// Watches the events at the steps and routes of an agent. The agent goes on when a method returns.
pub trait Observer: Send + Sync {
    /// Called after a step was applied to a batch, also when the batch is not put in the end, or comes again. `before` and
    /// `after` are the events before and after the step; `rejected` is the number of rejected events.
    fn applied(&self, place: &StepPlace, before: &Batch, after: &Batch, rejected: usize);

    /// Called after a route has chosen a branch for each event of a batch, with the number of events for each branch.
    fn routed(&self, place: &RoutePlace, events: &[usize]);

    /// Called with the events of a flow's rejects, before the steps of their route.
    fn rejected(&self, events: &Batch);
}

/// The place of a step in a plan.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct StepPlace {
    /// The index of the flow.
    pub flow: usize,
    /// The index of the path in the flow.
    pub path: usize,
    /// The number of the step in the path: the steps of a leg, then those of the legs behind it, in their order.
    pub step: usize,
    /// The step's first words.
    pub label: Arc<str>,
}

/// The place of a route in a plan that chooses a branch for each event: a `match` or a `balance by`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RoutePlace {
    /// The index of the flow.
    pub flow: usize,
    /// The index of the path in the flow.
    pub path: usize,
    /// The number of the route in the path, in the order of the text.
    pub route: usize,
}

/// Gives the steps and routes of one path their observer and their numbers.
pub(crate) struct Observing {
    observer: Arc<dyn Observer>,
    flow: usize,
    path: usize,
    steps: Cell<usize>,
    routes: Cell<usize>,
}

/// The observer of one step or route, with its place.
#[derive(Clone)]
pub(crate) struct Observed<Place> {
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) place: Place,
}

impl Observing {
    pub(crate) fn new(observer: Arc<dyn Observer>, flow: usize, path: usize) -> Observing {
        Observing { observer, flow, path, steps: Cell::new(0), routes: Cell::new(0) }
    }

    /// Returns the observer of the next step of the path.
    pub(crate) fn step(&self, label: &Arc<str>) -> Observed<StepPlace> {
        let step = self.steps.replace(self.steps.get() + 1);
        let place = StepPlace { flow: self.flow, path: self.path, step, label: label.clone() };
        Observed { observer: self.observer.clone(), place }
    }

    /// Returns the observer of the next route of the path.
    pub(crate) fn route(&self) -> Observed<RoutePlace> {
        let route = self.routes.replace(self.routes.get() + 1);
        let place = RoutePlace { flow: self.flow, path: self.path, route };
        Observed { observer: self.observer.clone(), place }
    }
}
