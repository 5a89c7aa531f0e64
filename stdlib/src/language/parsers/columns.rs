//! The columns of fields that stand in bodies, which are filled body by body.

use std::ops::Range;
use std::sync::Arc;

use arrow_array::builder::{BooleanBuilder, FixedSizeBinaryBuilder, PrimitiveBuilder};
use arrow_array::types::{
    ArrowPrimitiveType, Decimal128Type, DurationMicrosecondType, Float64Type, Int64Type,
    TimestampMicrosecondType, UInt64Type,
};
use arrow_array::{ArrayRef, BinaryViewArray};
use arrow_schema::{ArrowError, DataType};
use weir_plan::{DecimalType, ParsedField, type_name};
use weir_runtime::expressions::Reason;
use weir_runtime::parsers::WantedField;

use super::nested::{Lists, Maps, Records};
use super::scalar::{Scalar, digits, finite, ip, size};
use super::views::Views;

/// A field, and how its values stand in a body.
pub(super) struct Field {
    /// The name in messages: that of a part of a record is `place.city`, that of the items of a list `tags[]`.
    pub(super) path: Arc<str>,
    pub(super) nullable: bool,
    pub(super) kind: Kind,
}

/// The type of a field, and the form of its values in a body.
pub(super) enum Kind {
    Scalar(Scalar),
    /// Lists of such items, with the Arrow field of the items.
    List(arrow_schema::FieldRef, Box<Field>),
    /// Maps to such values, with the Arrow field of the entries.
    Map(arrow_schema::FieldRef, Box<Field>),
    /// Records of such parts, with the names of the parts.
    Record(arrow_schema::Fields, Vec<Field>),
}

/// The column of a field, which is filled body by body.
pub(super) struct FieldColumn<'f> {
    pub(super) field: &'f Field,
    pub(super) cells: Cells<'f>,
}

