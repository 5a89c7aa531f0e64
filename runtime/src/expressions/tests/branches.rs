//! Tests of operands that only some rows need.

use std::sync::atomic::{AtomicUsize, Ordering};

use arrow_array::Int64Array;

use super::*;
use crate::expressions::{Call, Function};

/// A function that counts the rows for which it is called.
struct Counting;

static ROWS: AtomicUsize = AtomicUsize::new(0);

impl Function for Counting {
    fn call(&self, _: &[Column], rows: usize) -> Result<Evaluated, BatchError> {
        ROWS.fetch_add(rows, Ordering::Relaxed);
        Ok(Column::Array(Arc::new(Int64Array::from(vec![7; rows]))).into())
    }
}

fn make(_: &Call<'_>) -> Result<Box<dyn Function>, String> {
    Ok(Box::new(Counting))
}

#[test]
fn a_costly_branch_is_computed_for_the_rows_that_take_it() {
    let mut functions = Functions::default();
    functions.library.insert("counting", make);
    let counting = || {
        let arguments = vec![*p()];
        boxed(DataType::Int64, Operation::Call { function: "counting".into(), arguments, varies: false })
    };
    let is_three = || truth(Operation::Compare(Comparison::Equal, p(), whole(3)));
    let never = || truth(Operation::Compare(Comparison::Equal, p(), whole(9)));
    let counted = |operation: Operation| {
        ROWS.store(0, Ordering::Relaxed);
        let expression = boxed(DataType::Int64, operation);
        let program = Program::compile(&expression, &functions).unwrap();
        let values = program.evaluate(&batch()).unwrap().values;
        let numbers = values.values().as_primitive::<Int64Type>();
        let value =
            |row| Some(values.index(row)).filter(|at| numbers.is_valid(*at)).map(|at| numbers.value(at));
        (ROWS.load(Ordering::Relaxed), (0..3).map(value).collect::<Vec<_>>())
    };
    let case = |condition| Operation::If { cases: vec![(condition, *counting())], otherwise: whole(0) };
    assert_eq!(counted(case(is_three())), (1, vec![Some(0), Some(0), Some(7)]));
    assert_eq!(counted(case(never())).0, 0);
    let coalesce = Operation::Coalesce(p(), counting());
    assert_eq!(counted(coalesce), (1, vec![Some(1), Some(7), Some(3)]));
    assert_eq!(counted(Operation::Otherwise(failing(), counting())), (1, vec![Some(7), None, Some(0)]));
}
