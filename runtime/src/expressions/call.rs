//! Calls of the library's functions.

use std::sync::Arc;

use arrow_array::{ArrayRef, Scalar};
use arrow_schema::DataType;
use weir_plan::{Expression, Operation, Value};

use super::{CompileError, Evaluate, Evaluated, Evaluation, Functions, Several, Tools, compile};
use crate::batch::{BatchError, Column};
use crate::environment::clock::Clock;

/// A function of the library, prepared for one call in a program.
pub trait Function: Send + Sync {
    /// Computes the function for `rows` events. Each argument has a value for each event, or one value for all. The
    /// result is an array with a value for each event, null for the events that failed.
    ///
    /// # Errors
    /// When an argument has another type than in the signature.
    fn call(&self, arguments: &[Column], rows: usize) -> Result<Evaluated, BatchError>;
}

/// The arguments of one call in a program.
pub struct Call<'p> {
    arguments: &'p [Expression],
    functions: &'p Functions,
}

impl Call<'_> {
    /// The type of an argument; none if the call has fewer arguments.
    pub fn data_type(&self, argument: usize) -> Option<&DataType> {
        self.arguments.get(argument).map(|argument| &argument.data_type)
    }

    /// The value of an argument that is a constant, so that the function can prepare it once, such as by compiling a
    /// regular expression. None for other arguments.
    pub fn constant(&self, argument: usize) -> Option<&Value> {
        match &self.arguments.get(argument)?.operation {
            Operation::Literal(value) => Some(value),
            _ => None,
        }
    }
}

impl Call<'_> {
    /// The time of day, for functions that vary.
    pub fn clock(&self) -> Arc<dyn Clock> {
        self.functions.clock()
    }
}

/// Prepares a function for a call, or says why the function does not take its arguments.
pub type MakeFunction = fn(&Call<'_>) -> Result<Box<dyn Function>, String>;

/// Prepares a function for a call with these arguments.
pub(crate) fn make_function(
    functions: &Functions,
    name: &str,
    arguments: &[Expression],
) -> Result<Box<dyn Function>, CompileError> {
    let make = functions
        .library
        .get(name)
        .ok_or_else(|| CompileError::Unsupported(format!("the function `{name}`")))?;
    make(&Call { arguments, functions })
        .map_err(|why| CompileError::Invalid(format!("the function `{name}`: {why}")))
}

/// A call, compiled with its arguments.
pub(super) struct CompiledCall {
    function: Box<dyn Function>,
    arguments: Vec<Box<dyn Evaluate>>,
    /// Whether two calls with the same arguments may have different results.
    varies: bool,
}

impl CompiledCall {
    pub(super) fn compile(
        name: &str,
        arguments: &[Expression],
        varies: bool,
        tools: &Tools<'_>,
    ) -> Result<CompiledCall, CompileError> {
        let function = make_function(tools.functions, name, arguments)?;
        let arguments = arguments.iter().map(|argument| compile(argument, tools));
        Ok(CompiledCall { function, arguments: arguments.collect::<Result<_, _>>()?, varies })
    }
}

impl CompiledCall {
    /// Compiles a call whose first argument, a template, is known when the function is prepared, and is no column.
    pub(super) fn with_template(
        name: &str,
        template: Expression,
        values: Vec<Expression>,
        tools: &Tools<'_>,
    ) -> Result<CompiledCall, CompileError> {
        let mut arguments = values;
        arguments.insert(0, template);
        let function = make_function(tools.functions, name, &arguments)?;
        let values = arguments[1..].iter().map(|argument| compile(argument, tools));
        Ok(CompiledCall { function, arguments: values.collect::<Result<_, _>>()?, varies: false })
    }
}

impl Evaluate for CompiledCall {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let mut several = Several::default();
        for argument in &self.arguments {
            several.add(argument.evaluate(batch)?);
        }
        let Several { columns: arguments, failures } = several;
        let is_constant = |column: &Column| matches!(column, Column::Constant(_));
        if self.varies || !arguments.iter().all(is_constant) {
            let called = self.function.call(&arguments, batch.rows())?;
            return Ok(Evaluated { values: called.values, failures: failures.and(called.failures) });
        }
        let called = self.function.call(&arguments, 1)?;
        let value: ArrayRef = arrow_array::make_array(called.values.values().to_data());
        let failures = failures.and(called.failures.repeated(batch.rows()));
        Ok(Evaluated { values: Column::Constant(Scalar::new(value)), failures })
    }
}
