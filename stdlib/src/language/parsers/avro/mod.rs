//! The parser `avro`: one datum in the binary form for each body.

mod datum;
mod reading;
mod schema;

use arrow_array::BinaryViewArray;
use serde::Deserialize;
use weir_runtime::batch::BatchError;
use weir_runtime::expressions::Reason;
use weir_runtime::parsers::{Parsed, Parser, ParserCall};

use super::columns::Field;
use super::filling::filled;
use datum::Datum;
use reading::{Members, Row};
use schema::{AvroSchema, AvroType};

#[derive(Deserialize)]
struct AvroSettings {
    schema: String,
    frame: Frame,
    skip: usize,
}

/// The mark before a datum.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Frame {
    None,
    Confluent,
    Apicurio,
    SingleObject,
}

struct Avro {
    schema: AvroSchema,
    members: Members,
    frame: Frame,
    skip: usize,
    fields: Vec<Field>,
}

/// Reads the file of the schema, and prepares the parser.
///
/// # Errors
/// When the file can't be read, or no datum of its schema has the fields of the step.
pub(super) fn make(call: &ParserCall<'_>) -> Result<Box<dyn Parser>, String> {
    let AvroSettings { schema: path, frame, skip } =
        call.settings.read().map_err(|error| error.to_string())?;
    let refused = |why: String| format!("its `schema`, \"{path}\": {why}");
    let text =
        std::fs::read_to_string(&path).map_err(|error| refused(format!("it can't be read: {error}")))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    let (schema, root) = AvroSchema::parse(text).map_err(refused)?;
    let AvroType::Record(record) = schema.of(root) else {
        return Err(refused(format!("it is {}, and not a record", schema.of(root).words())));
    };
    let names: Vec<&str> = call.fields.iter().map(|field| field.name.as_str()).collect();
    let further = record.iter().find(|(name, _)| !names.contains(&name.as_str()));
    if let Some((name, _)) = further.filter(|_| call.strict) {
        return Err(refused(format!("the step is strict and has no field `{name}`")));
    }
    let fields: Vec<Field> = call.fields.iter().map(Field::new).collect::<Result<_, _>>()?;
    let members = Members::new(&schema, record, &names, &fields, None).map_err(refused)?;
    Ok(Box::new(Avro { schema, members, frame, skip, fields }))
}

impl Parser for Avro {
    fn parse(&self, bodies: &BinaryViewArray) -> Result<Parsed, BatchError> {
        filled(self.fields.iter(), bodies, |row, columns| {
            let body = bodies.value(row);
            let mut datum = Datum::new(&self.schema, body, self.begin(body)?);
            let read = self.members.append(&mut datum, columns, Row { bodies, row });
            Ok(read.and_then(|()| end(&datum)).err())
        })
    }
}

impl Avro {
    /// Returns where the datum of a body begins.
    ///
    /// # Errors
    /// When the body does not begin with the mark.
    #[inline]
    fn begin(&self, body: &[u8]) -> Result<usize, Reason> {
        let (mark, length, what): (&[u8], usize, &'static str) = match self.frame {
            Frame::None => (&[], 0, "as long as the `skip` of the parser"),
            Frame::Confluent => (&[0], 5, "the mark of Confluent's registry"),
            Frame::Apicurio => (&[0], 9, "the mark of Apicurio's registry"),
            Frame::SingleObject => (&[0xc3, 0x01], 10, "the mark of a single object"),
        };
        let begin = self.skip + length;
        match body.get(self.skip..begin) {
            Some(found) if found.starts_with(mark) => Ok(begin),
            found => {
                let at = self.skip.min(body.len());
                Err(Reason::unreadable(None, what, found.unwrap_or(&body[at..]), at))
            }
        }
    }
}

/// Checks that the body ends with the datum.
#[inline]
fn end(datum: &Datum<'_>) -> Result<(), Reason> {
    match &datum.body[datum.at..] {
        [] => Ok(()),
        more => Err(Reason::unreadable(None, "the end of the datum", more, datum.at)),
    }
}

#[cfg(test)]
mod tests;
