//! The parser `syslog`: messages in the form of RFC 5424 and of RFC 3164.
//!
//! ```text
//! RFC 5424   <34>1 2003-10-11T22:14:15.003Z host application process ID47 [element name="value"] message
//! RFC 3164   <34>Oct 11 22:14:15 host application[process]: message
//! ```

mod legacy;
mod message;
mod parts;
mod time;

use std::sync::Arc;

use arrow_array::BinaryViewArray;
use jiff::tz::TimeZone;
use serde::Deserialize;
use weir_runtime::Clock;
use weir_runtime::batch::BatchError;
use weir_runtime::expressions::Reason;
use weir_runtime::parsers::{Parsed, Parser, ParserCall};

use super::columns::{Cells, Field, FieldColumn, Found};
use super::filling::{append_each, filled};
use super::pieces::text;
use message::{Message, Piece};

pub(crate) use legacy::Legacy;
pub(crate) use parts::{is_host, priority, word};
pub(crate) use time::Nearest;

#[derive(Deserialize)]
struct SyslogSettings {
    zone: String,
}

struct Syslog {
    zone: TimeZone,
    clock: Arc<dyn Clock>,
    fields: Vec<(Part, Field)>,
}

/// The parts of a message that are fields.
#[derive(Debug, Clone, Copy)]
enum Part {
    Facility,
    Severity,
    Time,
    Host,
    Application,
    Process,
    MessageId,
    Data,
    Message,
}

pub(super) fn make(call: &ParserCall<'_>) -> Result<Box<dyn Parser>, String> {
    let SyslogSettings { zone } = call.settings.read().map_err(|error| error.to_string())?;
    let zone = TimeZone::get(&zone).map_err(|error| format!("its `zone`: {error}"))?;
    let mut fields = Vec::new();
    for wanted in &call.fields {
        let part = match wanted.name.as_str() {
            "facility" => Part::Facility,
            "severity" => Part::Severity,
            "time" => Part::Time,
            "host" => Part::Host,
            "application" => Part::Application,
            "process" => Part::Process,
            "message_id" => Part::MessageId,
            "data" => Part::Data,
            "message" => Part::Message,
            other => return Err(format!("the field `{other}`, which messages do not have")),
        };
        fields.push((part, Field::new(wanted)?));
    }
    Ok(Box::new(Syslog { zone, clock: call.clock.clone(), fields }))
}

impl Parser for Syslog {
    fn parse(&self, bodies: &BinaryViewArray) -> Result<Parsed, BatchError> {
        let mut values = Vec::new();
        // Times without a year get the one that is nearest to this time.
        let nearest = Nearest::new(&self.zone, self.clock.now());
        filled(self.fields.iter().map(|(_, field)| field), bodies, |row, columns| {
            values.clear();
            let message = Message::read(text(bodies.value(row))?, &nearest, &mut values)?;
            let places = Row { bodies, row, message: &message, values: &values };
            let parts = self.fields.iter().map(|(part, _)| *part);
            Ok(append_each(columns, parts, |column, part| places.append(part, column)))
        })
    }
}

/// A message, and where its parts are.
struct Row<'r> {
    bodies: &'r BinaryViewArray,
    row: usize,
    message: &'r Message,
    /// The parameters of the message, each with its name.
    values: &'r [(String, Piece)],
}

impl Row<'_> {
    fn append(&self, part: Part, column: &mut FieldColumn<'_>) -> Result<(), Reason> {
        let message = self.message;
        match part {
            Part::Facility => self.number(column, Some(message.priority / 8)),
            Part::Severity => self.number(column, Some(message.priority % 8)),
            Part::Time => self.number(column, message.time),
            Part::Host => self.piece(column, message.host),
            Part::Application => self.piece(column, message.application),
            Part::Process => self.piece(column, message.process),
            Part::MessageId => self.piece(column, message.message_id),
            Part::Message => self.piece(column, Some(message.message)),
            Part::Data => self.data(column),
        }
    }

    fn number(&self, column: &mut FieldColumn<'_>, number: Option<i64>) -> Result<(), Reason> {
        match (&mut column.cells, number) {
            (Cells::Int(values), Some(number)) => values.append_value(number),
            (Cells::Time(values, _), Some(microseconds)) => values.append_value(microseconds),
            _ => return column.append_missing(),
        }
        Ok(())
    }

    fn piece(&self, column: &mut FieldColumn<'_>, piece: Option<Piece>) -> Result<(), Reason> {
        let Some((begin, end)) = piece else { return column.append_missing() };
        match column.append_found(self.bodies, Found::Part { row: self.row, begin, end }) {
            true => Ok(()),
            false => Err(column.field.unreadable(&self.bodies.value(self.row)[begin..end], begin)),
        }
    }

    fn data(&self, column: &mut FieldColumn<'_>) -> Result<(), Reason> {
        let Cells::Map(maps) = &mut column.cells else { return column.append_missing() };
        let mut appended = Ok(());
        for (number, (name, (begin, end))) in self.values.iter().enumerate() {
            // Of several parameters of one name the last counts.
            if self.values[number + 1..].iter().any(|(other, _)| other == name) {
                continue;
            }
            maps.append_key(name.as_bytes());
            let value = &self.bodies.value(self.row)[*begin..*end];
            let is_read = match memchr::memchr(b'\\', value) {
                None => maps
                    .values
                    .append_found(self.bodies, Found::Part { row: self.row, begin: *begin, end: *end }),
                Some(_) => maps.values.append_found(self.bodies, Found::Copy(&message::plain(value))),
            };
            if !is_read {
                appended = Err(maps.values.field.unreadable(value, *begin));
            }
        }
        maps.end_row();
        appended
    }
}

#[cfg(test)]
mod tests;
