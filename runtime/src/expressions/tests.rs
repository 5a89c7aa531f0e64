use std::sync::Arc;

use arrow_array::types::{Float64Type, Int64Type};
use arrow_array::{BinaryViewArray, Int64Array};
use arrow_schema::{Field as ArrowField, Schema};
use weir_plan::{Arithmetic, Comparison, Value};

use super::failures::Reason;
use super::*;
use crate::batch::Origins;

mod branches;
mod exact;

fn batch() -> Batch {
    let schema = Schema::new(vec![
        ArrowField::new("@host", DataType::Utf8View, false),
        ArrowField::new("@partition", DataType::Int64, true),
        ArrowField::new("body", DataType::BinaryView, false),
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

fn compiled(expression: &Expression) -> Result<Program, CompileError> {
    Program::compile(expression, &Functions::default())
}

/// The truth of a condition for each event of the batch.
fn truths(condition: &Expression) -> Vec<Option<bool>> {
    let evaluated = compiled(condition).unwrap().evaluate(&batch()).unwrap();
    assert!(evaluated.failures.is_empty());
    evaluated.truth_of_each(3).unwrap().iter().collect()
}

#[test]
fn a_condition_with_values_of_another_type_is_an_error() {
    for column in ["body", "@host", "@partition"] {
        let negated = truth(Operation::Not(boxed(DataType::Boolean, Operation::Column(column.into()))));
        let error = compiled(&negated).unwrap().evaluate(&batch()).unwrap_err();
        assert!(error.to_string().contains("where a truth is expected"), "{error}");
    }
}

#[test]
fn a_result_of_constants_is_a_constant() {
    for (name, equal) in [("web-1", true), ("web-2", false)] {
        let evaluated = compiled(&host_is(name)).unwrap().evaluate(&batch()).unwrap();
        assert!(matches!(evaluated.values, Column::Constant(_)), "{evaluated:?}");
        assert_eq!(evaluated.truths().unwrap().value(0), equal);
    }
}

#[test]
fn rows_are_compared_and_a_comparison_with_null_is_unknown() {
    let unknown = None;
    assert_eq!(truths(&partition(Comparison::Greater, 1)), [Some(false), unknown, Some(true)]);
    assert_eq!(truths(&partition(Comparison::NotEqual, 3)), [Some(true), unknown, Some(false)]);
}

#[test]
fn truths_combine_constants_and_rows() {
    let either = Operation::Or(Box::new(host_is("web-2")), Box::new(partition(Comparison::LessOrEqual, 1)));
    assert_eq!(truths(&truth(either)), [Some(true), None, Some(false)]);
    let both = Operation::And(Box::new(host_is("web-1")), Box::new(partition(Comparison::GreaterOrEqual, 3)));
    assert_eq!(truths(&truth(both)), [Some(false), None, Some(true)]);
    assert_eq!(truths(&truth(Operation::Not(Box::new(host_is("web-1"))))), [Some(false); 3]);
}

#[test]
fn is_null_is_true_for_null() {
    let column = boxed(DataType::Int64, Operation::Column("@partition".into()));
    assert_eq!(truths(&truth(Operation::IsNull(column))), [Some(false), Some(true), Some(false)]);
}

#[test]
fn an_expression_of_another_event_type_is_an_error() {
    let missing = truth(Operation::Column("@nowhere".into()));
    let error = compiled(&missing).unwrap().evaluate(&batch()).unwrap_err();
    assert_eq!(error.to_string(), "column `@nowhere` does not fit: the event type does not have it");
}

#[test]
fn an_unsupported_operation_is_named() {
    let call =
        |function: &str| Operation::Call { function: function.into(), arguments: vec![], varies: false };
    let inner = Operation::Compare(
        Comparison::Equal,
        boxed(DataType::Utf8View, call("lower")),
        boxed(DataType::Utf8View, Operation::Literal(Value::Text("a".into()))),
    );
    for (operation, what) in [
        (Operation::Not(Box::new(truth(inner))), "the function `lower`"),
        (Operation::Filled(Vec::new()), "the function `text with holes`"),
    ] {
        assert_eq!(compiled(&truth(operation)).err(), Some(CompileError::Unsupported(what.to_owned())));
    }
}

/// Evaluates `left operator right` on a batch with these two columns.
fn computed(operator: Arithmetic, left: Column, right: Column, output: DataType) -> Evaluated {
    let rows = [&left, &right].into_iter().map(|side| side.values().len()).max().unwrap();
    let fields = [("left", &left), ("right", &right)];
    let fields = fields.map(|(name, column)| ArrowField::new(name, column.data_type().clone(), true));
    let operand =
        |field: &ArrowField| boxed(field.data_type().clone(), Operation::Column(field.name().clone()));
    let operation = Operation::Arithmetic(operator, operand(&fields[0]), operand(&fields[1]));
    let expression = Expression { data_type: output, nullable: false, operation };
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let batch = Batch::new(schema, vec![left, right], rows, Origins::default()).unwrap();
    compiled(&expression).unwrap().evaluate(&batch).unwrap()
}

fn integers(values: &[Option<i64>]) -> Column {
    Int64Array::from(values.to_vec()).into()
}

fn integer_values(evaluated: &Evaluated) -> Vec<Option<i64>> {
    evaluated.values.values().as_primitive::<Int64Type>().iter().collect()
}

#[test]
fn a_row_that_overflows_fails_alone() {
    use Arithmetic::{Add, Multiply, Subtract};
    let left = [Some(1), Some(i64::MAX), None, Some(i64::MIN), Some(4)];
    for (operator, right, expected, failed) in [
        (Add, Some(1), [Some(2), None, None, Some(i64::MIN + 1), Some(5)], vec![1]),
        (Subtract, Some(1), [Some(0), Some(i64::MAX - 1), None, None, Some(3)], vec![3]),
        (Multiply, Some(2), [Some(2), None, None, None, Some(8)], vec![1, 3]),
        (Add, None, [None; 5], vec![]),
    ] {
        let evaluated = computed(operator, integers(&left), integers(&[right; 5]), DataType::Int64);
        assert_eq!(integer_values(&evaluated), expected, "{operator:?}");
        assert_eq!(evaluated.failures.rows().collect::<Vec<_>>(), failed, "{operator:?}");
        assert!(evaluated.failures.first().is_none_or(|(_, reason)| reason == Reason::Overflow));
    }
}

#[test]
fn a_division_by_0_fails_and_a_quotient_of_integers_is_a_float() {
    use Arithmetic::{Divide, Remainder};
    let (left, right) = ([Some(7), Some(7), Some(i64::MIN)], [Some(2), Some(0), Some(-1)]);
    let divided = computed(Divide, integers(&left), integers(&right), DataType::Float64);
    let quotients: Vec<Option<f64>> = divided.values.values().as_primitive::<Float64Type>().iter().collect();
    assert_eq!(quotients, [Some(3.5), None, Some(-(i64::MIN as f64))]);
    assert_eq!(divided.failures.first(), Some((1, Reason::DivisionByZero)));
    let rest = computed(Remainder, integers(&left), integers(&right), DataType::Int64);
    assert_eq!(integer_values(&rest), [Some(1), None, Some(0)]);
    assert_eq!(rest.failures, divided.failures);
}

#[test]
fn an_operation_that_fails_for_constants_fails_for_every_row() {
    let two = Column::constant_int(2);
    for (right, failed) in [(0, vec![0, 1, 2]), (1, vec![])] {
        let constants = [two.clone(), Column::constant_int(right)];
        let operands = constants.map(|constant| -> Box<dyn Evaluate> { Box::new(Given(constant)) });
        let [left, right] = operands;
        let types = [&DataType::Int64, &DataType::Int64];
        let compute = arithmetic::compute(Arithmetic::Remainder, types).unwrap();
        let batch = batch();
        let operation = arithmetic::Arithmetic { compute, left, right };
        let evaluated = operation.evaluate(&Evaluation::new(&batch, &Memo::default())).unwrap();
        assert!(matches!(evaluated.values, Column::Constant(_)));
        assert_eq!(evaluated.failures.rows().collect::<Vec<_>>(), failed);
    }
}

/// A column that was computed before.
struct Given(Column);

impl Evaluate for Given {
    fn evaluate(&self, _: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        Ok(self.0.clone().into())
    }
}

#[test]
fn a_failure_of_the_right_operand_does_not_count_where_the_left_one_decides() {
    // `@partition` is 1, null and 3; the remainder fails for each row.
    let zero = boxed(DataType::Int64, Operation::Literal(Value::Int(0)));
    let column = boxed(DataType::Int64, Operation::Column("@partition".into()));
    let rest = boxed(DataType::Int64, Operation::Arithmetic(Arithmetic::Remainder, column, zero.clone()));
    let fails = || Box::new(truth(Operation::Compare(Comparison::Equal, rest.clone(), zero.clone())));
    let first = || Box::new(partition(Comparison::Equal, 1));
    for (operation, failed) in [
        (Operation::And(first(), fails()), vec![0]),
        (Operation::Or(first(), fails()), vec![2]),
        (Operation::And(fails(), first()), vec![0, 2]),
    ] {
        let evaluated = compiled(&truth(operation)).unwrap().evaluate(&batch()).unwrap();
        assert_eq!(evaluated.failures.rows().collect::<Vec<_>>(), failed);
    }
}

fn p() -> Box<Expression> {
    boxed(DataType::Int64, Operation::Column("@partition".into()))
}

fn whole(value: i64) -> Box<Expression> {
    boxed(DataType::Int64, Operation::Literal(Value::Int(value)))
}

/// The numbers of an expression for the partitions 1, null and 3, and the rows that failed.
fn numbers(operation: Operation) -> (Vec<Option<i64>>, Vec<usize>) {
    let evaluated = compiled(&boxed(DataType::Int64, operation)).unwrap().evaluate(&batch()).unwrap();
    let values = evaluated.values.values().as_primitive::<Int64Type>();
    let value =
        |row| Some(evaluated.values.index(row)).filter(|at| values.is_valid(*at)).map(|at| values.value(at));
    ((0..3).map(value).collect(), evaluated.failures.rows().collect())
}

/// 6 % (partition - 1), which fails in the first row and is null in the second.
fn failing() -> Box<Expression> {
    let less = boxed(DataType::Int64, Operation::Arithmetic(Arithmetic::Subtract, p(), whole(1)));
    boxed(DataType::Int64, Operation::Arithmetic(Arithmetic::Remainder, whole(6), less))
}

#[test]
fn coalesce_takes_the_second_operand_where_the_first_is_null_and_did_not_fail() {
    assert_eq!(numbers(Operation::Coalesce(p(), whole(7))), (vec![Some(1), Some(7), Some(3)], vec![]));
    assert_eq!(numbers(Operation::Coalesce(failing(), whole(7))), (vec![None, Some(7), Some(0)], vec![0]));
    // What fails in rows that do not take it does not count.
    assert_eq!(numbers(Operation::Coalesce(p(), failing())).1, Vec::<usize>::new());
}

#[test]
fn else_takes_the_second_operand_where_the_first_fails() {
    assert_eq!(numbers(Operation::Otherwise(failing(), whole(7))), (vec![Some(7), None, Some(0)], vec![]));
    assert_eq!(numbers(Operation::Otherwise(p(), failing())), (vec![Some(1), None, Some(3)], vec![]));
    assert_eq!(numbers(Operation::Otherwise(failing(), failing())).1, [0]);
}

#[test]
fn if_takes_the_value_of_the_first_true_case_and_asks_no_further() {
    let at_least = |value| partition(Comparison::GreaterOrEqual, value);
    let cases = vec![(at_least(3), *whole(30)), (at_least(1), *whole(10))];
    let operation = Operation::If { cases, otherwise: whole(0) };
    assert_eq!(numbers(operation), (vec![Some(10), Some(0), Some(30)], vec![]));
    let is_zero = |value: Box<Expression>| truth(Operation::Compare(Comparison::Equal, value, whole(0)));
    // The second condition fails in the first row, which the first case takes in one of the two.
    for (first, failures) in [(1, vec![]), (3, vec![0])] {
        let cases = vec![(at_least(first), *whole(1)), (is_zero(failing()), *whole(2))];
        assert_eq!(numbers(Operation::If { cases, otherwise: whole(0) }).1, failures);
    }
}

#[test]
fn match_takes_the_value_of_the_first_fitting_arm() {
    let arm = |pattern, value: i64| weir_plan::MatchArm { patterns: vec![pattern], value: *whole(value) };
    let arms = vec![
        arm(weir_plan::Pattern::Value(Value::Null), -1),
        arm(weir_plan::Pattern::Range(Value::Int(3), Value::Int(9)), 30),
        arm(weir_plan::Pattern::OneOf(vec![Value::Int(3), Value::Int(1)]), 10),
    ];
    let operation = Operation::Match { subject: p(), arms: arms.clone(), otherwise: None };
    assert_eq!(numbers(operation).0, [Some(10), Some(-1), Some(30)]);
    let operation = Operation::Match { subject: p(), arms: arms[..2].to_vec(), otherwise: Some(whole(0)) };
    assert_eq!(numbers(operation).0, [Some(0), Some(-1), Some(30)]);
}

#[test]
fn a_value_is_looked_for_among_constants_and_between_bounds() {
    let one_of =
        |values: &[i64]| truth(Operation::OneOf(p(), values.iter().copied().map(Value::Int).collect()));
    assert_eq!(truths(&one_of(&[3, 4])), [Some(false), None, Some(true)]);
    assert_eq!(truths(&one_of(&[])), [Some(false), None, Some(false)]);
    let between = |from, to| truth(Operation::Between(p(), whole(from), whole(to)));
    assert_eq!(truths(&between(1, 2)), [Some(true), None, Some(false)]);
    let constants = truth(Operation::Between(whole(2), whole(1), p()));
    assert_eq!(truths(&constants), [Some(false), None, Some(true)]);
}

#[test]
fn texts_and_bytes_are_asked_for_their_length_and_for_a_pattern() {
    let body = || boxed(DataType::BinaryView, Operation::Column("body".into()));
    let host = || boxed(DataType::Utf8View, Operation::Column("@host".into()));
    let matches = |value, pattern: &str| truth(Operation::Matches(value, pattern.into()));
    assert_eq!(truths(&matches(body(), "^[ac]")), [Some(true), Some(false), Some(true)]);
    assert_eq!(truths(&matches(host(), r"\d$")), [Some(true); 3]);
    assert_eq!(truths(&truth(Operation::IsEmpty(body()))), [Some(false); 3]);
    assert_eq!(truths(&truth(Operation::IsEmpty(host()))), [Some(false); 3]);
}
