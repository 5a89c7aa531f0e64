//! The parser `json`: the members of an object.
//!
//! One pass over a body finds where each member's value begins and ends. Only the values of wanted fields are read, and texts
//! without escapes become views into the body.

mod document;
mod syntax;
mod values;

use std::borrow::Cow;

use arrow_array::BinaryViewArray;
use weir_runtime::batch::BatchError;
use weir_runtime::expressions::Reason;
use weir_runtime::parsers::{Parsed, Parser, ParserCall};

use super::columns::Field;
use super::filling::{append_each, filled};
use super::pieces::text;
use document::{Receive, Span, Wanted, members, part_of};
use values::Values;

pub(super) use document::is_document;
pub(crate) use syntax::plain_end;

struct JsonParser {
    /// The names of the fields in the body.
    names: Vec<String>,
    fields: Vec<Field>,
    strict: bool,
}

/// The members of the objects before, by their places. Most objects of a batch have the same members in the same order.
#[derive(Default)]
struct Order(Vec<(Vec<u8>, Option<usize>)>);

/// So many members are remembered.
const REMEMBERED_MAX: usize = 256;

pub(super) fn make(call: &ParserCall<'_>) -> Result<Box<dyn Parser>, String> {
    let names = call.fields.iter().map(|field| field.name.clone()).collect();
    let fields = call.fields.iter().map(Field::new).collect::<Result<_, _>>()?;
    Ok(Box::new(JsonParser { names, fields, strict: call.strict }))
}

impl Parser for JsonParser {
    fn parse(&self, bodies: &BinaryViewArray) -> Result<Parsed, BatchError> {
        let mut found = vec![None; self.fields.len()];
        let (mut order, mut values) = (Order::default(), Values::new(bodies, self.strict));
        filled(self.fields.iter(), bodies, |row, columns| {
            found.fill(None);
            self.find(bodies.value(row), &mut order, &mut found)?;
            Ok(append_each(columns, &found, |column, span| match span {
                Some(span) => values.append(column, row, *span),
                None => column.append_missing(),
            }))
        })
    }
}

impl JsonParser {
    /// Finds the fields' values in a body. Of several members of one name the last counts.
    ///
    /// # Errors
    /// When the body is no JSON object, or has another member and the step is strict.
    fn find(&self, body: &[u8], order: &mut Order, found: &mut [Option<Span>]) -> Result<(), Reason> {
        let text = text(body)?;
        let (names, strict) = (&self.names, self.strict);
        // A byte order mark before the document is ignored (RFC 8259, section 8.1).
        let begin = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        members(&text[begin..], begin, &mut Fields { text, names, strict, order, place: 0, field: 0, found })
    }
}

/// Receives the fields' values.
struct Fields<'r, 't> {
    text: &'t str,
    names: &'r [String],
    strict: bool,
    order: &'r mut Order,
    /// The number of members before.
    place: usize,
    /// The field of the member whose value comes next.
    field: usize,
    found: &'r mut [Option<Span>],
}

impl<'t> Receive<'t> for Fields<'_, 't> {
    #[inline]
    fn wants(&mut self, key: &str) -> Wanted {
        let field = self.order.field(self.place, key, self.names);
        self.place += 1;
        match field {
            Some(field) => {
                self.field = field;
                Wanted::Value
            }
            None if self.strict => Wanted::Refused,
            None => Wanted::Nothing,
        }
    }

    #[inline]
    fn take(&mut self, _key: Cow<'t, str>, value: &'t str) {
        self.found[self.field] = Some(part_of(self.text, 0, value));
    }
}

impl Order {
    /// Returns the field of the member with this key at this place of its object.
    #[inline]
    fn field(&mut self, place: usize, key: &str, names: &[String]) -> Option<usize> {
        if let Some((known, field)) = self.0.get(place)
            && known == key.as_bytes()
        {
            return *field;
        }
        let field = names.iter().position(|name| name == key);
        let (entry, known) = ((key.as_bytes().to_vec(), field), self.0.len());
        match self.0.get_mut(place) {
            Some(known) => *known = entry,
            None if place < REMEMBERED_MAX && place == known => self.0.push(entry),
            None => {}
        }
        field
    }
}

#[cfg(test)]
mod tests;
