use std::sync::Arc;

use arrow_array::{Array, BinaryViewArray, Int64Array};
use arrow_schema::{DataType, Field, Schema};
use weir_plan::{
    Arithmetic, Comparison, EventType, EventTypeId, Expression, Operation, ParsedField, Settings, Value,
};

mod nested;
mod rejected;
mod with_state;

use super::*;
use crate::batch::Origins;
use crate::observability::meter::Meter;
use crate::parsers::Parsers;

/// Events `a`, `b` and `c` with the numbers 1, null and 3.
fn batch() -> Batch {
    let fields =
        vec![Field::new("n", DataType::Int64, true), Field::new("body", DataType::BinaryView, false)];
    let bodies = BinaryViewArray::from_iter_values(["a", "b", "c"]);
    let columns = vec![Int64Array::from(vec![Some(1), None, Some(3)]).into(), bodies.into()];
    Batch::new(Arc::new(Schema::new(fields)), columns, 3, Origins::default()).unwrap()
}

fn of(data_type: DataType, operation: Operation) -> Expression {
    Expression { data_type, nullable: true, operation }
}

fn number(value: i64) -> Box<Expression> {
    Box::new(of(DataType::Int64, Operation::Literal(Value::Int(value))))
}

fn n() -> Box<Expression> {
    Box::new(of(DataType::Int64, Operation::Column("n".into())))
}

fn is(left: Box<Expression>, right: i64) -> Expression {
    of(DataType::Boolean, Operation::Compare(Comparison::Equal, left, number(right)))
}

/// Whether `6 % (n - 1)` is 0, which fails for the first event.
fn fails_at_1() -> Expression {
    let less = of(DataType::Int64, Operation::Arithmetic(Arithmetic::Subtract, n(), number(1)));
    let rest = of(DataType::Int64, Operation::Arithmetic(Arithmetic::Remainder, number(6), Box::new(less)));
    is(Box::new(rest), 0)
}

/// Applies steps in their order, and counts in `meter`.
fn apply_all(steps: &[Arc<Step>], batch: &Batch, meter: &Meter) -> Result<Batch, StepError> {
    let mut pass = Pass::default();
    let after = pass.through(steps, batch, 0)?;
    meter.count_steps(&pass.counts);
    Ok(after)
}

fn step(action: Action, on_failure: Option<OnFailure>) -> PlannedStep {
    PlannedStep { label: "the step".into(), action, on_failure, event_type: EventTypeId(0) }
}

/// Applies a step: the bodies of the events after it, and the number of events counted as dropped.
fn applied(action: Action, on_failure: Option<OnFailure>) -> Result<(Vec<String>, u64), StepError> {
    let compiled =
        Step::compile(&step(action, on_failure), &StepTools::none(), &mut Before::default()).unwrap();
    let meter = Meter::default();
    let kept = apply_all(&[Arc::new(compiled)], &batch(), &meter)?;
    let bodies = kept.bodies().unwrap().iter().flatten();
    let bodies = bodies.map(|body| String::from_utf8_lossy(body).into_owned()).collect();
    let dropped = meter.dropped_by_step().get("the step").map_or(0, |dropped| dropped.events);
    Ok((bodies, dropped))
}

#[test]
fn a_step_keeps_or_drops_the_events_for_which_its_condition_is_true() {
    let bodies = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let truth = |value| of(DataType::Boolean, Operation::Literal(Value::Bool(value)));
    for (condition, kept, rest) in [
        (is(n(), 3), bodies(&["c"]), bodies(&["a", "b"])),
        (truth(true), bodies(&["a", "b", "c"]), bodies(&[])),
        (truth(false), bodies(&[]), bodies(&["a", "b", "c"])),
    ] {
        let dropped = |bodies: &[String]| 3 - bodies.len() as u64;
        let (keep, drop) = (Action::Keep(condition.clone()), Action::Drop(condition));
        assert_eq!(applied(keep, None).unwrap(), (kept.clone(), dropped(&kept)));
        assert_eq!(applied(drop, None).unwrap(), (rest.clone(), dropped(&rest)));
    }
}

