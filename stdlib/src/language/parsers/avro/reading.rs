//! How the values of an Avro type are read into the column of a field. Everything that depends on the types alone is
//! decided when the parser is made.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::BinaryViewArray;
use weir_plan::Decimal;
use weir_runtime::expressions::Reason;

use super::super::columns::{Cells, Field, FieldColumn, Found, Kind};
use super::super::json::is_document;
use super::super::scalar::{Scalar, microseconds};
use super::datum::{BRANCH, Broken, Datum, SYMBOL};
use super::schema::{AvroSchema, AvroType, TypeId};

/// How the values of an Avro type become values of a field.
pub(super) enum Reading {
    Single(AvroType),
    /// By branch; none for a branch that is no value of the field.
    Union(Vec<Result<Reading, TypeId>>),
    List(Box<Reading>),
    Map(Box<Reading>),
    Record(Members),
}

/// The fields of a record in a datum.
pub(super) struct Members {
    members: Vec<Member>,
    /// The numbers of the columns that no member fills.
    absent: Vec<usize>,
}

struct Member {
    path: Arc<str>,
    id: TypeId,
    /// The number of the column, and how it is filled. A member without one is skipped.
    read: Option<(usize, Reading)>,
}

/// The bodies, and the row that is being read.
#[derive(Clone, Copy)]
pub(super) struct Row<'b> {
    pub(super) bodies: &'b BinaryViewArray,
    pub(super) row: usize,
}

/// Why a value is not appended: its bytes are broken, or it is none of the field.
enum Refused {
    Broken(Broken),
    Reason(Reason),
}

impl From<Broken> for Refused {
    fn from(broken: Broken) -> Refused {
        Refused::Broken(broken)
    }
}

impl Reading {
    /// Prepares reading values of an Avro type into a field.
    ///
    /// # Errors
    /// When no value of the type is one of the field, in words for the user.
    fn new(schema: &AvroSchema, id: TypeId, field: &Field) -> Result<Reading, String> {
        let avro_type = schema.of(id);
        Ok(match (avro_type, &field.kind) {
            (AvroType::Union(branches), _) => {
                let reading = |id: &TypeId| Reading::new(schema, *id, field).map_err(|_| *id);
                let branches: Vec<Result<Reading, TypeId>> = branches.iter().map(reading).collect();
                if branches.iter().all(Result::is_err) {
                    return Err(mismatch(field, "a union without a branch of the field's type"));
                }
                Reading::Union(branches)
            }
            (AvroType::Array(items), Kind::List(_, item)) => {
                Reading::List(Box::new(Reading::new(schema, *items, item)?))
            }
            (AvroType::Map(values), Kind::Map(_, value)) => {
                Reading::Map(Box::new(Reading::new(schema, *values, value)?))
            }
            (AvroType::Record(members), Kind::Record(names, parts)) => {
                let names: Vec<&str> = names.iter().map(|name| name.name().as_str()).collect();
                Reading::Record(Members::new(schema, members, &names, parts, Some(&field.path))?)
            }
            (AvroType::Null, _) if field.nullable => Reading::Single(AvroType::Null),
            (_, Kind::Scalar(scalar)) if has_values_of(avro_type, scalar) => {
                Reading::Single(avro_type.clone())
            }
            _ => return Err(mismatch(field, avro_type.words())),
        })
    }

