//! Decimal numbers, integers beside them, and durations.

use arrow_array::types::{Decimal128Type, DurationMicrosecondType};
use arrow_array::{Decimal128Array, DurationMicrosecondArray};
use arrow_schema::TimeUnit;

use super::*;

fn decimals(values: &[Option<i128>], digits: u8, scale: i8) -> Column {
    let array = Decimal128Array::from(values.to_vec()).with_precision_and_scale(digits, scale).unwrap();
    Column::Array(Arc::new(array))
}

fn durations(values: &[Option<i64>]) -> Column {
    Column::Array(Arc::new(DurationMicrosecondArray::from(values.to_vec())))
}

fn digits_of(evaluated: &Evaluated) -> Vec<Option<i128>> {
    evaluated.values.values().as_primitive::<Decimal128Type>().iter().collect()
}

const MICROSECONDS: DataType = DataType::Duration(TimeUnit::Microsecond);

#[test]
fn decimals_of_different_digits_are_computed_exactly() {
    use Arithmetic::{Add, Multiply, Subtract};
    let prices = || decimals(&[Some(1_050), None, Some(-1)], 10, 2);
    let fees = || decimals(&[Some(25_000), Some(1), Some(1)], 12, 4);
    for (operator, digits, scale, expected) in [
        (Add, 13, 4, [Some(130_000), None, Some(-99)]),
        (Subtract, 13, 4, [Some(80_000), None, Some(-101)]),
        (Multiply, 23, 6, [Some(26_250_000), None, Some(-1)]),
    ] {
        let output = DataType::Decimal128(digits, scale);
        let evaluated = computed(operator, prices(), fees(), output.clone());
        assert_eq!(evaluated.values.data_type(), &output);
        assert_eq!(digits_of(&evaluated), expected, "{operator:?}");
        assert!(evaluated.failures.is_empty());
    }
    let three = || integers(&[Some(3); 3]);
    let times = computed(Multiply, prices(), three(), DataType::Decimal128(30, 2));
    assert_eq!(digits_of(&times), [Some(3_150), None, Some(-3)]);
    let less = computed(Subtract, three(), prices(), DataType::Decimal128(22, 2));
    assert_eq!(digits_of(&less), [Some(-750), None, Some(301)]);
}

#[test]
fn a_row_with_more_digits_than_the_result_fails_alone() {
    let most = 10_i128.pow(38) - 1;
    let left = decimals(&[Some(most), Some(5), Some(-most), None], 38, 2);
    let output = DataType::Decimal128(38, 2);
    let one = decimals(&[Some(1); 4], 38, 2);
    let sums = computed(Arithmetic::Add, left.clone(), one.clone(), output.clone());
    assert_eq!(digits_of(&sums), [None, Some(6), Some(1 - most), None]);
    assert_eq!(sums.failures.first(), Some((0, Reason::Overflow)));
    let differences = computed(Arithmetic::Subtract, left.clone(), one, output);
    assert_eq!(differences.failures.rows().collect::<Vec<_>>(), [2]);
    let products = computed(Arithmetic::Multiply, left.clone(), left, DataType::Decimal128(38, 4));
    assert_eq!(digits_of(&products), [None, Some(25), None, None]);
    assert_eq!(products.failures.rows().collect::<Vec<_>>(), [0, 2]);
}

/// The truths of a comparison of two columns.
fn compared(comparison: Comparison, left: Column, right: Column) -> Vec<Option<bool>> {
    let rows = left.values().len().max(right.values().len());
    let fields = [("left", &left), ("right", &right)];
    let fields = fields.map(|(name, column)| ArrowField::new(name, column.data_type().clone(), true));
    let operand =
        |field: &ArrowField| boxed(field.data_type().clone(), Operation::Column(field.name().clone()));
    let condition = truth(Operation::Compare(comparison, operand(&fields[0]), operand(&fields[1])));
    let schema = Arc::new(Schema::new(fields.to_vec()));
    let batch = Batch::new(schema, vec![left, right], rows, Origins::default()).unwrap();
    compiled(&condition).unwrap().evaluate(&batch).unwrap().truth_of_each(rows).unwrap().iter().collect()
}

