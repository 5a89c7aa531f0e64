use arrow_schema::{Field, Schema};

use super::*;
use crate::{
    Action, Branch, Delivery, EventType, Expression, Flow, Function, Leg, Operation, PLAN_VERSION, Path,
    Route, Settings, Step, Value,
};

fn component(name: &str) -> Component {
    let settings = Settings::default();
    Component {
        name: name.into(),
        kind: "some".into(),
        settings,
        event_type: EventTypeId(0),
        implicit: false,
        derived: Default::default(),
    }
}

fn to(to: Route) -> Leg {
    Leg { steps: Vec::new(), to }
}

fn plan() -> Plan {
    let body = Field::new("body", DataType::BinaryView, false);
    let copy = Route::Copy(vec![Branch { optional: false, leg: to(Route::Sink("out".into())) }]);
    let paths = vec![
        Path { from: Origin::Source("in".into()), leg: to(Route::Channel("buffer".into())) },
        Path { from: Origin::Channel("buffer".into()), leg: to(copy) },
    ];
    Plan {
        version: PLAN_VERSION,
        program: "a".into(),
        sources: vec![component("in")],
        channels: vec![component("buffer")],
        sinks: vec![component("out")],
        event_types: vec![EventType::new(Schema::new(vec![body]))],
        functions: Vec::new(),
        agent: Settings::default(),
        worst_case: None,
        flows: vec![Flow {
            name: "main".into(),
            delivers: Delivery::AtLeastOnce,
            order: Default::default(),
            paths,
        }],
    }
}

fn faults_of(change: impl FnOnce(&mut Plan)) -> Vec<String> {
    let mut plan = plan();
    change(&mut plan);
    plan.faults()
}

#[test]
fn a_plan_of_the_compiler_has_no_faults() {
    assert_eq!(plan().faults(), [""; 0]);
}

#[test]
fn each_fault_has_its_place() {
    assert_eq!(
        faults_of(|plan| plan.sinks[0].event_type = EventTypeId(99)),
        ["sink out (sinks[0]): there is no event type 99, the plan has 1"]
    );
    assert_eq!(
        faults_of(|plan| plan.channels.clear()),
        [
            "flow main (flows[0].paths[0].segment.to): a path leads to the channel buffer, which does not exist",
            "flow main (flows[0].paths[1].from): a path begins at the channel buffer, which does not exist",
        ]
    );
    assert_eq!(
        faults_of(|plan| plan.sinks.push(component("in"))),
        ["sink in (sinks[1]): another component has the same name"]
    );
    assert_eq!(
        faults_of(|plan| plan.flows[0].paths[1].leg.to = Route::Copy(Vec::new())),
        ["flow main (flows[0].paths[1].segment.to): a path leads nowhere"]
    );
}

/// Returns the faults of a plan with one step in its first path. The type of the events stays the same.
fn faults_of_step(action: Action) -> Vec<String> {
    let step = Step { label: "a step".into(), action, on_failure: None, event_type: EventTypeId(0) };
    faults_of(|plan| plan.flows[0].paths[0].leg.steps.push(step))
}

fn expression(data_type: DataType, operation: Operation) -> Expression {
    Expression { data_type, nullable: false, operation }
}

fn column(name: &str, data_type: DataType) -> Expression {
    expression(data_type, Operation::Column(name.into()))
}