/// A failed event is dropped by `keep if` and by `drop if`, and is counted.
#[test]
fn an_event_for_which_a_step_fails_is_dropped_where_the_program_says_so() {
    let (keep, drop) = (Action::Keep(fails_at_1()), Action::Drop(fails_at_1()));
    assert_eq!(applied(keep, Some(OnFailure::Drop)).unwrap(), (vec!["c".to_owned()], 2));
    assert_eq!(applied(drop, Some(OnFailure::Drop)).unwrap(), (vec!["b".to_owned()], 2));
}

#[test]
fn a_step_that_can_not_fail_by_the_plan_and_does_is_a_defect() {
    let error = applied(Action::Keep(fails_at_1()), None).unwrap_err();
    assert!(error.to_string().contains("failed for event 0: the divisor is 0"), "{error}");
}

#[test]
fn a_condition_with_values_of_another_type_is_an_error() {
    for column in ["body", "n"] {
        let claims = of(DataType::Boolean, Operation::Column(column.into()));
        let error = applied(Action::Keep(claims), None).unwrap_err();
        assert!(error.to_string().contains("where a truth is expected"), "{error}");
    }
}

#[test]
fn an_unsupported_step_is_named() {
    let call = Operation::Call { function: "lower".into(), arguments: Vec::new(), varies: false };
    let call = Action::Drop(of(DataType::Boolean, call));
    for (action, on_failure, what) in [
        (Action::Throttle(Value::Int(5)), None, "the step `the step`: the rate 5"),
        (call, None, "the step `the step`: the function `lower`"),
    ] {
        assert_eq!(
            Step::compile(&step(action, on_failure), &StepTools::none(), &mut Before::default()).err(),
            Some(CompileError::Unsupported(what.to_owned()))
        );
    }
}

/// Applies a step after which the events have these columns.
fn reshaped(action: Action, after: Vec<Field>) -> Batch {
    let event_types = [weir_plan::EventType::new(Schema::new(after))];
    let tools = StepTools { event_types: &event_types, ..StepTools::none() };
    let compiled =
        Step::compile(&step(action, Some(OnFailure::Drop)), &tools, &mut Before::default()).unwrap();
    apply_all(&[Arc::new(compiled)], &batch(), &Meter::default()).unwrap()
}

fn numbers(batch: &Batch, column: &str) -> Vec<Option<i64>> {
    let column = batch.column(column).unwrap();
    let values: &Int64Array = arrow_array::cast::AsArray::as_primitive(column.values());
    (0..batch.rows())
        .map(|row| Some(column.index(row)).filter(|at| values.is_valid(*at)).map(|at| values.value(at)))
        .collect()
}

fn body() -> Field {
    Field::new("body", DataType::BinaryView, false)
}

fn int_field(name: &str) -> Field {
    Field::new(name, DataType::Int64, true)
}

#[test]
fn set_makes_a_column_and_replaces_one_and_drops_the_events_for_which_it_fails() {
    let twice = of(DataType::Int64, Operation::Arithmetic(Arithmetic::Add, n(), n()));
    let set = |column: &str, value| Action::Set { column: column.into(), value };
    let made = reshaped(set("m", twice.clone()), vec![body(), int_field("m"), int_field("n")]);
    assert_eq!(numbers(&made, "m"), [Some(2), None, Some(6)]);
    assert_eq!(numbers(&made, "n"), [Some(1), None, Some(3)]);
    assert_eq!(
        numbers(&reshaped(set("n", twice), vec![body(), int_field("n")]), "n"),
        [Some(2), None, Some(6)]
    );
    let less = of(DataType::Int64, Operation::Arithmetic(Arithmetic::Subtract, n(), number(1)));
    let rest = of(DataType::Int64, Operation::Arithmetic(Arithmetic::Remainder, number(6), Box::new(less)));
    let made = reshaped(set("m", rest), vec![body(), int_field("m"), int_field("n")]);
    assert_eq!(numbers(&made, "n"), [None, Some(3)], "the divisor of the first event is 0");
}

#[test]
fn a_body_that_is_set_to_a_constant_is_stored_for_each_event() {
    let text = of(DataType::BinaryView, Operation::Literal(Value::Text("x".into())));
    let made = reshaped(Action::Set { column: "body".into(), value: text }, vec![body(), int_field("n")]);
    assert_eq!(made.bodies().unwrap().iter().flatten().collect::<Vec<_>>(), [b"x"; 3]);
}

