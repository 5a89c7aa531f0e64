//! Expressions, compiled once from the plan into programs that compute a column of a batch at a time.
//!
//! `Program::compile` refuses the operations that this version does not support; `weir_plan::support` lists them for the
//! compiler, and a test compares the two. An operation that fails for a row does not
//! fail the batch: the [`Failures`] of the result have the row and the reason.

mod access;
mod apply;
mod arithmetic;
mod branches;
mod call;
mod choices;
mod comparison;
mod constants;
mod exact;
mod failures;
mod filled;
mod functions;
mod lists;
mod literal;
mod logic;
mod membership;
mod memo;
mod quantities;

use std::sync::Arc;

use arrow_arith::boolean::and_not;
use arrow_array::cast::AsArray;
use arrow_array::{Array, BinaryViewArray, BooleanArray};
use arrow_schema::{ArrowError, DataType};
use arrow_select::filter::prep_null_mask_filter;
use weir_plan::{Expression, Operation, Value};

use crate::batch::{Batch, BatchError, Column, LOCAL_SIGIL};
use branches::Branch;

pub use crate::observability::meter::ReasonKind;
pub(crate) use call::make_function;
pub use call::{Call, Function, MakeFunction};
pub(crate) use failures::MASK;
pub use failures::{Failures, Reason, Unreadable};
pub use filled::FILL;
pub(crate) use functions::Functions;
pub use functions::{ReadTable, TableRows};
use memo::Evaluation;
pub(crate) use memo::{Memo, SharedExpressions};

/// A compiled expression, which computes a column from batches of one event type.
pub struct Program(Box<dyn Evaluate>);

/// An operation with its operands.
trait Evaluate: Send + Sync {
    /// Computes the operation for each event of the batch.
    ///
    /// # Errors
    /// When the batch is not of the event type that the expression was made for.
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError>;
}

/// The value of an expression for each event of a batch.
#[derive(Debug, Clone)]
pub struct Evaluated {
    /// The values: a constant where all operands are constants. Null in the rows that failed.
    pub values: Column,
    /// The rows that failed.
    pub failures: Failures,
}

/// The functions and the table of shared expressions with which expressions are compiled.
#[derive(Clone, Copy)]
pub(crate) struct Tools<'p> {
    /// The functions of the library and of the program.
    pub(crate) functions: &'p Functions,
    /// The expressions that the edge has several times.
    pub(crate) shared: &'p SharedExpressions,
}

/// The values of several expressions, and the rows for which one of them failed.
#[derive(Debug, Default)]
struct Several {
    columns: Vec<Column>,
    failures: Failures,
}

impl Several {
    fn add(&mut self, evaluated: Evaluated) {
        self.failures = std::mem::take(&mut self.failures).and(evaluated.failures);
        self.columns.push(evaluated.values);
    }
}

/// Why a part of a plan can't be compiled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CompileError {
    /// This version does not support a part, in words: "the function `lower`", "`matches`".
    #[error("this version can't carry out {0}")]
    Unsupported(String),
    /// A part is wrong, or a file that it needs can't be read.
    #[error("{0}")]
    Invalid(String),
    /// A file is wrong about which another error has been returned.
    #[error("a file that it needs is wrong")]
    Reported,
}

impl CompileError {
    /// Names the step or the function which has the part.
    pub(crate) fn within(self, whole: &str) -> CompileError {
        match self {
            CompileError::Unsupported(part) => CompileError::Unsupported(format!("{whole}: {part}")),
            CompileError::Invalid(why) => CompileError::Invalid(format!("{whole}: {why}")),
            CompileError::Reported => CompileError::Reported,
        }
    }

    /// Returns the part, or why it is wrong.
    pub(crate) fn into_text(self) -> String {
        match self {
            CompileError::Unsupported(text) | CompileError::Invalid(text) => text,
            error @ CompileError::Reported => error.to_string(),
        }
    }
}

