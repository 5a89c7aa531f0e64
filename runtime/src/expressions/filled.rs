//! Text with holes, which are filled from the values of other expressions.

use std::sync::Arc;

use arrow_array::Scalar;
use arrow_array::cast::AsArray;
use arrow_schema::DataType;
use weir_plan::{Expression, FilledPart, Hole, Operation, Template, TemplatePart, Value};

use super::call::CompiledCall;
use super::{CompileError, Evaluate, Evaluated, Evaluation, Tools, unexpected};
use crate::batch::{BatchError, Column};

/// The name under which the library has its function that fills holes. Its first argument is a template, a constant. The
/// "columns" of the template's holes are the numbers of the other arguments, from 1. The result is a text for each event.
///
/// No name of a program has a blank, so that no program can call it.
pub const FILL: &str = "text with holes";

/// A text with holes.
pub(super) struct Filled {
    fill: CompiledCall,
    /// Whether the result is the bytes of the text.
    as_bytes: bool,
}

impl Filled {
    /// Compiles a text with holes.
    ///
    /// # Errors
    /// When this version does not support the value of a hole.
    pub(super) fn compile(
        parts: &[FilledPart],
        data_type: &DataType,
        tools: &Tools<'_>,
    ) -> Result<Filled, CompileError> {
        let mut template = Template { parts: Vec::with_capacity(parts.len()) };
        let mut values = Vec::new();
        for part in parts {
            template.parts.push(match part {
                FilledPart::Text(text) => TemplatePart::Text(text.clone()),
                FilledPart::Value { value, format } => {
                    values.push(value.clone());
                    TemplatePart::Hole(Hole { column: values.len().to_string(), format: format.clone() })
                }
            });
        }
        let operation = Operation::Literal(Value::Template(template));
        let template = Expression { data_type: DataType::Utf8View, nullable: false, operation };
        let fill = CompiledCall::with_template(FILL, template, values, tools)?;
        Ok(Filled { fill, as_bytes: *data_type == DataType::BinaryView })
    }
}

impl Evaluate for Filled {
    fn evaluate(&self, batch: &Evaluation<'_>) -> Result<Evaluated, BatchError> {
        let Evaluated { values, failures } = self.fill.evaluate(batch)?;
        if !self.as_bytes {
            return Ok(Evaluated { values, failures });
        }
        let mismatch = || unexpected(values.data_type(), "a text");
        let bytes = values.values().as_string_view_opt().ok_or_else(mismatch)?.clone().to_binary_view();
        let values = match &values {
            Column::Array(_) => Column::Array(Arc::new(bytes)),
            Column::Constant(_) => Column::Constant(Scalar::new(Arc::new(bytes))),
        };
        Ok(Evaluated { values, failures })
    }
}
