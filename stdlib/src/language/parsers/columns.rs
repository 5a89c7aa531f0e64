//! Columns of fields that stand in a body as text.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, PrimitiveBuilder};
use arrow_array::types::{
    ArrowPrimitiveType, Decimal128Type, DurationMicrosecondType, Float64Type, Int64Type,
    TimestampMicrosecondType,
};
use arrow_array::{ArrayRef, BinaryViewArray, StringViewArray};
use arrow_buffer::NullBuffer;
use arrow_data::{ByteView, MAX_INLINE_VIEW_LEN};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use jiff::Timestamp;
use jiff::fmt::strtime::BrokenDownTime;
use jiff::tz::TimeZone;
use weir_plan::{Decimal, DecimalType, FieldFormat, type_name};
use weir_runtime::expressions::Reason;
use weir_runtime::parsers::WantedField;

/// A field whose values are read from text.
pub(super) struct TextField {
    name: Arc<str>,
    nullable: bool,
    form: Form,
}

/// The type of a field, and how text of it is read.
enum Form {
    Bool,
    Int,
    /// An integer from the first to the second.
    IntWithin(i64, i64),
    Float,
    /// A decimal number, which is never rounded.
    Decimal(DecimalType),
    Text,
    Bytes,
    /// A time in RFC 3339.
    Time,
    /// A time by a `strptime` pattern.
    TimeBy(String),
    /// A number that counts this many microseconds.
    Count(f64),
}

/// The column of a field, which is filled body by body.
pub(super) struct FieldColumn<'f> {
    field: &'f TextField,
    values: Values,
}

enum Values {
    Bool(BooleanBuilder),
    Int(PrimitiveBuilder<Int64Type>),
    Float(PrimitiveBuilder<Float64Type>),
    Decimal(PrimitiveBuilder<Decimal128Type>),
    Time(PrimitiveBuilder<TimestampMicrosecondType>),
    Duration(PrimitiveBuilder<DurationMicrosecondType>),
    /// Text or bytes.
    Views(Views),
}

/// Views into the bodies' own buffers, so that a value costs no copy.
struct Views {
    views: Vec<u128>,
    valid: Vec<bool>,
}

impl TextField {
    /// Prepares reading a field.
    ///
    /// # Errors
    /// When a value of its type can't be read from text, in words for the user.
    pub(super) fn new(field: &WantedField) -> Result<TextField, String> {
        let form = match (&field.data_type, &field.format) {
            (DataType::Boolean, FieldFormat::Plain) => Form::Bool,
            (DataType::Int64, FieldFormat::Plain) => Form::Int,
            (DataType::Int64, FieldFormat::Within(least, most)) => Form::IntWithin(*least, *most),
            (DataType::Decimal128(digits, scale @ 0..), FieldFormat::Plain) => {
                Form::Decimal(DecimalType { digits: *digits, scale: scale.unsigned_abs() })
            }
            (DataType::Float64, FieldFormat::Plain) => Form::Float,
            (DataType::Utf8View, FieldFormat::Plain) => Form::Text,
            (DataType::BinaryView, FieldFormat::Plain) => Form::Bytes,
            (DataType::Timestamp(TimeUnit::Microsecond, Some(_)), FieldFormat::Plain) => Form::Time,
            (DataType::Timestamp(TimeUnit::Microsecond, Some(_)), FieldFormat::Pattern(pattern)) => {
                Form::TimeBy(pattern.clone())
            }
            (DataType::Duration(TimeUnit::Microsecond), FieldFormat::Unit(unit)) => {
                Form::Count(unit.as_secs_f64() * 1e6)
            }
            (data_type, _) => {
                let name = type_name(data_type);
                return Err(format!("its field `{}` of {name}, which it can't read from text", field.name));
            }
        };
        Ok(TextField { name: field.name.as_str().into(), nullable: field.nullable, form })
    }