    /// Appends a value to the column of a field.
    ///
    /// # Errors
    /// When it is none of the type, or none of the field. Then an undefined value is appended.
    fn append(
        &self,
        datum: &mut Datum<'_>,
        column: &mut FieldColumn<'_>,
        row: Row<'_>,
    ) -> Result<(), Reason> {
        let begin = datum.at;
        let field = column.field;
        let refused = match (self, &mut column.cells) {
            (Reading::Single(avro_type), _) => match single(datum, avro_type, column, row) {
                Ok(true) => return Ok(()),
                Ok(false) => Refused::Reason(unreadable(datum, field, avro_type, begin)),
                Err(broken) => broken.into(),
            },
            (Reading::Union(branches), _) => match branch(datum, branches) {
                Ok(Ok(reading)) => return reading.append(datum, column, row),
                Ok(Err(id)) => {
                    let begin = datum.at;
                    // Where the value ends shows how much of it the reason quotes.
                    match datum.skip(*id) {
                        Ok(()) => Refused::Reason(unreadable(datum, field, datum.schema.of(*id), begin)),
                        Err(broken) => broken.into(),
                    }
                }
                Err(broken) => broken.into(),
            },
            (Reading::List(items), Cells::List(lists)) => {
                let read = datum.items(|datum| {
                    lists.count += 1;
                    items.append(datum, &mut lists.items, row).map_err(Refused::Reason)
                });
                lists.end_row();
                return read.map_err(|refused| reason(refused, &field.path, datum.body));
            }
            (Reading::Map(values), Cells::Map(maps)) => {
                let mut keys = HashSet::new();
                let read = datum.items(|datum| {
                    let at = datum.at;
                    let key = datum.sized()?;
                    if simdutf8::basic::from_utf8(key).is_err() || !keys.insert(key) {
                        return Err(Broken { expected: "a Text that is no key of the map yet", at }.into());
                    }
                    maps.append_key(key);
                    values.append(datum, &mut maps.values, row).map_err(Refused::Reason)
                });
                maps.end_row();
                return read.map_err(|refused| reason(refused, &field.path, datum.body));
            }
            (Reading::Record(members), Cells::Record(records)) => {
                let read = members.append(datum, &mut records.parts, row);
                records.end_row(false);
                return read;
            }
            (Reading::List(_) | Reading::Map(_) | Reading::Record(_), _) => {
                Refused::Reason(field.unreadable(&datum.body[begin..], begin))
            }
        };
        column.append_undefined();
        Err(reason(refused, &field.path, datum.body))
    }
}

impl Members {
    /// Prepares reading records into fields of these names. `path` is the name of the field that the record is.
    ///
    /// # Errors
    /// When no value of a member is one of its field, or a field that can't be null has no member.
    pub(super) fn new(
        schema: &AvroSchema,
        members: &[(String, TypeId)],
        names: &[&str],
        fields: &[Field],
        path: Option<&str>,
    ) -> Result<Members, String> {
        let mut absent: Vec<usize> = (0..fields.len()).collect();
        let mut member = |(name, id): &(String, TypeId)| {
            let number = names.iter().position(|known| known == name);
            absent.retain(|absent| Some(*absent) != number);
            let read = match number {
                Some(number) => Some((number, Reading::new(schema, *id, &fields[number])?)),
                None => None,
            };
            let path = path.map_or_else(|| name.clone(), |path| format!("{path}.{name}"));
            Ok::<_, String>(Member { path: path.into(), id: *id, read })
        };
        let members = members.iter().map(&mut member).collect::<Result<_, _>>()?;
        if let Some(field) = absent.iter().map(|absent| &fields[*absent]).find(|field| !field.nullable) {
            return Err(format!("it has no field `{}`", field.path));
        }
        Ok(Members { members, absent })
    }