impl From<Column> for Evaluated {
    fn from(values: Column) -> Evaluated {
        Evaluated { values, failures: Failures::default() }
    }
}

impl Program {
    /// Compiles an expression of a plan without [faults](weir_plan::Plan::faults), with these functions of the library.
    ///
    /// # Errors
    /// When this version does not support a part of the expression.
    pub(crate) fn compile(expression: &Expression, functions: &Functions) -> Result<Program, CompileError> {
        let shared = SharedExpressions::of([expression]);
        Program::compile_with(expression, &Tools { functions, shared: &shared })
    }

    /// Compiles one of the expressions of an edge.
    ///
    /// # Errors
    /// When this version does not support a part of the expression.
    pub(crate) fn compile_with(expression: &Expression, tools: &Tools<'_>) -> Result<Program, CompileError> {
        compile(expression, tools).map(Program)
    }

    /// Evaluates the expression for each event of the batch.
    ///
    /// # Errors
    /// When the batch is not of the event type that the expression was made for.
    pub fn evaluate(&self, batch: &Batch) -> Result<Evaluated, BatchError> {
        self.evaluate_with(batch, &Memo::default())
    }

    /// Evaluates the expression for each event of the batch, with the results that other expressions of the edge have in
    /// common with it.
    ///
    /// # Errors
    /// When the batch is not of the event type that the expression was made for.
    pub(crate) fn evaluate_with(&self, batch: &Batch, memo: &Memo) -> Result<Evaluated, BatchError> {
        self.0.evaluate(&Evaluation::new(batch, memo))
    }
}

fn compile(expression: &Expression, tools: &Tools<'_>) -> Result<Box<dyn Evaluate>, CompileError> {
    tools
        .shared
        .operation(expression, || Ok(constants::kept(expression, compile_operation(expression, tools)?)))
}

fn compile_operation(expression: &Expression, tools: &Tools<'_>) -> Result<Box<dyn Evaluate>, CompileError> {
    let compile = |operand: &Expression| compile(operand, tools);
    let branch = |operand: &Expression| Branch::compile(operand, tools);
    Ok(match &expression.operation {
        Operation::Literal(value) => {
            Box::new(literal::Literal::new(value, &expression.data_type).ok_or_else(|| part(expression))?)
        }
        Operation::Column(name) => Box::new(Field(name.clone())),
        Operation::Not(operand) => Box::new(logic::Not(compile(operand)?)),
        Operation::And(left, right) => Box::new(logic::And(compile(left)?, branch(right)?)),
        Operation::Or(left, right) => Box::new(logic::Or(compile(left)?, branch(right)?)),
        Operation::IsNull(operand) => Box::new(logic::IsNull(compile(operand)?)),
        Operation::Compare(comparison, left, right) => {
            comparison::of(*comparison, [&left.data_type, &right.data_type], compile(left)?, compile(right)?)
        }
        Operation::Arithmetic(operator, left, right) => {
            let operands = [&left.data_type, &right.data_type];
            let compute = arithmetic::compute(*operator, operands).ok_or_else(|| part(expression))?;
            Box::new(arithmetic::Arithmetic { compute, left: compile(left)?, right: compile(right)? })
        }
        Operation::Negate(operand) => {
            let negate = arithmetic::negate(&operand.data_type).ok_or_else(|| part(expression))?;
            Box::new(arithmetic::Negate { negate, operand: compile(operand)? })
        }
        Operation::Call { function, arguments, varies } => {
            Box::new(call::CompiledCall::compile(function, arguments, *varies, tools)?)
        }
        Operation::IsEmpty(operand) => Box::new(membership::IsEmpty(compile(operand)?)),
        Operation::OneOf(operand, values) => {
            let constant = |value| literal::Literal::new(value, &operand.data_type);
            let constants: Option<Vec<_>> = values.iter().map(constant).collect();
            let constants = constants.ok_or_else(|| part(expression))?;
            let columns = constants.into_iter().map(literal::Literal::into_column).collect();
            Box::new(membership::OneOf(compile(operand)?, columns))
        }
        Operation::Between(operand, from, to) => {
            Box::new(membership::Between([compile(operand)?, compile(from)?, compile(to)?]))
        }
        Operation::Matches(operand, pattern) => {
            let pattern = regex::bytes::Regex::new(pattern).map_err(|error| {
                CompileError::Invalid(format!("the regular expression of `matches`: {error}"))
            })?;
            Box::new(membership::Matches(compile(operand)?, pattern))
        }
        Operation::Coalesce(first, second) => Box::new(choices::Coalesce(compile(first)?, branch(second)?)),
        Operation::Otherwise(first, second) => Box::new(choices::Otherwise(compile(first)?, branch(second)?)),
        Operation::If { .. } | Operation::Match { .. } => compile_choice(expression, tools)?,
        Operation::Filled(parts) => Box::new(filled::Filled::compile(parts, &expression.data_type, tools)?),
        Operation::Local(number) => Box::new(Field(local_column(*number))),
        Operation::Field(..) | Operation::Index(..) | Operation::Contains(..) => {
            compile_access(expression, tools)?
        }
        Operation::List(items) => {
            let items = items.iter().map(compile).collect::<Result<_, _>>()?;
            Box::new(lists::Items { items, data_type: expression.data_type.clone() })
        }
        Operation::Apply { function, arguments } => {
            let arguments = arguments.iter().map(compile).collect::<Result<_, _>>()?;
            Box::new(apply::Apply { function: tools.functions.of_index(*function)?, arguments })
        }
        // A table is only the operand of another operation.
        Operation::Table(_) => return Err(part(expression)),
    })
}

