//! Columns of fields that stand in a body as text.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::builder::{BooleanBuilder, PrimitiveBuilder};
use arrow_array::types::{
    ArrowPrimitiveType, DurationMicrosecondType, Float64Type, Int64Type, TimestampMicrosecondType,
};
use arrow_array::{ArrayRef, BinaryViewArray, StringViewArray};
use arrow_buffer::NullBuffer;
use arrow_data::{ByteView, MAX_INLINE_VIEW_LEN};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use weir_plan::{FieldFormat, type_name};
use weir_runtime::expressions::Reason;
use weir_runtime::parsers::WantedField;

/// The column of a field, which is filled body by body.
pub(super) struct FieldColumn {
    name: Arc<str>,
    nullable: bool,
    values: Values,
}

enum Values {
    Bool(BooleanBuilder),
    Int(PrimitiveBuilder<Int64Type>),
    Float(PrimitiveBuilder<Float64Type>),
    Text(Views),
    Bytes(Views),
    Time(PrimitiveBuilder<TimestampMicrosecondType>, TimeFormat),
    /// A number that counts this many microseconds.
    Duration(PrimitiveBuilder<DurationMicrosecondType>, f64),
}

#[derive(Clone)]
enum TimeFormat {
    Rfc3339,
    Pattern(String),
}

/// Views into the bodies' own buffers, so that a value costs no copy.
struct Views {
    views: Vec<u128>,
    valid: Vec<bool>,
}

impl FieldColumn {
    /// An empty column for the field.
    ///
    /// # Errors
    /// When a value of its type can't be read from text, in words for the user.
    pub(super) fn new(field: &WantedField) -> Result<FieldColumn, String> {
        let refused = || {
            let name = type_name(&field.data_type);
            Err(format!("its field `{}` of {name}, which it can't read from text", field.name))
        };
        let values = match (&field.data_type, &field.format) {
            (DataType::Boolean, FieldFormat::Plain) => Values::Bool(BooleanBuilder::new()),
            (DataType::Int64, FieldFormat::Plain) => Values::Int(PrimitiveBuilder::new()),
            (DataType::Float64, FieldFormat::Plain) => Values::Float(PrimitiveBuilder::new()),
            (DataType::Utf8View, FieldFormat::Plain) => Values::Text(Views::new()),
            (DataType::BinaryView, FieldFormat::Plain) => Values::Bytes(Views::new()),
            (DataType::Timestamp(TimeUnit::Microsecond, Some(_)), FieldFormat::Plain) => {
                Values::Time(PrimitiveBuilder::new(), TimeFormat::Rfc3339)
            }
            (DataType::Timestamp(TimeUnit::Microsecond, Some(_)), FieldFormat::Pattern(pattern)) => {
                Values::Time(PrimitiveBuilder::new(), TimeFormat::Pattern(pattern.clone()))
            }
            (DataType::Duration(TimeUnit::Microsecond), FieldFormat::Unit(unit)) => {
                Values::Duration(PrimitiveBuilder::new(), microseconds(*unit))
            }
            _ => return refused(),
        };
        Ok(FieldColumn { name: field.name.as_str().into(), nullable: field.nullable, values })
    }

    /// Appends the value that stands at `span` of a body, or none. If it can't be read, null is appended.
    ///
    /// # Errors
    /// When the text is no value of the field's type, or there is none and the field can't be null.
    pub(super) fn append(
        &mut self,
        bodies: &BinaryViewArray,
        row: usize,
        span: Option<Range<usize>>,
    ) -> Result<(), Reason> {
        let Some(span) = span else {
            self.append_null();
            return if self.nullable { Ok(()) } else { Err(Reason::MissingField(self.name.clone())) };
        };
        let found = &bodies.value(row)[span.clone()];
        let read = match &mut self.values {
            Values::Text(views) | Values::Bytes(views) => {
                views.append(bodies, row, span);
                return Ok(());
            }
            Values::Bool(values) => match found {
                b"true" | b"false" => {
                    values.append_value(found == b"true");
                    Some(())
                }
                _ => None,
            },
            Values::Int(values) => append(values, text(found).and_then(|text| text.parse().ok())),
            Values::Float(values) => append(values, text(found).and_then(finite)),
            Values::Time(values, format) => append(values, text(found).and_then(|text| format.read(text))),
            Values::Duration(values, unit) => {
                append(values, text(found).and_then(|text| counted(text, *unit)))
            }
        };
        read.ok_or_else(|| {
            let reason = Reason::unreadable(Some(&self.name), self.expected(), found, span.start);
            self.append_null();
            reason
        })
    }