    /// Makes an empty column with space for `rows` values.
    pub(super) fn column(&self, rows: usize) -> FieldColumn<'_> {
        let values = match &self.form {
            Form::Bool => Values::Bool(BooleanBuilder::with_capacity(rows)),
            Form::Int | Form::IntWithin(..) => Values::Int(PrimitiveBuilder::with_capacity(rows)),
            Form::Decimal(DecimalType { digits, scale }) => {
                let data_type = DataType::Decimal128(*digits, scale.cast_signed());
                Values::Decimal(PrimitiveBuilder::with_capacity(rows).with_data_type(data_type))
            }
            Form::Float => Values::Float(PrimitiveBuilder::with_capacity(rows)),
            Form::Time | Form::TimeBy(_) => Values::Time(PrimitiveBuilder::with_capacity(rows)),
            Form::Count(_) => Values::Duration(PrimitiveBuilder::with_capacity(rows)),
            Form::Text | Form::Bytes => Values::Views(Views::with_capacity(rows)),
        };
        FieldColumn { field: self, values }
    }

    fn expected(&self) -> &'static str {
        match &self.form {
            Form::Bool => "a Bool",
            Form::Int => "an Int",
            Form::IntWithin(..) => "an Int in the range of the field",
            Form::Float => "a Float",
            Form::Decimal(_) => "a Decimal with the digits of the field",
            Form::Text => "a Text",
            Form::Bytes => "Bytes",
            Form::Time | Form::TimeBy(_) => "a Time",
            Form::Count(_) => "a Duration",
        }
    }

    /// Reads the microseconds of a time or a duration.
    fn microseconds(&self, text: &str) -> Option<i64> {
        match &self.form {
            Form::Time => Some(text.parse::<Timestamp>().ok()?.as_microsecond()),
            Form::TimeBy(pattern) => time_by(pattern, text),
            Form::Count(unit) => counted(text, *unit),
            Form::Bool
            | Form::Int
            | Form::IntWithin(..)
            | Form::Float
            | Form::Decimal(_)
            | Form::Text
            | Form::Bytes => None,
        }
    }

    /// Reads an integer in the field's range.
    fn integer(&self, text: &str) -> Option<i64> {
        let number = text.parse().ok()?;
        match self.form {
            Form::IntWithin(least, most) => (least..=most).contains(&number).then_some(number),
            _ => Some(number),
        }
    }

    /// Reads the digits of a decimal number of the field's type.
    fn decimal(&self, text: &str) -> Option<i128> {
        match self.form {
            Form::Decimal(wanted) => text.parse::<Decimal>().ok()?.of_type(wanted).map(Decimal::digits),
            _ => None,
        }
    }
}

impl FieldColumn<'_> {
    /// Appends the value at `span` of a body, or none. If the value can't be read, null is appended.
    ///
    /// # Errors
    /// When the text is no value of the field's type, or there is none and the field can't be null.
    pub(super) fn append(
        &mut self,
        bodies: &BinaryViewArray,
        row: usize,
        span: Option<Range<usize>>,
    ) -> Result<(), Reason> {
        let field = self.field;
        let Some(span) = span else {
            self.append_null();
            return if field.nullable { Ok(()) } else { Err(Reason::MissingField(field.name.clone())) };
        };
        let found = &bodies.value(row)[span.clone()];
        let text = || std::str::from_utf8(found).ok();
        let read = match &mut self.values {
            Values::Views(views) => {
                views.append(bodies, row, span);
                return Ok(());
            }
            Values::Bool(values) => {
                text().and_then(|text| text.parse().ok()).map(|truth| values.append_value(truth))
            }
            Values::Int(values) => append(values, text().and_then(|text| field.integer(text))),
            Values::Decimal(values) => append(values, text().and_then(|text| field.decimal(text))),
            Values::Float(values) => append(values, text().and_then(finite)),
            Values::Time(values) => append(values, text().and_then(|text| field.microseconds(text))),
            Values::Duration(values) => append(values, text().and_then(|text| field.microseconds(text))),
        };
        if read.is_none() {
            self.append_null();
        }
        read.ok_or_else(|| Reason::unreadable(Some(&field.name), field.expected(), found, span.start))
    }

    /// Appends null for a body that can't be parsed.
    pub(super) fn append_null(&mut self) {
        match &mut self.values {
            Values::Bool(values) => values.append_null(),
            Values::Int(values) => values.append_null(),
            Values::Decimal(values) => values.append_null(),
            Values::Float(values) => values.append_null(),
            Values::Time(values) => values.append_null(),
            Values::Duration(values) => values.append_null(),
            Values::Views(views) => views.append_null(),
        }
    }

    /// Returns the column.
    ///
    /// # Errors
    /// When Arrow refuses the values.
    pub(super) fn finish(self, bodies: &BinaryViewArray) -> Result<ArrayRef, ArrowError> {
        Ok(match self.values {
            Values::Bool(mut values) => Arc::new(values.finish()),
            Values::Int(mut values) => Arc::new(values.finish()),
            Values::Decimal(mut values) => Arc::new(values.finish()),
            Values::Float(mut values) => Arc::new(values.finish()),
            Values::Time(mut values) => Arc::new(values.finish().with_timezone("UTC")),
            Values::Duration(mut values) => Arc::new(values.finish()),
            Values::Views(views) => match &self.field.form {
                Form::Text => Arc::new(views.texts(bodies)?),
                _ => Arc::new(views.bytes(bodies)?),
            },
        })
    }
}

fn append<T: ArrowPrimitiveType>(values: &mut PrimitiveBuilder<T>, value: Option<T::Native>) -> Option<()> {
    value.map(|value| values.append_value(value))
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

/// The microseconds since 1970 in UTC of a time by a pattern. A time without a zone is one in UTC.
fn time_by(pattern: &str, text: &str) -> Option<i64> {
    let time = BrokenDownTime::parse(pattern, text).ok()?;
    // The text has the offset or the seconds since 1970, or the name of a time zone, or neither.
    let timestamp = match time.to_timestamp() {
        Ok(timestamp) => timestamp,
        Err(_) if time.iana_time_zone().is_some() => time.to_zoned().ok()?.timestamp(),
        Err(_) => time.to_datetime().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp(),
    };
    Some(timestamp.as_microsecond())
}

impl Views {
    fn with_capacity(rows: usize) -> Views {
        Views { views: Vec::with_capacity(rows), valid: Vec::with_capacity(rows) }
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