#[test]
fn columns_are_renamed_and_removed() {
    let renamed = reshaped(Action::Rename { from: "n".into(), to: "m".into() }, vec![body(), int_field("m")]);
    assert_eq!(numbers(&renamed, "m"), [Some(1), None, Some(3)]);
    assert!(renamed.column("n").is_none());
    for action in [Action::Unset("n".into()), Action::Select(vec!["body".into()])] {
        let narrowed = reshaped(action, vec![body()]);
        assert_eq!((narrowed.rows(), narrowed.schema().fields().len()), (3, 1));
    }
}

#[test]
fn parse_replaces_the_body_by_fields_and_drops_the_events_that_it_can_not_parse() {
    /// Parses a letter into its position in the alphabet, and fails for the second body.
    struct Letters;

    impl crate::parsers::Parser for Letters {
        fn parse(&self, bodies: &BinaryViewArray) -> Result<crate::parsers::Parsed, BatchError> {
            let places = bodies.iter().map(|body| body.map(|body| i64::from(body[0] - b'a')));
            let mut failures = Failures::default();
            failures.push(1, crate::expressions::Reason::Overflow);
            Ok(crate::parsers::Parsed { columns: vec![Arc::new(places.collect::<Int64Array>())], failures })
        }
    }

    let parsers = Parsers::from([(
        "letters",
        (|call| {
            let [field] = &*call.fields else { return Err("one field".to_owned()) };
            assert_eq!((&*field.name, &field.data_type, field.nullable), ("place", &DataType::Int64, true));
            Ok(Box::new(Letters))
        }) as crate::parsers::MakeParser,
    )]);
    let event_types = [weir_plan::EventType::new(Schema::new(vec![int_field("n"), int_field("place")]))];
    let tools = StepTools { event_types: &event_types, parsers: &parsers, ..StepTools::none() };
    let fields = vec![ParsedField { name: "place".into(), ..ParsedField::default() }];
    let parse = |parser: &str| Action::Parse {
        parser: parser.into(),
        settings: Settings::default(),
        fields: fields.clone(),
        strict: false,
    };
    let compiled =
        Step::compile(&step(parse("letters"), Some(OnFailure::Drop)), &tools, &mut Before::default())
            .unwrap();
    let parsed = apply_all(&[Arc::new(compiled)], &batch(), &Meter::default()).unwrap();
    assert_eq!(
        (numbers(&parsed, "place"), numbers(&parsed, "n")),
        (vec![Some(0), Some(2)], vec![Some(1), Some(3)])
    );
    assert!(parsed.bodies().is_none());
    let missing =
        Step::compile(&step(parse("digits"), Some(OnFailure::Drop)), &tools, &mut Before::default()).err();
    assert_eq!(
        missing,
        Some(CompileError::Unsupported("the step `the step`: the parser `digits`".to_owned()))
    );
}

#[test]
fn an_event_for_which_a_part_of_the_condition_fails_does_not_pass_whatever_the_other_part_says() {
    let truth = Box::new(of(DataType::Boolean, Operation::Literal(Value::Bool(true))));
    let fails_or_true = || of(DataType::Boolean, Operation::Or(Box::new(fails_at_1()), truth.clone()));
    let (keep, drop) = (Action::Keep(fails_or_true()), Action::Drop(fails_or_true()));
    assert_eq!(applied(keep, Some(OnFailure::Drop)).unwrap().0, ["b", "c"]);
    assert_eq!(applied(drop, Some(OnFailure::Drop)).unwrap().0, Vec::<String>::new());
}

#[test]
fn a_body_that_is_missing_or_constant_is_stored_for_each_event() {
    let without_body = reshaped(Action::Unset("body".into()), vec![int_field("n")]);
    let optional = Field::new("body", DataType::BinaryView, true);
    let with_body = without_body.project(&Arc::new(Schema::new(vec![optional, int_field("n")]))).unwrap();
    assert_eq!(with_body.bodies().unwrap().null_count(), 3);
}