#[test]
fn a_step_must_fit_the_events_before_it() {
    let body = || column("body", DataType::BinaryView);
    let is_null = |operand| expression(DataType::Boolean, Operation::IsNull(Box::new(operand)));
    let at = "flow main, step `a step` (flows[0].paths[0].segment.steps[0].action)";
    assert_eq!(faults_of_step(Action::Keep(is_null(body()))), [""; 0]);
    for (action, fault) in [
        (Action::Keep(body()), "its condition is Bytes, not Bool"),
        (
            Action::Keep(is_null(column("user", DataType::Utf8View))),
            "there is no column user in the events here",
        ),
        (Action::Keep(is_null(column("body", DataType::Int64))), "the column body is Bytes, not Int"),
        (
            Action::Keep(is_null(expression(DataType::Int64, Operation::Local(0)))),
            "there is no local value 0 before this place",
        ),
        (
            Action::Keep(expression(DataType::Boolean, Operation::Literal(Value::Int(1)))),
            "the constant Int(1) is no Bool",
        ),
        (
            Action::Keep(expression(
                DataType::Boolean,
                Operation::Apply { function: 0, arguments: Vec::new() },
            )),
            "there is no function 0 that this place may call",
        ),
        (Action::Unset("user".into()), "there is no column user in the events here"),
        (Action::Unset("body".into()), "the events after it have 1 columns, but it produces 0"),
        (Action::Throttle(Value::EventRate(f64::NAN)), "EventRate(NaN) is not a rate"),
        (Action::Sample(1.5), "1.5 is not a fraction from 0 to 1"),
        (Action::Let { local: 3, value: body() }, "it computes the local value 3, but the next number is 0"),
    ] {
        assert_eq!(faults_of_step(action), [format!("{at}: {fault}")]);
    }
}

#[test]
fn the_destination_of_a_path_must_take_its_events() {
    let place = "flow main (flows[0].paths[0].segment.to)";
    assert_eq!(
        faults_of(|plan| plan.flows[0].paths[0].leg.to = Route::Sink("out".into())),
        [format!("{place}: a path leads to the sink out without a channel between")]
    );
    let of = |name: &str, nullable| {
        let fields =
            [Field::new("body", DataType::BinaryView, false), Field::new(name, DataType::Int64, nullable)];
        EventType::new(Schema::new(fields.to_vec()))
    };
    let channel_takes = |taken: EventType| {
        faults_of(|plan| {
            plan.event_types.push(taken);
            plan.channels[0].event_type = EventTypeId(1);
            plan.sinks[0].event_type = EventTypeId(1);
        })
    };
    assert_eq!(channel_takes(of("status", true)), [""; 0]);
    assert_eq!(
        channel_takes(of("status", false)),
        [format!("{place}: channel buffer does not take the events: they have no column status")]
    );
}

#[test]
fn a_function_may_not_call_itself() {
    let result = expression(DataType::Int64, Operation::Apply { function: 0, arguments: Vec::new() });
    let endless = Function { name: "endless".into(), parameters: 0, lets: Vec::new(), result };
    assert_eq!(
        faults_of(|plan| plan.functions.push(endless)),
        ["function endless (functions[0].result): there is no function 0 that this place may call"]
    );
}

#[test]
fn arrow_types_that_the_language_does_not_have_are_refused() {
    for (data_type, fault) in [
        (DataType::Float16, "Float16 is not a type of the language"),
        (DataType::FixedSizeBinary(3), "FixedSizeBinary(3) is not a type of the language"),
    ] {
        let schema = Schema::new(vec![Field::new("body", data_type, false)]);
        let faults = faults_of(|plan| plan.event_types[0] = EventType::new(schema));
        assert_eq!(faults, [format!("event type 0 (event_types[0]): {fault}")]);
    }
}

#[test]
fn the_text_of_a_plan_with_faults_is_refused() {
    let mut wrong = plan();
    wrong.sources[0].event_type = EventTypeId(9);
    let text = serde_json::to_string(&wrong).unwrap();
    let error = Plan::from_json(&text).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the plan has faults: source in (sources[0]): there is no event type 9, the plan has 1"
    );
}

#[test]
fn a_duration_that_no_clock_can_add_is_refused() {
    let faults = faults_of(|plan| {
        let age = Value::Duration(Duration::from_secs(u64::MAX));
        let roll = Value::Record([("age".to_owned(), age)].into());
        plan.sinks[0].settings.values.insert("roll".to_owned(), roll);
    });
    let place = "sink out (sinks[0].settings.roll.age)";
    assert_eq!(faults, [format!("{place}: 18446744073709551615s is longer than a hundred years")]);
}