/// Compiles `if` or `match`.
fn compile_choice(expression: &Expression, tools: &Tools<'_>) -> Result<Box<dyn Evaluate>, CompileError> {
    let branch = |operand: &Expression| Branch::compile(operand, tools);
    Ok(match &expression.operation {
        Operation::If { cases, otherwise } => {
            let case =
                |(condition, value): &(Expression, Expression)| Ok((branch(condition)?, branch(value)?));
            let cases = cases.iter().map(case).collect::<Result<_, CompileError>>()?;
            let data_type = expression.data_type.clone();
            Box::new(choices::If { cases, otherwise: branch(otherwise)?, data_type })
        }
        Operation::Match { subject, arms, otherwise } => {
            let (otherwise, data_type) = (otherwise.as_deref(), &expression.data_type);
            Box::new(choices::Match::compile(subject, arms, otherwise, data_type, tools)?)
        }
        _ => return Err(part(expression)),
    })
}

/// Compiles an operation that takes a part of a value, or asks for one.
fn compile_access(expression: &Expression, tools: &Tools<'_>) -> Result<Box<dyn Evaluate>, CompileError> {
    let compile = |operand: &Expression| compile(operand, tools);
    Ok(match &expression.operation {
        Operation::Field(record, field) => {
            Box::new(access::Part { record: compile(record)?, field: field.clone() })
        }
        Operation::Index(of, name) | Operation::Contains(of, name)
            if matches!(of.operation, Operation::Literal(Value::Record(_))) =>
        {
            let Operation::Literal(map) = &of.operation else { return Err(part(expression)) };
            let map = Arc::new(access::ConstantMap::new(map, &of.data_type).ok_or_else(|| part(of))?);
            let existence = matches!(expression.operation, Operation::Contains(..));
            Box::new(access::ConstantItem { map, name: compile(name)?, existence })
        }
        Operation::Index(of, name) | Operation::Contains(of, name)
            if matches!(of.operation, Operation::Table(_)) =>
        {
            let Operation::Table(table) = &of.operation else { return Err(part(expression)) };
            let map = tools.functions.table(table, &of.data_type)?;
            let existence = matches!(expression.operation, Operation::Contains(..));
            Box::new(access::ConstantItem { map, name: compile(name)?, existence })
        }
        Operation::Index(of, name) if matches!(of.data_type, DataType::Utf8View) => {
            let arguments = [of.as_ref().clone(), name.as_ref().clone()];
            Box::new(call::CompiledCall::compile(JSON_ITEM, &arguments, false, tools)?)
        }
        Operation::Index(of, index) => Box::new(access::Item { of: compile(of)?, index: compile(index)? }),
        Operation::Contains(of, item) => {
            Box::new(access::Contains { of: compile(of)?, item: compile(item)? })
        }
        _ => return Err(part(expression)),
    })
}