    /// Appends null for a body that can't be parsed.
    pub(super) fn append_null(&mut self) {
        match &mut self.values {
            Values::Bool(values) => values.append_null(),
            Values::Int(values) => values.append_null(),
            Values::Float(values) => values.append_null(),
            Values::Time(values, _) => values.append_null(),
            Values::Duration(values, _) => values.append_null(),
            Values::Text(views) | Values::Bytes(views) => views.append_null(),
        }
    }

    fn expected(&self) -> &'static str {
        match &self.values {
            Values::Bool(_) => "a Bool",
            Values::Int(_) => "an Int",
            Values::Float(_) => "a Float",
            Values::Text(_) => "a Text",
            Values::Bytes(_) => "Bytes",
            Values::Time(..) => "a Time",
            Values::Duration(..) => "a Duration",
        }
    }

    /// The column.
    ///
    /// # Errors
    /// When Arrow refuses the values.
    pub(super) fn finish(self, bodies: &BinaryViewArray) -> Result<ArrayRef, ArrowError> {
        Ok(match self.values {
            Values::Bool(mut values) => Arc::new(values.finish()),
            Values::Int(mut values) => Arc::new(values.finish()),
            Values::Float(mut values) => Arc::new(values.finish()),
            Values::Time(mut values, _) => Arc::new(values.finish().with_timezone("UTC")),
            Values::Duration(mut values, _) => Arc::new(values.finish()),
            Values::Text(views) => Arc::new(views.texts(bodies)?),
            Values::Bytes(views) => Arc::new(views.bytes(bodies)?),
        })
    }
}

fn append<T: ArrowPrimitiveType>(values: &mut PrimitiveBuilder<T>, value: Option<T::Native>) -> Option<()> {
    value.map(|value| values.append_value(value))
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// A finite number. The language has no others, and no negative zero.
fn finite(text: &str) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    number.is_finite().then_some(number + 0.0)
}

/// The microseconds of a number that counts a unit of time.
fn counted(text: &str, unit: f64) -> Option<i64> {
    let microseconds = text.parse::<f64>().ok()? * unit;
    // Beyond 2^63 a number is no i64; one that is not a number is in no range.
    (microseconds.abs() < 9.2e18).then_some(microseconds.round() as i64)
}

impl TimeFormat {
    /// The microseconds since 1970 in UTC. A time without a zone is one in UTC.
    fn read(&self, text: &str) -> Option<i64> {
        let timestamp = match self {
            TimeFormat::Rfc3339 => text.parse::<Timestamp>().ok()?,
            TimeFormat::Pattern(pattern) => {
                let time = BrokenDownTime::parse(pattern, text).ok()?;
                // The offset or the seconds since 1970 are in the text, or a time zone's name, or neither.
                match time.to_timestamp() {
                    Ok(timestamp) => timestamp,
                    Err(_) if time.iana_time_zone().is_some() => time.to_zoned().ok()?.timestamp(),
                    Err(_) => {
                        let civil: DateTime = time.to_datetime().ok()?;
                        civil.to_zoned(TimeZone::UTC).ok()?.timestamp()
                    }
                }
            }
        };
        Some(timestamp.as_microsecond())
    }
}

impl Views {
    fn new() -> Views {
        Views { views: Vec::new(), valid: Vec::new() }
    }

    fn append_null(&mut self) {
        self.views.push(0);
        self.valid.push(false);
    }

    fn append(&mut self, bodies: &BinaryViewArray, row: usize, span: Range<usize>) {
        let body = ByteView::from(bodies.views()[row]);
        let found = &bodies.value(row)[span.clone()];
        // A body is at most some mebibytes long, and its buffer shorter than 2^32 bytes.
        let view = match found.len() as u32 {
            length if length <= MAX_INLINE_VIEW_LEN => {
                let mut inline = [0; 16];
                inline[..4].copy_from_slice(&length.to_le_bytes());
                inline[4..4 + found.len()].copy_from_slice(found);
                u128::from_le_bytes(inline)
            }
            length => ByteView::new(length, &found[..4])
                .with_buffer_index(body.buffer_index)
                .with_offset(body.offset + span.start as u32)
                .as_u128(),
        };
        self.views.push(view);
        self.valid.push(true);
    }

    fn nulls(valid: Vec<bool>) -> Option<NullBuffer> {
        Some(NullBuffer::from(valid)).filter(|nulls| nulls.null_count() > 0)
    }

    fn bytes(self, bodies: &BinaryViewArray) -> Result<BinaryViewArray, ArrowError> {
        BinaryViewArray::try_new(self.views.into(), bodies.data_buffers().to_vec(), Self::nulls(self.valid))
    }

    fn texts(self, bodies: &BinaryViewArray) -> Result<StringViewArray, ArrowError> {
        StringViewArray::try_new(self.views.into(), bodies.data_buffers().to_vec(), Self::nulls(self.valid))
    }
}