    /// Appends a value to each column.
    ///
    /// # Errors
    /// The first reason why a value can't be read. The values after it are undefined, since their places are unknown.
    pub(super) fn append(
        &self,
        datum: &mut Datum<'_>,
        columns: &mut [FieldColumn<'_>],
        row: Row<'_>,
    ) -> Result<(), Reason> {
        let mut read = Ok(());
        for member in &self.members {
            match &member.read {
                Some((number, _)) if read.is_err() => columns[*number].append_undefined(),
                Some((number, reading)) => read = reading.append(datum, &mut columns[*number], row),
                None if read.is_err() => {}
                None => {
                    let skipped = datum.skip(member.id);
                    read = skipped.map_err(|broken| reason(broken.into(), &member.path, datum.body));
                }
            }
        }
        for absent in &self.absent {
            read = read.and(columns[*absent].append_missing());
        }
        read
    }
}

/// The reason that the value of this type from `begin` to where the datum is read on is none of the field.
#[cold]
fn unreadable(datum: &Datum<'_>, field: &Field, avro_type: &AvroType, begin: usize) -> Reason {
    let mut value = Datum::new(datum.schema, datum.body, begin);
    // The length of a text is not quoted.
    let has_length = matches!(avro_type, AvroType::String | AvroType::Bytes | AvroType::Decimal(_, None));
    let begin = if has_length && value.long().is_ok() { value.at } else { begin };
    field.unreadable(&datum.body[begin..datum.at], begin)
}

#[cold]
fn reason(refused: Refused, path: &Arc<str>, body: &[u8]) -> Reason {
    match refused {
        Refused::Reason(reason) => reason,
        Refused::Broken(Broken { expected, at }) => Reason::unreadable(Some(path), expected, &body[at..], at),
    }
}

/// Returns how the branch of the union is read that the datum has here.
#[inline]
fn branch<'r>(
    datum: &mut Datum<'_>,
    branches: &'r [Result<Reading, TypeId>],
) -> Result<&'r Result<Reading, TypeId>, Broken> {
    Ok(&branches[datum.number_below(branches.len(), BRANCH)?])
}

fn mismatch(field: &Field, found: &str) -> String {
    format!("the field `{}` in it is {found}, and not {}", field.path, field.expected())
}

/// Whether a field of this type has values of the Avro type.
fn has_values_of(avro_type: &AvroType, scalar: &Scalar) -> bool {
    match avro_type {
        AvroType::Boolean => matches!(scalar, Scalar::Bool),
        AvroType::Long => matches!(
            scalar,
            Scalar::Int
                | Scalar::IntWithin(..)
                | Scalar::Float
                | Scalar::Decimal(_)
                | Scalar::Size
                | Scalar::Count(_)
                | Scalar::TimeBy(_)
        ),
        AvroType::Float | AvroType::Double => matches!(scalar, Scalar::Float | Scalar::Count(_)),
        AvroType::Bytes | AvroType::Fixed(_) => matches!(scalar, Scalar::Bytes),
        AvroType::String => matches!(
            scalar,
            Scalar::Text
                | Scalar::Bytes
                | Scalar::Json
                | Scalar::Decimal(_)
                | Scalar::Time
                | Scalar::TimeBy(_)
                | Scalar::Duration
                | Scalar::Size
                | Scalar::Ip
        ),
        AvroType::Enum(_) => matches!(scalar, Scalar::Text),
        AvroType::Time(_) => matches!(scalar, Scalar::Time | Scalar::TimeBy(_)),
        AvroType::Decimal(..) => matches!(scalar, Scalar::Decimal(_)),
        AvroType::Null | AvroType::Array(_) | AvroType::Map(_) | AvroType::Union(_) | AvroType::Record(_) => {
            false
        }
    }
}

