//! The functions, parsers and event types with which steps are compiled.

use weir_plan::EventType;

use super::EventsAsJson;
use super::observer::Observing;
use crate::expressions::{Functions, SharedExpressions, Tools};
use crate::parsers::Parsers;

/// The functions, parsers and event types with which steps are compiled.
#[derive(Clone, Copy)]
pub(crate) struct StepTools<'p> {
    /// The functions of the library.
    pub(crate) functions: &'p Functions,
    /// The expressions that the edge has several times.
    pub(crate) shared: &'p SharedExpressions,
    /// The parsers of the library.
    pub(crate) parsers: &'p Parsers,
    /// The event types of the plan.
    pub(crate) event_types: &'p [EventType],
    /// Shows events that break a rule; without it, no event is shown.
    pub(crate) as_json: Option<EventsAsJson>,
    /// Who watches the steps of the path; none in an agent without an observer.
    pub(crate) observing: Option<&'p Observing>,
}

impl StepTools<'_> {
    /// The functions and shared expressions for the expressions of the steps.
    pub(crate) fn expressions(&self) -> Tools<'_> {
        Tools { functions: self.functions, shared: self.shared }
    }
}

#[cfg(test)]
impl StepTools<'static> {
    /// Makes tools without functions, parsers and event types.
    pub(crate) fn none() -> StepTools<'static> {
        static FUNCTIONS: Functions = Functions::new();
        static PARSERS: Parsers = Parsers::new();
        static SHARED: SharedExpressions = SharedExpressions::none();
        StepTools {
            functions: &FUNCTIONS,
            shared: &SHARED,
            parsers: &PARSERS,
            event_types: &[],
            as_json: None,
            observing: None,
        }
    }
}