/// The values of a column.
pub(super) enum Cells<'f> {
    Bool(BooleanBuilder),
    Int(PrimitiveBuilder<Int64Type>),
    Float(PrimitiveBuilder<Float64Type>),
    Decimal(PrimitiveBuilder<Decimal128Type>),
    Size(PrimitiveBuilder<UInt64Type>),
    Ip(FixedSizeBinaryBuilder),
    Time(PrimitiveBuilder<TimestampMicrosecondType>, Last),
    Duration(PrimitiveBuilder<DurationMicrosecondType>),
    /// Text, JSON or bytes.
    Views(Views),
    List(Box<Lists<'f>>),
    Map(Box<Maps<'f>>),
    Record(Box<Records<'f>>),
}

/// The last time of a column, since many events have the same time.
#[derive(Default)]
pub(super) struct Last {
    text: Vec<u8>,
    microseconds: i64,
}

/// The bytes of a value: a part of a body, or a copy without its escapes.
#[derive(Clone, Copy)]
pub(super) enum Found<'b> {
    /// The bytes from the first offset of the row's body to the second.
    Part {
        row: usize,
        begin: usize,
        end: usize,
    },
    Copy(&'b [u8]),
}

impl Field {
    /// Prepares reading a field.
    ///
    /// # Errors
    /// When a value of its type can't be read, in words for the user.
    pub(super) fn new(wanted: &WantedField) -> Result<Field, String> {
        let WantedField { name, format, data_type, nullable, parts, .. } = wanted;
        let described =
            ParsedField { name: name.clone(), format: format.clone(), parts: parts.clone(), unread: false };
        Ok(Field {
            path: name.as_str().into(),
            nullable: *nullable,
            kind: Kind::new(name, data_type, &described)?,
        })
    }

    /// Prepares reading a field with a single value.
    ///
    /// # Errors
    /// As [`Field::new`], and when its type has parts.
    pub(super) fn single(wanted: &WantedField) -> Result<Field, String> {
        let field = Field::new(wanted)?;
        match field.kind {
            Kind::Scalar(_) => Ok(field),
            _ => Err(unreadable_type(&wanted.name, &wanted.data_type)),
        }
    }

    /// Makes an empty column with space for `rows` values.
    pub(super) fn column(&self, bodies: &BinaryViewArray, rows: usize) -> FieldColumn<'_> {
        let cells = match &self.kind {
            Kind::List(item, items) => Cells::List(Box::new(Lists::new(item, items, bodies, rows))),
            Kind::Map(entries, values) => Cells::Map(Box::new(Maps::new(entries, values, bodies, rows))),
            Kind::Record(fields, parts) => Cells::Record(Box::new(Records::new(fields, parts, bodies, rows))),
            Kind::Scalar(scalar) => match scalar {
                Scalar::Bool => Cells::Bool(BooleanBuilder::with_capacity(rows)),
                Scalar::Int | Scalar::IntWithin(..) => Cells::Int(PrimitiveBuilder::with_capacity(rows)),
                Scalar::Float => Cells::Float(PrimitiveBuilder::with_capacity(rows)),
                Scalar::Decimal(DecimalType { digits, scale }) => {
                    let data_type = DataType::Decimal128(*digits, scale.cast_signed());
                    Cells::Decimal(PrimitiveBuilder::with_capacity(rows).with_data_type(data_type))
                }
                Scalar::Size => Cells::Size(PrimitiveBuilder::with_capacity(rows)),
                Scalar::Ip => Cells::Ip(FixedSizeBinaryBuilder::with_capacity(rows, 16)),
                Scalar::Time | Scalar::TimeBy(_) => {
                    Cells::Time(PrimitiveBuilder::with_capacity(rows), Last::default())
                }
                Scalar::Duration | Scalar::Count(_) => Cells::Duration(PrimitiveBuilder::with_capacity(rows)),
                Scalar::Text | Scalar::Json | Scalar::Bytes => Cells::Views(Views::new(bodies, rows)),
            },
        };
        FieldColumn { field: self, cells }
    }

    /// What a value of the field is expected to be, with its article.
    pub(super) fn expected(&self) -> &'static str {
        match &self.kind {
            Kind::Scalar(scalar) => scalar.expected(),
            Kind::List(..) => "a list",
            Kind::Map(..) => "a map",
            Kind::Record(..) => "a record",
        }
    }

    /// The reason that the bytes at this offset of the body are no value of the field.
    #[cold]
    pub(super) fn unreadable(&self, found: &[u8], byte: usize) -> Reason {
        Reason::unreadable(Some(&self.path), self.expected(), found, byte)
    }
}

impl Kind {
    fn new(path: &str, data_type: &DataType, described: &ParsedField) -> Result<Kind, String> {
        let of_items = |path: String, item: &arrow_schema::Field| {
            let kind = Kind::new(&path, item.data_type(), described)?;
            Ok::<_, String>(Box::new(Field { path: path.into(), nullable: item.is_nullable(), kind }))
        };
        Ok(match data_type {
            DataType::List(item) => Kind::List(item.clone(), of_items(format!("{path}[]"), item)?),
            DataType::Map(entries, false) => match entries.data_type() {
                DataType::Struct(fields)
                    if fields.len() == 2 && *fields[0].data_type() == DataType::Utf8View =>
                {
                    Kind::Map(entries.clone(), of_items(format!("{path}[]"), &fields[1])?)
                }
                _ => return Err(unreadable_type(path, data_type)),
            },
            DataType::Struct(fields) => {
                let part = |part: &arrow_schema::FieldRef| {
                    let path = format!("{path}.{}", part.name());
                    let plain = ParsedField { name: part.name().clone(), ..ParsedField::default() };
                    let described = described.parts.iter().find(|described| described.name == *part.name());
                    let kind = Kind::new(&path, part.data_type(), described.unwrap_or(&plain))?;
                    Ok::<_, String>(Field { path: path.into(), nullable: part.is_nullable(), kind })
                };
                Kind::Record(fields.clone(), fields.iter().map(part).collect::<Result<_, _>>()?)
            }
            data_type => match Scalar::new(data_type, &described.format) {
                Some(scalar) => Kind::Scalar(scalar),
                None => return Err(unreadable_type(path, data_type)),
            },
        })
    }
}

