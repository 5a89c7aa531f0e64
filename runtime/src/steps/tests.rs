use std::sync::Arc;

use arrow_array::{BinaryViewArray, Int64Array};
use arrow_schema::{DataType, Field, Schema};
use weir_plan::{Arithmetic, Comparison, EventTypeId, Expression, Operation, Value};

use super::*;
use crate::batch::Origins;

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

fn step(action: Action, on_failure: Option<OnFailure>) -> PlannedStep {
    PlannedStep { label: "the step".into(), action, on_failure, event_type: EventTypeId(0) }
}

/// Applies a step: the bodies of the events after it, and the number of events counted as dropped.
fn applied(action: Action, on_failure: Option<OnFailure>) -> Result<(Vec<String>, u64), StepError> {
    let compiled = Step::compile(&step(action, on_failure), &Functions::default()).unwrap();
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
        (Action::Unset("n".into()), None, "the step `the step`"),
        (call, None, "the step `the step`: the function `lower`"),
        (Action::Keep(fails_at_1()), Some(OnFailure::Reject), "the step `the step`: `else reject`"),
    ] {
        assert_eq!(
            Step::compile(&step(action, on_failure), &Functions::default()).err(),
            Some(Unsupported(what.to_owned()))
        );
    }
}
