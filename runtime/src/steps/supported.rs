//! Holds `weir_plan::support`, from which the compiler warns, against the compiled expressions and steps.

use std::time::Duration;

use arrow_schema::{DataType, Field, TimeUnit};
use weir_plan::{Action, Arithmetic, Expression, MatchArm, OnFailure, Operation, Pattern, Value, support};

use super::{Before, Step, StepTools};
use crate::expressions::{CompileError, Functions, Program};

fn types() -> Vec<DataType> {
    vec![
        DataType::Boolean,
        DataType::Int64,
        DataType::Float64,
        DataType::Utf8View,
        DataType::BinaryView,
        DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        DataType::Duration(TimeUnit::Microsecond),
        DataType::UInt64,
        DataType::Decimal128(10, 2),
        DataType::FixedSizeBinary(16),
    ]
}

fn values() -> Vec<Value> {
    vec![
        Value::Null,
        Value::Bool(true),
        Value::Int(1),
        Value::Float(0.5),
        Value::Text("a".into()),
        Value::Duration(Duration::from_secs(1)),
        Value::Size(1),
        Value::List(Vec::new()),
    ]
}

fn expression(data_type: &DataType, operation: Operation) -> Expression {
    Expression { data_type: data_type.clone(), nullable: false, operation }
}

fn column(data_type: &DataType) -> Expression {
    expression(data_type, Operation::Column("a".into()))
}

fn boxed(data_type: &DataType) -> Box<Expression> {
    Box::new(column(data_type))
}

/// Returns expressions whose operands are all supported, with operations for all types.
fn expressions() -> Vec<Expression> {
    use Operation as O;
    let mut found = Vec::new();
    let operators = [
        Arithmetic::Add,
        Arithmetic::Subtract,
        Arithmetic::Multiply,
        Arithmetic::Divide,
        Arithmetic::Remainder,
    ];
    for one in &types() {
        found.push(column(one));
        found.push(expression(one, O::Negate(boxed(one))));
        for other in &types() {
            let arithmetic = |operator| O::Arithmetic(operator, boxed(one), boxed(other));
            found.extend(operators.map(|operator| expression(one, arithmetic(operator))));
        }
        for value in values() {
            found.push(expression(one, O::Literal(value.clone())));
            found.push(expression(&DataType::Boolean, O::OneOf(boxed(one), vec![value.clone()])));
            let patterns = vec![Pattern::OneOf(vec![value.clone()])];
            let arms = vec![MatchArm { patterns, value: column(one) }];
            let otherwise = Some(boxed(one));
            found.push(expression(one, O::Match { subject: boxed(one), arms, otherwise }));
        }
    }
    let (truth, text) = (&DataType::Boolean, &DataType::Utf8View);
    let list = DataType::List(Field::new("item", DataType::Int64, false).into());
    let cases = vec![(column(truth), column(text))];
    let operations = [
        O::Local(0),
        O::Not(boxed(truth)),
        O::And(boxed(truth), boxed(truth)),
        O::Or(boxed(truth), boxed(truth)),
        O::Compare(weir_plan::Comparison::Less, boxed(text), boxed(text)),
        O::IsNull(boxed(text)),
        O::IsEmpty(boxed(text)),
        O::Coalesce(boxed(text), boxed(text)),
        O::Otherwise(boxed(text), boxed(text)),
        O::Between(boxed(text), boxed(text), boxed(text)),
        O::Contains(boxed(text), boxed(text)),
        O::Matches(boxed(text), "a".into()),
        O::If { cases, otherwise: boxed(text) },
        O::List(vec![column(text)]),
        O::Field(boxed(text), "a".into()),
        O::Index(boxed(&list), boxed(&DataType::Int64)),
    ];
    found.extend(operations.map(|operation| expression(truth, operation)));
    found
}

#[test]
fn exactly_the_listed_operations_are_compiled() {
    for expression in expressions() {
        let compiled =
            Program::compile(&expression, &Functions::new()).map(|_| ()).map_err(CompileError::into_text);
        let listed = support::unsupported_operation(&expression).map_or(Ok(()), Err);
        assert_eq!(compiled, listed, "{expression:?}");
    }
}

#[test]
fn exactly_the_listed_steps_are_compiled() {
    let truth = || column(&DataType::Boolean);
    let actions = [
        Action::Keep(truth()),
        Action::Drop(truth()),
        Action::Reject { condition: truth(), reason: None },
        Action::Check { quality: "a".into(), rules: Vec::new() },
        Action::Set { column: "a".into(), value: truth() },
        Action::Unset("a".into()),
        Action::Rename { from: "a".into(), to: "b".into() },
        Action::Select(Vec::new()),
        Action::Let { local: 0, value: truth() },
        Action::Explode("a".into()),
        Action::Flatten { column: "a".into(), fields: Vec::new() },
        Action::Throttle(Value::EventRate(1.0)),
        Action::Sample(0.5),
        Action::Dedupe { by: truth(), within: Duration::from_secs(1) },
    ];
    let event_types = [weir_plan::EventType { schema: arrow_schema::Schema::empty().into() }];
    let tools = StepTools { event_types: &event_types, ..StepTools::none() };
    for action in actions {
        for on_failure in [None, Some(OnFailure::Drop), Some(OnFailure::Reject)] {
            let event_type = weir_plan::EventTypeId(0);
            let planned =
                weir_plan::Step { label: "a".into(), action: action.clone(), on_failure, event_type };
            let is_compiled = Step::compile(&planned, &tools, &mut Before::default()).is_ok();
            let listed = support::unsupported_step(&action);
            assert_eq!(is_compiled, listed.is_none(), "{action:?}, {on_failure:?}");
        }
    }
}