#[test]
fn decimals_and_integers_are_compared_by_their_values() {
    use Comparison::{Equal, Greater, GreaterOrEqual, Less, LessOrEqual, NotEqual};
    let left = || decimals(&[Some(150), Some(-50), None, Some(100)], 10, 2);
    let right = || decimals(&[Some(15_000), Some(-5_001), Some(0), Some(10_001)], 12, 4);
    for (comparison, expected) in [
        (Equal, [Some(true), Some(false), None, Some(false)]),
        (NotEqual, [Some(false), Some(true), None, Some(true)]),
        (Less, [Some(false), Some(false), None, Some(true)]),
        (LessOrEqual, [Some(true), Some(false), None, Some(true)]),
        (Greater, [Some(false), Some(true), None, Some(false)]),
        (GreaterOrEqual, [Some(true), Some(true), None, Some(false)]),
    ] {
        assert_eq!(compared(comparison, left(), right()), expected, "{comparison:?}");
        // One type needs no conversion.
        assert_eq!(
            compared(comparison, left(), left())[0],
            Some(matches!(comparison, Equal | LessOrEqual | GreaterOrEqual))
        );
    }
    let ones = || integers(&[Some(1); 4]);
    assert_eq!(compared(Equal, left(), ones()), [Some(false), Some(false), None, Some(true)]);
    assert_eq!(compared(Less, Column::constant_int(0), left()), [Some(true), Some(false), None, Some(true)]);
}

#[test]
fn decimal_constants_have_the_digits_of_their_type() {
    let value = |text: &str| Operation::Literal(Value::Decimal(text.parse().unwrap()));
    let constant = boxed(DataType::Decimal128(10, 2), value("12.50"));
    let negated = boxed(DataType::Decimal128(10, 2), Operation::Negate(constant));
    let evaluated = compiled(&negated).unwrap().evaluate(&batch()).unwrap();
    assert_eq!(evaluated.values.data_type(), &DataType::Decimal128(10, 2));
    assert_eq!(digits_of(&evaluated), [Some(-1_250)]);
}

#[test]
fn durations_may_be_below_zero() {
    use Arithmetic::{Add, Divide, Multiply, Subtract};
    let hour = std::time::Duration::from_secs(3_600);
    let minus = boxed(MICROSECONDS, Operation::Literal(Value::NegativeDuration(hour)));
    let plus = boxed(MICROSECONDS, Operation::Literal(Value::Duration(hour)));
    let opposite = boxed(MICROSECONDS, Operation::Negate(plus));
    assert_eq!(truths(&truth(Operation::Compare(Comparison::Equal, minus, opposite))), [Some(true); 3]);
    let took = || durations(&[Some(5), None, Some(i64::MAX)]);
    let micros = |evaluated: &Evaluated| -> Vec<Option<i64>> {
        evaluated.values.values().as_primitive::<DurationMicrosecondType>().iter().collect()
    };
    let seven = || durations(&[Some(7); 3]);
    assert_eq!(
        micros(&computed(Subtract, took(), seven(), MICROSECONDS)),
        [Some(-2), None, Some(i64::MAX - 7)]
    );
    let sums = computed(Add, took(), seven(), MICROSECONDS);
    assert_eq!((micros(&sums), sums.failures.is_empty()), (vec![Some(12), None, Some(i64::MAX)], true));
    let products = computed(Multiply, took(), integers(&[Some(-2); 3]), MICROSECONDS);
    assert_eq!(micros(&products), [Some(-10), None, None]);
    assert_eq!(products.failures.first(), Some((2, Reason::Overflow)));
    let parts = computed(Divide, took(), integers(&[Some(-2), Some(1), Some(0)]), MICROSECONDS);
    assert_eq!(micros(&parts), [Some(-2), None, None]);
    assert_eq!(parts.failures.first(), Some((2, Reason::DivisionByZero)));
    let ratios = computed(Divide, took(), durations(&[Some(2); 3]), DataType::Float64);
    assert_eq!(ratios.values.values().as_primitive::<Float64Type>().value(0), 2.5);
}