/// The name under which the library has its function that returns an item of a JSON object by its name.
///
/// No name of a program has a blank, so that no program can call it.
pub const JSON_ITEM: &str = "item of json";

/// Names the unsupported operation of an expression as its author knows it.
fn part(expression: &Expression) -> CompileError {
    CompileError::Unsupported(weir_plan::support::operation(expression))
}

/// The name of the column that has the local of this number. No column of an event type has such a name.
pub(crate) fn local_column(number: u32) -> String {
    format!("{LOCAL_SIGIL}{number}")
}

/// Reads a column: a header, the body, a field or a local.
struct Field(String);

impl Evaluate for Field {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let column = batch.column(&self.0).cloned().ok_or_else(|| BatchError::Column {
            name: self.0.clone(),
            what: "the event type does not have it".to_string(),
        })?;
        Ok(column.into())
    }
}

impl Evaluated {
    /// The values as truths.
    ///
    /// # Errors
    /// When they are of another type.
    pub(crate) fn truths(&self) -> Result<&BooleanArray, BatchError> {
        self.values.values().as_boolean_opt().ok_or_else(|| unexpected(self.values.data_type(), "a truth"))
    }

    /// The truth of each of `rows` events; a constant is repeated.
    fn truth_of_each(&self, rows: usize) -> Result<BooleanArray, BatchError> {
        let truths = self.truths()?;
        Ok(match &self.values {
            Column::Array(_) => truths.clone(),
            Column::Constant(_) => repeated_truth(truths, rows),
        })
    }

    /// Returns a mask, without nulls, of the rows that are true and did not fail. A failed part of an expression may be
    /// decided by another part, as in `fails or true`; the row has failed all the same.
    ///
    /// # Errors
    /// When the values are no truths.
    pub(crate) fn true_rows(&self, rows: usize) -> Result<BooleanArray, BatchError> {
        let truths = without_nulls(self.truth_of_each(rows)?);
        match self.failures.is_empty() {
            true => Ok(truths),
            false => Ok(and_not(&truths, &self.failures.mask(rows))?),
        }
    }
}

/// Returns the truth of a constant for each of `rows` rows.
fn repeated_truth(truth: &BooleanArray, rows: usize) -> BooleanArray {
    BooleanArray::from(vec![truth.is_valid(0).then(|| truth.value(0)); rows])
}

/// Returns the truths with null as false.
fn without_nulls(truths: BooleanArray) -> BooleanArray {
    if truths.null_count() > 0 { prep_null_mask_filter(&truths) } else { truths }
}

/// Returns texts or bytes as bytes, whose views are shared and not copied; none for values of another type.
pub fn bytes_of(values: &dyn Array) -> Option<BinaryViewArray> {
    match values.data_type() {
        DataType::Utf8View => Some(values.as_string_view().clone().to_binary_view()),
        DataType::BinaryView => Some(values.as_binary_view().clone()),
        _ => None,
    }
}

/// The error of values that have another type than in the plan.
fn unexpected(found: &DataType, expected: &str) -> BatchError {
    ArrowError::SchemaError(format!("{found} where {expected} is expected")).into()
}

#[cfg(test)]
mod tests;
