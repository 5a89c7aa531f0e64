use std::cell::Cell;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, ArrayRef, Int64Array};
use arrow_schema::{DataType, Field, Schema};
use weir_plan::{Arithmetic, Comparison, Expression, Operation, Value};

use super::super::{Call, Evaluated, Failures, Function, Functions, Program, Reason, Tools};
use super::*;
use crate::batch::Origins;

thread_local! {
    /// The calls of the counting function, and the rows for which it was called.
    static CALLS: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

/// A function that counts its calls. It returns ten times a number, and fails for 3.
struct Counting;

impl Function for Counting {
    fn call(&self, arguments: &[Column], rows: usize) -> Result<Evaluated, BatchError> {
        CALLS.set((CALLS.get().0 + 1, CALLS.get().1 + rows));
        let numbers = arguments[0].values().as_primitive::<Int64Type>();
        let mut failures = Failures::default();
        for row in 0..rows {
            if numbers.is_valid(row) && numbers.value(row) == 3 {
                failures.push(row, Reason::Overflow);
            }
        }
        let values: Int64Array =
            numbers.iter().map(|number| number.filter(|n| *n != 3).map(|n| 10 * n)).collect();
        Ok(Evaluated { values: values.into(), failures })
    }
}

fn make(_: &Call<'_>) -> Result<Box<dyn Function>, String> {
    Ok(Box::new(Counting))
}

fn functions() -> Functions {
    let mut functions = Functions::default();
    functions.library.insert("counting", make);
    functions
}

/// Events with the numbers 1 to 4 in the columns `n` and `m`.
fn batch() -> Batch {
    let fields = ["n", "m"].map(|name| Field::new(name, DataType::Int64, true));
    let numbers = || Column::Array(Arc::new(Int64Array::from(vec![1, 2, 3, 4])) as ArrayRef);
    let schema = Arc::new(Schema::new(fields.to_vec()));
    Batch::new(schema, vec![numbers(), numbers()], 4, Origins::default()).unwrap()
}

fn of(data_type: DataType, operation: Operation) -> Box<Expression> {
    Box::new(Expression { data_type, nullable: true, operation })
}

fn int(operation: Operation) -> Box<Expression> {
    of(DataType::Int64, operation)
}

fn number(value: i64) -> Box<Expression> {
    int(Operation::Literal(Value::Int(value)))
}

fn counting_of(argument: Expression, varies: bool) -> Box<Expression> {
    int(Operation::Call { function: "counting".into(), arguments: vec![argument], varies })
}

fn counting(column: &str) -> Box<Expression> {
    counting_of(*int(Operation::Column(column.into())), false)
}

fn sum(left: Box<Expression>, right: Box<Expression>) -> Box<Expression> {
    int(Operation::Arithmetic(Arithmetic::Add, left, right))
}

fn or(value: Box<Expression>, other: i64) -> Box<Expression> {
    int(Operation::Otherwise(value, number(other)))
}

fn is(value: Box<Expression>, number_wanted: i64) -> Expression {
    *of(DataType::Boolean, Operation::Compare(Comparison::Equal, value, number(number_wanted)))
}

fn choice(condition: Expression, value: Expression, otherwise: Box<Expression>) -> Box<Expression> {
    int(Operation::If { cases: vec![(condition, value)], otherwise })
}

/// The value for each event, none where it fails; the calls and the rows of the calls.
fn computed(expression: &Expression) -> (Vec<Option<i64>>, (usize, usize)) {
    let program = Program::compile(expression, &functions()).unwrap();
    CALLS.set((0, 0));
    let Evaluated { values, failures } = program.evaluate(&batch()).unwrap();
    let numbers = values.values().as_primitive::<Int64Type>();
    let value =
        |row| (!failures.rows().any(|failed| failed == row)).then(|| numbers.value(values.index(row)));
    ((0..4).map(value).collect(), CALLS.get())
}

#[test]
fn an_expression_that_occurs_twice_is_computed_once() {
    let twice = sum(counting("n"), counting("n"));
    assert_eq!(computed(&twice), (vec![Some(20), Some(40), None, Some(80)], (1, 4)));
    let nested = sum(counting_of(*sum(counting("n"), number(0)), false), counting("n"));
    assert_eq!(computed(&nested).1, (2, 8));
    let apart = sum(counting("n"), counting("m"));
    assert_eq!(computed(&apart), (vec![Some(20), Some(40), None, Some(80)], (2, 8)));
}

/// Each place handles the failures of its own.
#[test]
fn failures_are_shared_with_the_values() {
    let handled = sum(or(counting("n"), 5), or(counting("n"), 7));
    assert_eq!(computed(&handled), (vec![Some(20), Some(40), Some(12), Some(80)], (1, 4)));
    let in_one_place = sum(or(counting("n"), 5), counting("n"));
    assert_eq!(computed(&in_one_place), (vec![Some(20), Some(40), None, Some(80)], (1, 4)));
}

#[test]
fn a_call_that_varies_is_made_at_each_place() {
    let varying = || counting_of(*int(Operation::Column("n".into())), true);
    assert_eq!(computed(&sum(varying(), varying())).1, (2, 8));
}

/// A branch needs no call for its events if all events have the result; its own result is of no use for others.
#[test]
fn a_branch_takes_the_results_that_cover_its_events() {
    let covered = choice(is(or(counting("n"), 0), 10), *counting("n"), counting("n"));
    assert_eq!(computed(&covered), (vec![Some(10), Some(20), None, Some(40)], (1, 4)));
    let n = || int(Operation::Column("n".into()));
    let part_first = sum(choice(is(n(), 3), *or(counting("n"), 1), number(0)), or(counting("n"), 0));
    assert_eq!(computed(&part_first), (vec![Some(10), Some(20), Some(1), Some(40)], (2, 5)));
    let within = choice(is(n(), 2), *sum(counting("n"), counting("n")), number(0));
    assert_eq!(computed(&within), (vec![Some(0), Some(40), Some(0), Some(0)], (1, 1)));
}

/// Evaluates several expressions of one edge, with the same results in common, for a batch.
fn calls_for(expressions: &[Box<Expression>], batches: &[Batch]) -> (usize, usize) {
    let (functions, memo) = (functions(), Memo::default());
    let shared = SharedExpressions::of(expressions.iter().map(|expression| &**expression));
    let tools = Tools { functions: &functions, shared: &shared };
    let programs = expressions.iter().map(|expression| Program::compile_with(expression, &tools).unwrap());
    CALLS.set((0, 0));
    for (program, batch) in programs.zip(batches) {
        let with_others = program.evaluate_with(batch, &memo).unwrap();
        let counted = CALLS.get();
        let alone = program.evaluate(batch).unwrap();
        CALLS.set(counted);
        assert_eq!(with_others.failures, alone.failures);
        let values = |evaluated: &Evaluated| evaluated.values.values().to_data();
        assert_eq!(values(&with_others), values(&alone));
    }
    CALLS.get()
}

#[test]
fn a_result_is_used_again_for_the_same_columns_alone() {
    let expressions = [counting("n"), counting("n")];
    assert_eq!(calls_for(&expressions, &[batch(), batch()]), (2, 8));
    let all = batch();
    assert_eq!(calls_for(&expressions, &[all.clone(), all.clone()]), (1, 4));
    let m = Column::Array(Arc::new(Int64Array::from(vec![5; 4])) as ArrayRef);
    let other_changed = all.with_columns(all.schema(), vec![("m", m.clone())]).unwrap();
    assert_eq!(calls_for(&expressions, &[all.clone(), other_changed]), (1, 4));
    let changed = all.with_columns(all.schema(), vec![("n", m)]).unwrap();
    assert_eq!(calls_for(&expressions, &[all.clone(), changed]), (2, 8));
    assert_eq!(calls_for(&expressions, &[all.clone(), all.slice(1, 2)]), (2, 6));
}

#[test]
fn a_selection_takes_the_results_with_it() {
    let (functions, memo) = (functions(), Memo::default());
    let expressions = [counting("n"), counting("n")];
    let shared = SharedExpressions::of(expressions.iter().map(|expression| &**expression));
    let tools = Tools { functions: &functions, shared: &shared };
    let program = Program::compile_with(&expressions[0], &tools).unwrap();
    let all = batch();
    CALLS.set((0, 0));
    program.evaluate_with(&all, &memo).unwrap();
    let first = BooleanArray::from(vec![false, true, true, true]);
    let three = all.filter(&first).unwrap();
    memo.select(&all, &three, &first);
    let second = BooleanArray::from(vec![false, true, true]);
    let two = three.filter(&second).unwrap();
    memo.select(&three, &two, &second);
    let Evaluated { values, failures } = program.evaluate_with(&two, &memo).unwrap();
    assert_eq!(values.values().as_primitive::<Int64Type>().value(1), 40);
    assert_eq!(failures.rows().collect::<Vec<_>>(), [0]);
    assert_eq!(CALLS.get(), (1, 4));
    // The results are those of the selected events, not of the events before.
    program.evaluate_with(&all, &memo).unwrap();
    assert_eq!(CALLS.get(), (2, 8));
}

#[test]
fn nothing_is_remembered_of_expressions_that_occur_once() {
    let (functions, memo) = (functions(), Memo::default());
    let expressions = [counting("n"), counting("m"), number(1), number(1)];
    let shared = SharedExpressions::of(expressions.iter().map(|expression| &**expression));
    let tools = Tools { functions: &functions, shared: &shared };
    for expression in &expressions {
        Program::compile_with(expression, &tools).unwrap().evaluate_with(&batch(), &memo).unwrap();
    }
    assert!(memo.0.borrow().is_empty());
}