#[test]
fn a_let_is_known_to_later_steps_and_is_no_column_of_a_channel() {
    let schema = batch().schema().clone();
    let event_types = [EventType::new(schema.as_ref().clone())];
    let tools = StepTools { event_types: &event_types, ..StepTools::none() };
    let sum = |left| of(DataType::Int64, Operation::Arithmetic(Arithmetic::Add, left, number(1)));
    let local = |number| Box::new(of(DataType::Int64, Operation::Local(number)));
    let actions = [
        Action::Let { local: 0, value: sum(n()) },
        Action::Set { column: "n".into(), value: *number(0) },
        Action::Let { local: 1, value: sum(local(0)) },
        Action::Drop(is(local(1), 3)),
        Action::Set { column: "n".into(), value: *local(1) },
    ];
    let mut before = Before::first_step(Some(schema.clone()));
    let compile = |action| Step::compile(&step(action, None), &tools, &mut before).unwrap();
    let steps: Vec<Arc<Step>> = actions.into_iter().map(compile).map(Arc::new).collect();
    let after = apply_all(&steps, &batch(), &Meter::default()).unwrap();
    let numbers = after.column("n").unwrap().values().to_data();
    assert_eq!(Int64Array::from(numbers), Int64Array::from(vec![None, Some(5)]));
    let put = after.project(&schema).unwrap();
    assert_eq!((put.rows(), put.schema().fields().len()), (2, 2));
}

/// The bodies of the events in each leg.
fn legs(selector: &Selector) -> Result<Vec<Vec<String>>, BatchError> {
    let masks = selector.masks(&batch(), &Memo::default())?;
    let bodies = |mask: &BooleanArray| {
        let leg = batch().filter(mask).unwrap();
        let bodies = leg.bodies().unwrap().iter().flatten();
        bodies.map(|body| String::from_utf8_lossy(body).into_owned()).collect()
    };
    Ok(masks.iter().map(bodies).collect())
}

fn of_cases(conditions: Vec<Option<Expression>>) -> Selector {
    let leg = || weir_plan::Leg { steps: Vec::new(), to: weir_plan::Route::Sink("out".into()) };
    let cases = conditions.into_iter().map(|condition| weir_plan::Case { condition, leg: leg() });
    let route = weir_plan::Route::Match(cases.collect());
    Selector::compile(&route, &StepTools::none().expressions(), None).unwrap().unwrap()
}

#[test]
fn each_event_takes_the_first_case_that_is_true() {
    let cases = of_cases(vec![Some(is(n(), 3)), Some(is(n(), 1)), Some(is(n(), 3)), None]);
    assert_eq!(legs(&cases).unwrap(), [vec!["c"], vec!["a"], vec![], vec!["b"]]);
    // A null is not true.
    let error = legs(&of_cases(vec![Some(is(n(), 3)), Some(is(n(), 1))])).unwrap_err();
    assert!(error.to_string().contains("no case takes event 1"), "{error}");
}

/// A condition may fail for events that an earlier case takes.
#[test]
fn a_case_that_fails_decides_nothing_for_events_that_are_taken() {
    let guarded = of_cases(vec![Some(is(n(), 1)), Some(fails_at_1()), None]);
    assert_eq!(legs(&guarded).unwrap(), [vec!["a"], vec!["c"], vec!["b"]]);
    let error = legs(&of_cases(vec![Some(fails_at_1()), None])).unwrap_err();
    assert!(error.to_string().contains("a condition fails for event 0: the divisor is 0"), "{error}");
}

fn of_key(by: Expression, legs: usize) -> Selector {
    let leg = || weir_plan::Leg { steps: Vec::new(), to: weir_plan::Route::Sink("out".into()) };
    let route = weir_plan::Route::Balance { by: Some(by), legs: (0..legs).map(|_| leg()).collect() };
    Selector::compile(&route, &StepTools::none().expressions(), None).unwrap().unwrap()
}

/// The legs of a key are the same in all versions: events of one key must not change their sink with an update.
#[test]
fn the_legs_of_a_key_do_not_change() {
    let key = of_key(*n(), 3);
    assert_eq!(legs(&key).unwrap(), [vec![], vec!["b", "c"], vec!["a"]]);
    let body = of(DataType::BinaryView, Operation::Column("body".into()));
    assert_eq!(legs(&of_key(body, 2)).unwrap(), [vec![], vec!["a", "b", "c"]]);
    let constant = legs(&of_key(*number(5), 2)).unwrap();
    assert_eq!(constant.iter().map(Vec::len).max(), Some(3), "one leg takes all: {constant:?}");
}