/// Appends a single value, and returns whether it is one of the field. If it is none, nothing is appended.
#[inline]
fn single(
    datum: &mut Datum<'_>,
    avro_type: &AvroType,
    column: &mut FieldColumn<'_>,
    row: Row<'_>,
) -> Result<bool, Broken> {
    Ok(match avro_type {
        AvroType::Null => {
            column.append_null();
            true
        }
        AvroType::Boolean => match (&mut column.cells, datum.take(1)?) {
            (Cells::Bool(values), [byte @ 0..=1]) => {
                values.append_value(*byte == 1);
                true
            }
            _ => false,
        },
        AvroType::Long => {
            let number = datum.long()?;
            long(column, number, row.bodies)
        }
        AvroType::Float => {
            let bytes = datum.take(4)?.try_into().unwrap_or_default();
            float(column, f64::from(f32::from_le_bytes(bytes)))
        }
        AvroType::Double => {
            let bytes = datum.take(8)?.try_into().unwrap_or_default();
            float(column, f64::from_le_bytes(bytes))
        }
        AvroType::Time(nanoseconds) => {
            let number = i128::from(datum.long()?) * i128::from(*nanoseconds);
            match (&mut column.cells, i64::try_from(number.div_euclid(1_000))) {
                (Cells::Time(values, _), Ok(microseconds)) => {
                    values.append_value(microseconds);
                    true
                }
                _ => false,
            }
        }
        AvroType::Enum(symbols) => {
            let symbol = datum.number_below(symbols.len(), SYMBOL)?;
            column.append_if_read(row.bodies, Found::Copy(symbols[symbol].as_bytes()))
        }
        AvroType::Decimal(scale, size) => {
            let bytes = if let Some(size) = size { datum.take(*size)? } else { datum.sized()? };
            decimal(column, bytes, *scale)
        }
        AvroType::Fixed(size) => {
            let bytes = datum.take(*size)?;
            part(datum, column, row, bytes)
        }
        AvroType::Bytes => {
            let bytes = datum.sized()?;
            part(datum, column, row, bytes)
        }
        AvroType::String => {
            let text = datum.sized()?;
            let is_text = simdutf8::basic::from_utf8(text).is_ok();
            let is_json = || !matches!(column.field.kind, Kind::Scalar(Scalar::Json)) || is_document(text);
            is_text && is_json() && part(datum, column, row, text)
        }
        AvroType::Array(_) | AvroType::Map(_) | AvroType::Record(_) | AvroType::Union(_) => false,
    })
}

/// Appends a part of the body that ends where the datum is read on.
#[inline]
fn part(datum: &Datum<'_>, column: &mut FieldColumn<'_>, row: Row<'_>, bytes: &[u8]) -> bool {
    let (begin, end) = (datum.at - bytes.len(), datum.at);
    column.append_if_read(row.bodies, Found::Part { row: row.row, begin, end })
}

#[inline]
fn long(column: &mut FieldColumn<'_>, number: i64, bodies: &BinaryViewArray) -> bool {
    let Kind::Scalar(scalar) = &column.field.kind else { return false };
    match &mut column.cells {
        Cells::Int(values) => scalar.in_range(number).map(|number| values.append_value(number)).is_some(),
        Cells::Size(values) => u64::try_from(number).map(|number| values.append_value(number)).is_ok(),
        Cells::Decimal(values) => {
            let digits = Decimal::new(number.into(), 0).and_then(|number| scalar.fitted(number));
            digits.map(|digits| values.append_value(digits)).is_some()
        }
        // A pattern such as `%s` reads the digits.
        Cells::Time(..) => column.append_if_read(bodies, Found::Copy(number.to_string().as_bytes())),
        _ => float(column, number as f64),
    }
}

#[inline]
fn float(column: &mut FieldColumn<'_>, number: f64) -> bool {
    match (&mut column.cells, &column.field.kind) {
        // The language has no negative zero.
        (Cells::Float(values), _) if number.is_finite() => values.append_value(number + 0.0),
        (Cells::Duration(values), Kind::Scalar(Scalar::Count(unit))) => {
            let Some(microseconds) = microseconds(number, *unit) else { return false };
            values.append_value(microseconds);
        }
        _ => return false,
    }
    true
}

/// Appends a decimal number: its digits as an integer in two's complement, the most significant byte first.
fn decimal(column: &mut FieldColumn<'_>, bytes: &[u8], scale: u8) -> bool {
    let (Cells::Decimal(values), Kind::Scalar(scalar)) = (&mut column.cells, &column.field.kind) else {
        return false;
    };
    let sign = if bytes.first().is_some_and(|first| *first >= 0x80) { -1 } else { 0 };
    let (more, digits) = bytes.split_at(bytes.len().saturating_sub(16));
    let digits = digits.iter().fold(i128::from(sign), |digits, byte| digits << 8 | i128::from(*byte));
    // The bytes before the last sixteen may only repeat the sign.
    if more.iter().any(|byte| *byte as i8 != sign) || !more.is_empty() && (digits < 0) != (sign < 0) {
        return false;
    }
    let number = Decimal::new(digits, scale).and_then(|number| scalar.fitted(number));
    number.map(|digits| values.append_value(digits)).is_some()
}
