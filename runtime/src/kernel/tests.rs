use arrow_schema::{Field, Schema};

use super::*;
use crate::batch::Origins;

fn batch() -> Batch {
    let schema = Schema::new(vec![
        Field::new("@host", DataType::Utf8View, false),
        Field::new("@partition", DataType::Int64, true),
        Field::new("body", DataType::BinaryView, false),
    ]);
    let columns = vec![
        Column::constant_text("web-1"),
        Int64Array::from(vec![Some(1), None, Some(3)]).into(),
        BinaryViewArray::from_iter_values(["a", "b", "c"]).into(),
    ];
    Batch::new(Arc::new(schema), columns, 3, Origins::default()).unwrap()
}

fn truth(operation: Operation) -> Expression {
    Expression { data_type: DataType::Boolean, nullable: false, operation }
}

fn boxed(data_type: DataType, operation: Operation) -> Box<Expression> {
    Box::new(Expression { data_type, nullable: false, operation })
}

fn host_is(name: &str) -> Expression {
    let column = boxed(DataType::Utf8View, Operation::Column("@host".into()));
    let name = boxed(DataType::Utf8View, Operation::Literal(Value::Text(name.into())));
    truth(Operation::Compare(Comparison::Equal, column, name))
}

fn partition(comparison: Comparison, value: i64) -> Expression {
    let column = boxed(DataType::Int64, Operation::Column("@partition".into()));
    let value = boxed(DataType::Int64, Operation::Literal(Value::Int(value)));
    truth(Operation::Compare(comparison, column, value))
}

#[test]
fn a_condition_that_only_claims_to_be_a_truth_is_an_error() {
    for column in ["body", "@host", "@partition"] {
        let error = keep(&truth(Operation::Column(column.into())), &batch()).unwrap_err();
        assert!(error.to_string().contains("where a truth is expected"), "{error}");
    }
}

fn kept(condition: Expression) -> Vec<String> {
    let kept = keep(&condition, &batch()).unwrap();
    let bodies = kept.bodies().unwrap().iter().flatten();
    bodies.map(|body| String::from_utf8_lossy(body).into_owned()).collect()
}

#[test]
fn a_constant_header_keeps_all_or_none() {
    assert_eq!(kept(host_is("web-1")), ["a", "b", "c"]);
    assert_eq!(kept(host_is("web-2")), Vec::<String>::new());
}

#[test]
fn rows_are_compared_and_null_is_not_kept() {
    assert_eq!(kept(partition(Comparison::Greater, 1)), ["c"]);
    assert_eq!(kept(partition(Comparison::NotEqual, 3)), ["a"]);
}

#[test]
fn truths_combine_constants_and_rows() {
    let either = Operation::Or(Box::new(host_is("web-2")), Box::new(partition(Comparison::LessOrEqual, 1)));
    assert_eq!(kept(truth(either)), ["a"]);
    let both = Operation::And(Box::new(host_is("web-1")), Box::new(partition(Comparison::GreaterOrEqual, 3)));
    assert_eq!(kept(truth(both)), ["c"]);
    assert_eq!(kept(truth(Operation::Not(Box::new(host_is("web-1"))))), Vec::<String>::new());
}

#[test]
fn null_can_be_asked_for() {
    let column = boxed(DataType::Int64, Operation::Column("@partition".into()));
    assert_eq!(kept(truth(Operation::IsNull(column))), ["b"]);
}

#[test]
fn a_condition_of_another_plan_is_an_error() {
    let missing = truth(Operation::Column("@nowhere".into()));
    let error = keep(&missing, &batch()).unwrap_err();
    assert_eq!(error.to_string(), "column `@nowhere` does not fit: the event type does not have it");
}
