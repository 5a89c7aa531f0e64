//! `parse`: parses the body into fields, and removes the body.

use arrow_schema::SchemaRef;
use weir_plan::{ParsedField, Settings};

use super::{Applied, Apply, StepTools};
use crate::batch::{Batch, BatchError, Column};
use crate::expressions::{CompileError, Memo};
use crate::parsers::{Parsed, Parser, ParserCall, WantedField, make_parser};

pub(super) struct Parse {
    parser: Box<dyn Parser>,
    /// The names of the fields, in the order of the parser's columns.
    fields: Vec<String>,
    /// The type of the events after the step.
    after: SchemaRef,
}

impl Parse {
    /// Compiles the step for a parser, its settings and the fields that it parses.
    ///
    /// # Errors
    /// When this version does not support the parser, or this use of it.
    pub(super) fn compile(
        parser: &str,
        settings: &Settings,
        fields: &[ParsedField],
        strict: bool,
        after: SchemaRef,
        tools: &StepTools<'_>,
    ) -> Result<Parse, CompileError> {
        let lacking = |name: &str| {
            CompileError::Unsupported(format!(
                "the field `{name}`, which the events after the step do not have"
            ))
        };
        let wanted = WantedField::read(fields, &after).map_err(lacking)?;
        let known = fields.len();
        let fields = wanted.iter().map(|field| field.name.clone()).collect();
        let clock = tools.functions.clock();
        let call = ParserCall { settings, fields: wanted, known, strict, clock };
        let parser = make_parser(tools.parsers, parser, &call)?;
        Ok(Parse { parser, fields, after })
    }
}

impl Apply for Parse {
    fn apply(&self, batch: &Batch, _: &Memo) -> Result<Applied, BatchError> {
        let missing = || BatchError::Column {
            name: weir_plan::BODY.to_owned(),
            what: "the event type does not have it".to_owned(),
        };
        let bodies = batch.bodies().ok_or_else(missing)?;
        let Parsed { columns, failures } = self.parser.parse(bodies)?;
        let names = self.fields.iter().map(String::as_str);
        let fields = names.zip(columns.into_iter().map(Column::Array)).collect();
        Applied::changed(batch.with_columns(&self.after, fields)?, failures)
    }
}
