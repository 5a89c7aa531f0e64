//! Parsers: the interface between the step `parse` and the library.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::{ArrayRef, BinaryViewArray};
use arrow_schema::{DataType, Field, Schema};
use weir_plan::{FieldFormat, ParsedField, Settings};

use crate::batch::BatchError;
use crate::environment::clock::Clock;
use crate::expressions::{CompileError, Failures};

/// A parser of the library, prepared for one step of a program.
pub trait Parser: Send + Sync {
    /// Parses each body into a row of the fields' columns. A body that can't be parsed is one of the failures, not an
    /// error.
    ///
    /// # Errors
    /// When the columns can't be made.
    fn parse(&self, bodies: &BinaryViewArray) -> Result<Parsed, BatchError>;
}

/// The parsed fields of a batch.
#[derive(Debug)]
pub struct Parsed {
    /// A column for each field, in the order of [`ParserCall::fields`], with a row for each body.
    pub columns: Vec<ArrayRef>,
    /// The rows whose body could not be parsed. Their values in the columns are undefined.
    pub failures: Failures,
}

/// A field that a parser has to return.
#[derive(Debug, Clone)]
pub struct WantedField {
    /// The name of the field in the body, and of its column.
    pub name: String,
    /// The format of the field's value in the body; for a list or a map, that of its items.
    pub format: FieldFormat,
    /// The parts of the record that the field is, or that its items are, except parts with the default format.
    pub parts: Vec<ParsedField>,
    /// The type of the column.
    pub data_type: DataType,
    /// Whether the field may be missing from a body.
    pub nullable: bool,
    /// The number of the field among all that the step knows, with those that nothing reads.
    pub place: usize,
}

impl WantedField {
    /// Returns the fields that a step reads, whose columns are in the type of the events after it.
    ///
    /// # Errors
    /// The name of a field that the events do not have.
    pub fn read<'f>(fields: &'f [ParsedField], after: &Schema) -> Result<Vec<WantedField>, &'f str> {
        let read = fields.iter().enumerate().filter(|(_, field)| !field.unread);
        let wanted = read.map(|(place, field)| {
            let column = after.field_with_name(&field.name).map_err(|_| field.name.as_str())?;
            Ok(WantedField { place, ..WantedField::of(field, column) })
        });
        wanted.collect()
    }

    /// Returns the first field of a step, which a plan parses into this column.
    pub fn of(field: &ParsedField, column: &Field) -> WantedField {
        WantedField {
            name: field.name.clone(),
            format: field.format.clone(),
            parts: field.parts.clone(),
            data_type: column.data_type().clone(),
            nullable: column.is_nullable(),
            place: 0,
        }
    }
}

/// The settings and fields of one step `parse`.
pub struct ParserCall<'p> {
    /// The parser's settings.
    pub settings: &'p Settings,
    /// The fields that are read, in the order of their columns.
    pub fields: Vec<WantedField>,
    /// The number of fields that the step knows, with those that nothing reads.
    pub known: usize,
    /// Whether a body with further fields fails.
    pub strict: bool,
    /// The time of day, which completes times without a year.
    pub clock: Arc<dyn Clock>,
}

/// Prepares a parser for a step, or says why the parser does not support it.
pub type MakeParser = fn(&ParserCall<'_>) -> Result<Box<dyn Parser>, String>;

/// The parsers of the library by name.
pub(crate) type Parsers = BTreeMap<&'static str, MakeParser>;

/// Prepares the parser of this name for a step.
///
/// # Errors
/// When there is no such parser, or it does not support the step.
pub(crate) fn make_parser(
    parsers: &Parsers,
    name: &str,
    call: &ParserCall<'_>,
) -> Result<Box<dyn Parser>, CompileError> {
    let make = parsers.get(name).ok_or_else(|| CompileError::Unsupported(format!("the parser `{name}`")))?;
    make(call).map_err(|why| CompileError::Invalid(format!("the parser `{name}`: {why}")))
}
