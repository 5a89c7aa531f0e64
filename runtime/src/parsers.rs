//! Parsers: what the step `parse` asks of the library.

use std::collections::BTreeMap;

use arrow_array::{ArrayRef, BinaryViewArray};
use arrow_schema::DataType;
use weir_plan::{FieldFormat, Settings};

use crate::batch::BatchError;
use crate::expressions::{Failures, Unsupported};

/// A parser of the library, made ready for one step of a program.
pub trait Parser: Send + Sync {
    /// Reads a field from each body into columns.
    ///
    /// # Errors
    /// When the columns can't be made: a body that can't be parsed is no error, but one of the failures.
    fn parse(&self, bodies: &BinaryViewArray) -> Result<Parsed, BatchError>;
}

/// The fields of many bodies.
#[derive(Debug)]
pub struct Parsed {
    /// A column for each field, in the order of [`ParserCall::fields`], with a row for each body.
    pub columns: Vec<ArrayRef>,
    /// The rows whose body could not be parsed. Their values in the columns mean nothing.
    pub failures: Failures,
}

/// A field that a parser is asked for.
#[derive(Debug, Clone)]
pub struct WantedField {
    /// Its name, in the body and of the column.
    pub name: String,
    /// How its value is written in the body.
    pub format: FieldFormat,
    /// The type of its column.
    pub data_type: DataType,
    /// Whether a body may lack it.
    pub nullable: bool,
}

/// What a program asks of a parser in one step.
#[derive(Debug)]
pub struct ParserCall<'p> {
    /// The parser's settings.
    pub settings: &'p Settings,
    /// The fields, in the order of their columns.
    pub fields: Vec<WantedField>,
    /// Whether a body with further fields fails.
    pub strict: bool,
}

/// Makes a parser ready for a step, or says why it can't be used so.
pub type MakeParser = fn(&ParserCall<'_>) -> Result<Box<dyn Parser>, String>;

/// The parsers of the library by name.
pub(crate) type Parsers = BTreeMap<&'static str, MakeParser>;

/// Makes the parser of this name ready for a step.
///
/// # Errors
/// When there is no such parser, or it can't be used so.
pub(crate) fn make_parser(
    parsers: &Parsers,
    name: &str,
    call: &ParserCall<'_>,
) -> Result<Box<dyn Parser>, Unsupported> {
    let make = parsers.get(name).ok_or_else(|| Unsupported(format!("the parser `{name}`")))?;
    make(call).map_err(|why| Unsupported(format!("the parser `{name}`: {why}")))
}
