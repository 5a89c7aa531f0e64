//! Plans for the tests of a program.

use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use weir_plan::{
    BODY, Component, Delivery, EventType, Flow, Leg, Order, Origin, PLAN_VERSION, Path, Plan, Route, Settings,
};

use super::{EventTypes, Lowering};
use crate::analysis::Analysis;
use crate::analysis::program_tests::StepTest;

/// The kind of the components in the plan of steps that are tested alone. No library has it.
pub const ALONE: &str = "alone";

/// The names of the source, the sink and the sink of rejected events in the plan of steps that are tested alone.
pub const ALONE_NAMES: [&str; 3] = ["in", "out", "rejects"];

/// Returns the plan of steps that are tested alone: from a source through the steps into a sink, and from the rejects into
/// another one; `None` if the program has errors.
pub fn lower_alone(analysis: &Analysis, test: &StepTest) -> Option<Plan> {
    let mut lowering =
        Lowering { analysis, event_types: EventTypes::default(), types: Vec::new(), behind: Vec::new() };
    let before = lowering.event_types.id(&test.before);
    let steps: Vec<_> = test.steps.iter().map(|step| lowering.step(step)).collect();
    let after = steps.last().map_or(before, |step| step.event_type);
    let rejects = steps.iter().any(weir_plan::Step::rejects);
    let mut event_types = lowering.event_types.all;
    let rejected = weir_plan::EventTypeId(u32::try_from(event_types.len()).ok()?);
    event_types.push(rejected_events());
    let component = |name: &str, event_type| Component {
        name: name.to_owned(),
        kind: ALONE.to_owned(),
        settings: Settings::default(),
        event_type,
        implicit: false,
        derived: Default::default(),
    };
    let path = |from, steps, to| Path { from, leg: Leg { steps, to } };
    let [from, out, dead] = ALONE_NAMES;
    let (passed, held) = (format!("{from}_{out}"), format!("{from}_{dead}"));
    let mut paths = vec![
        path(Origin::Source(from.to_owned()), steps, Route::Channel(passed.clone())),
        path(Origin::Channel(passed.clone()), Vec::new(), Route::Sink(out.to_owned())),
    ];
    let mut channels = vec![component(&passed, after)];
    let mut sinks = vec![component(out, after)];
    if rejects {
        paths.push(path(Origin::Rejects(ALONE.to_owned()), Vec::new(), Route::Channel(held.clone())));
        paths.push(path(Origin::Channel(held.clone()), Vec::new(), Route::Sink(dead.to_owned())));
        channels.push(component(&held, rejected));
        sinks.push(component(dead, rejected));
    }
    Some(Plan {
        version: PLAN_VERSION,
        program: analysis.program.clone(),
        sources: vec![component(from, before)],
        channels,
        sinks,
        event_types,
        functions: analysis.functions.iter().cloned().collect::<Option<Vec<_>>>()?,
        flows: vec![Flow {
            name: ALONE.to_owned(),
            delivers: Delivery::AtLeastOnce,
            order: Order::None,
            paths,
        }],
        agent: Settings::default(),
        worst_case: None,
    })
}

/// The type of rejected events.
fn rejected_events() -> EventType {
    let text = |name: &str| Field::new(name, DataType::Utf8View, false);
    let time = DataType::Timestamp(TimeUnit::Microsecond, Some(Arc::from("UTC")));
    EventType::new(Schema::new(vec![
        Field::new(BODY, DataType::BinaryView, false),
        text("reason"),
        text("source"),
        text("step"),
        Field::new("time", time, false),
    ]))
}