/// Whether values of the type are texts or bytes, which may be empty.
pub(super) fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8View | DataType::BinaryView)
}

fn unreadable_type(path: &str, data_type: &DataType) -> String {
    format!("its field `{path}` of {}, which it can't read", type_name(data_type))
}

impl Found<'_> {
    /// The bytes of the value.
    #[inline]
    pub(super) fn bytes<'a>(&self, bodies: &'a BinaryViewArray) -> &'a [u8]
    where
        Self: 'a,
    {
        match *self {
            Found::Part { row, begin, end } => &bodies.value(row)[begin..end],
            Found::Copy(bytes) => bytes,
        }
    }
}

impl FieldColumn<'_> {
    /// Appends the text at `span` of a body, which is UTF-8, or none.
    ///
    /// # Errors
    /// When the text is no value of the field's type, or there is none and the field can't be null. Then an undefined
    /// value is appended.
    pub(super) fn append(
        &mut self,
        bodies: &BinaryViewArray,
        row: usize,
        span: Option<Range<usize>>,
    ) -> Result<(), Reason> {
        let Some(Range { start: begin, end }) = span else { return self.append_missing() };
        match self.append_found(bodies, Found::Part { row, begin, end }) {
            true => Ok(()),
            false => Err(self.field.unreadable(&bodies.value(row)[begin..end], begin)),
        }
    }

    /// Appends null for a field that a body does not have.
    ///
    /// # Errors
    /// When the field can't be null. Then an undefined value is appended.
    pub(super) fn append_missing(&mut self) -> Result<(), Reason> {
        if self.field.nullable {
            self.append_null();
            return Ok(());
        }
        self.append_undefined();
        Err(Reason::MissingField(self.field.path.clone()))
    }

    /// Appends the value that the text is. Returns whether it is one; otherwise an undefined value is appended.
    #[inline]
    pub(super) fn append_found(&mut self, bodies: &BinaryViewArray, found: Found<'_>) -> bool {
        let is_read = self.append_if_read(bodies, found);
        if !is_read {
            self.append_undefined();
        }
        is_read
    }

    /// Appends the value that the text is. Returns whether it is one; otherwise nothing is appended.
    #[inline]
    pub(super) fn append_if_read(&mut self, bodies: &BinaryViewArray, found: Found<'_>) -> bool {
        let Kind::Scalar(scalar) = &self.field.kind else { return false };
        let bytes = found.bytes(bodies);
        let text = || std::str::from_utf8(bytes).ok();
        let read = match &mut self.cells {
            Cells::Views(views) => {
                match found {
                    Found::Part { row, begin, .. } => views.append(bodies.views()[row], bytes, begin),
                    Found::Copy(bytes) => views.append_copy(bytes),
                }
                return true;
            }
            Cells::Bool(values) => {
                text().and_then(|text| text.parse().ok()).map(|truth| values.append_value(truth))
            }
            Cells::Int(values) => append(
                values,
                match digits(bytes) {
                    Some(number) => scalar.in_range(number),
                    None => text().and_then(|text| scalar.integer(text)),
                },
            ),
            Cells::Decimal(values) => append(values, text().and_then(|text| scalar.decimal(text))),
            Cells::Float(values) => append(values, text().and_then(finite)),
            Cells::Size(values) => append(
                values,
                match digits(bytes) {
                    Some(number) => Some(number.unsigned_abs()),
                    None => text().and_then(size),
                },
            ),
            Cells::Ip(values) => text().and_then(ip).and_then(|address| values.append_value(address).ok()),
            Cells::Time(values, last) => append(values, last.or_read(bytes, scalar)),
            Cells::Duration(values) => append(values, text().and_then(|text| scalar.microseconds(text))),
            Cells::List(_) | Cells::Map(_) | Cells::Record(_) => None,
        };
        read.is_some()
    }

    /// Appends null.
    pub(super) fn append_null(&mut self) {
        match &mut self.cells {
            Cells::Bool(values) => values.append_null(),
            Cells::Int(values) => values.append_null(),
            Cells::Decimal(values) => values.append_null(),
            Cells::Float(values) => values.append_null(),
            Cells::Size(values) => values.append_null(),
            Cells::Ip(values) => values.append_null(),
            Cells::Time(values, _) => values.append_null(),
            Cells::Duration(values) => values.append_null(),
            Cells::Views(views) => views.append_null(),
            Cells::List(lists) => lists.append_null(),
            Cells::Map(maps) => maps.append_null(),
            Cells::Record(records) => records.append_null(),
        }
    }

    /// Appends a value for a body that can't be parsed, which is never read. It is not null, since Arrow refuses nulls
    /// in parts that can't be null.
    pub(super) fn append_undefined(&mut self) {
        match &mut self.cells {
            Cells::Bool(values) => values.append_value(false),
            Cells::Int(values) => values.append_value(0),
            Cells::Decimal(values) => values.append_value(0),
            Cells::Float(values) => values.append_value(0.0),
            Cells::Size(values) => values.append_value(0),
            // The width is right.
            Cells::Ip(values) => drop(values.append_value([0; 16])),
            Cells::Time(values, _) => values.append_value(0),
            Cells::Duration(values) => values.append_value(0),
            Cells::Views(views) => views.append_copy(&[]),
            Cells::List(lists) => lists.end_row(),
            Cells::Map(maps) => maps.end_row(),
            Cells::Record(records) => records.append_undefined(),
        }
    }

    /// Returns the column.
    ///
    /// # Errors
    /// When Arrow refuses the values.
    pub(super) fn finish(self, bodies: &BinaryViewArray) -> Result<ArrayRef, ArrowError> {
        Ok(match self.cells {
            Cells::Bool(mut values) => Arc::new(values.finish()),
            Cells::Int(mut values) => Arc::new(values.finish()),
            Cells::Decimal(mut values) => Arc::new(values.finish()),
            Cells::Float(mut values) => Arc::new(values.finish()),
            Cells::Size(mut values) => Arc::new(values.finish()),
            Cells::Ip(mut values) => Arc::new(values.finish()),
            Cells::Time(mut values, _) => Arc::new(values.finish().with_timezone("UTC")),
            Cells::Duration(mut values) => Arc::new(values.finish()),
            Cells::Views(views) => match &self.field.kind {
                Kind::Scalar(Scalar::Bytes) => Arc::new(views.bytes(bodies)?),
                _ => Arc::new(views.texts(bodies)?),
            },
            Cells::List(lists) => lists.finish(bodies)?,
            Cells::Map(maps) => maps.finish(bodies)?,
            Cells::Record(records) => records.finish(bodies)?,
        })
    }
}

fn append<T: ArrowPrimitiveType>(values: &mut PrimitiveBuilder<T>, value: Option<T::Native>) -> Option<()> {
    value.map(|value| values.append_value(value))
}

impl Last {
    /// The microseconds of a time, read only if the text is not that of the last time.
    fn or_read(&mut self, bytes: &[u8], scalar: &Scalar) -> Option<i64> {
        if self.text == bytes && !bytes.is_empty() {
            return Some(self.microseconds);
        }
        let microseconds = scalar.microseconds(std::str::from_utf8(bytes).ok()?)?;
        self.microseconds = microseconds;
        self.text.clear();
        self.text.extend_from_slice(bytes);
        Some(microseconds)
    }
}
