//! `parse`: parses the body into fields, and removes the body.

use arrow_schema::SchemaRef;

use super::columns::{parsed, without};
use super::{Applied, Apply};
use crate::batch::{Batch, BatchError, Column};
use crate::parsers::{Parsed, Parser};

pub(super) struct Parse {
    pub(super) parser: Box<dyn Parser>,
    /// The names of the fields, in the order of the parser's columns.
    pub(super) fields: Vec<String>,
    /// The type of the events after the step.
    pub(super) after: SchemaRef,
}

impl Apply for Parse {
    fn apply(&self, batch: &Batch) -> Result<Applied, BatchError> {
        let missing = || BatchError::Column {
            name: weir_plan::BODY.to_owned(),
            what: "the event type does not have it".to_owned(),
        };
        let bodies = batch.bodies().ok_or_else(missing)?;
        let Parsed { columns, failures } = self.parser.parse(bodies)?;
        let fields = self.fields.iter().map(String::as_str).zip(columns.into_iter().map(Column::Array));
        without(batch, parsed(batch, &self.after, fields)?, failures)
    }
}
