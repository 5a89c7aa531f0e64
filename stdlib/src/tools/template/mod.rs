//! Templates: text with holes that are filled from the columns of a batch.
//!
//! A [`Renderer`] is made once from a setting and bound to each batch ([`Bound`]). A bound template renders the text of
//! a row, and finds runs: consecutive rows with the same text, of which only the first is rendered. In a run, a hole
//! costs a comparison for each row; the text of a time is reused for the smallest unit of its pattern.
//!
//! **Paths.** In a path ([`Renderer::for_path`]) a value can't leave the directory that the program names: see
//! [`segment`] for the escaping.

mod filled;
mod segment;
mod time;

use std::cell::RefCell;
use std::fmt::{self, Write};
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Decimal128Type, DurationMicrosecondType, Float64Type, Int64Type, TimestampMicrosecondType, UInt64Type,
};
use arrow_array::{
    Array, BinaryViewArray, BooleanArray, FixedSizeBinaryArray, PrimitiveArray, StringViewArray,
};
use arrow_schema::{DataType, TimeUnit};
use thiserror::Error;
use weir_plan::{HoleFormat, Template, TemplatePart};
use weir_runtime::batch::{Batch, Column};

use crate::formats::text::{write_duration, write_ip};
pub(crate) use filled::register;
pub(crate) use time::{TimePattern, TimeText};

/// Why a template can't be used.
#[derive(Debug, Error)]
pub(crate) enum TemplateError {
    /// The time zone does not exist.
    #[error("there is no time zone `{zone}`")]
    Zone {
        /// The name of the zone.
        zone: String,
        /// The error of the lookup.
        #[source]
        source: jiff::Error,
    },
    /// A `strftime` pattern that can't be formatted.
    #[error("the time pattern `{pattern}` can't be written")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// The error of the formatting.
        #[source]
        source: jiff::Error,
    },
    /// The events lack the column of a hole.
    #[error("the events have no column `{column}` for the template's hole")]
    Missing {
        /// The column.
        column: String,
    },
    /// A column has a type that its hole can't write.
    #[error("column `{column}` is {found}, which a template can't write as {format}")]
    Type {
        /// The column.
        column: String,
        /// Its type.
        found: DataType,
        /// The format of the hole.
        format: &'static str,
    },
}

/// Fills a template's holes.
#[derive(Debug)]
pub(crate) struct Renderer {
    parts: Vec<Part>,
    /// Whether the text is a path, in which values must stay within their segment.
    path: bool,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Hole { column: String, format: Format },
}

#[derive(Debug)]
enum Format {
    /// The usual form of the type; times by RFC 3339 in the template's zone.
    Plain(TimePattern),
    Padded(usize),
    Time(TimePattern),
}

impl Format {
    fn name(&self) -> &'static str {
        match self {
            Format::Plain(_) => "text",
            Format::Padded(_) => "a padded number",
            Format::Time(_) => "a time",
        }
    }
}

impl Renderer {
    /// Makes a renderer of plain text, with times in this IANA time zone.
    ///
    /// # Errors
    /// When the zone does not exist, or a pattern can't be formatted.
    pub(crate) fn new(template: &Template, zone: &str) -> Result<Renderer, TemplateError> {
        Renderer::make(template, zone, None, false)
    }

    /// Makes a renderer of paths: values can neither add a segment nor leave theirs, and no segment is empty. Times are
    /// rounded down to a multiple of `round`, by the clock of the zone.
    ///
    /// # Errors
    /// When the zone does not exist, or a pattern can't be formatted.
    pub(crate) fn for_path(
        template: &Template,
        zone: &str,
        round: Option<Duration>,
    ) -> Result<Renderer, TemplateError> {
        let mut renderer = Renderer::make(template, zone, round, true)?;
        segment::normalise(renderer.parts.iter_mut().filter_map(|part| match part {
            Part::Text(text) => Some(text),
            Part::Hole { .. } => None,
        }));
        let only_part = renderer.parts.len() == 1;
        if let Some(Part::Text(last)) = renderer.parts.last_mut()
            && last.ends_with('/')
            && !(only_part && last == "/")
        {
            last.pop();
        }
        Ok(renderer)
    }

    fn make(
        template: &Template,
        zone: &str,
        round: Option<Duration>,
        path: bool,
    ) -> Result<Renderer, TemplateError> {
        let zone = jiff::tz::TimeZone::get(zone)
            .map_err(|source| TemplateError::Zone { zone: zone.to_string(), source })?;
        let parts = template.parts.iter().map(|part| match part {
            TemplatePart::Text(text) => Ok(Part::Text(text.clone())),
            TemplatePart::Hole(hole) => {
                let format = match &hole.format {
                    HoleFormat::Plain => Format::Plain(TimePattern::rfc3339(&zone)?.rounded(round)),
                    HoleFormat::Padded(digits) => Format::Padded(usize::from(*digits)),
                    HoleFormat::Time(pattern) => {
                        Format::Time(TimePattern::new(pattern, &zone)?.rounded(round))
                    }
                };
                Ok(Part::Hole { column: hole.column.clone(), format })
            }
        });
        Ok(Renderer { parts: parts.collect::<Result<_, TemplateError>>()?, path })
    }

    /// Returns the text before the first hole; the complete text if there is no hole.
    pub(crate) fn fixed_prefix(&self) -> &str {
        match self.parts.first() {
            Some(Part::Text(text)) => text,
            _ => "",
        }
    }

    /// Whether the template is empty.
    pub(crate) fn is_empty(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Part::Text(text) if text.is_empty()))
    }

    /// Whether the template has a hole.
    pub(crate) fn has_holes(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Hole { .. }))
    }

    /// Returns the end of the time in which a template filled with this time has the same text, in microseconds; none if no
    /// hole has the form of a time.
    pub(crate) fn end_of_time(&self, microseconds: i64) -> Option<i64> {
        let ends = self.parts.iter().filter_map(|part| match part {
            Part::Hole { format: Format::Time(pattern), .. } => Some(pattern.end(microseconds)),
            _ => None,
        });
        ends.min()
    }

    /// Returns the most directories that a path leads through. They come from the program's own text and time patterns;
    /// values can't add any ([`Renderer::for_path`]).
    pub(crate) fn depth(&self) -> usize {
        let slashes = |text: &str| text.matches('/').count();
        let depth = |part: &Part| match part {
            Part::Text(text) => slashes(text),
            Part::Hole { format: Format::Time(pattern), .. } => slashes(&pattern.example()),
            Part::Hole { .. } => 0,
        };
        1 + self.parts.iter().map(depth).sum::<usize>()
    }

    /// Returns the texts that come from the program: the text between holes, and an example of each time pattern. For
    /// checks at the start, before there is an event.
    #[cfg(feature = "hdfs")]
    pub(crate) fn program_texts(&self) -> impl Iterator<Item = String> {
        self.parts.iter().filter_map(|part| match part {
            Part::Text(text) => Some(text.clone()),
            Part::Hole { format: Format::Time(pattern), .. } => Some(pattern.example()),
            Part::Hole { .. } => None,
        })
    }

    /// Checks that columns of these types can fill the holes.
    ///
    /// # Errors
    /// When a column is missing or has a type that its hole can't write.
    pub(crate) fn check<'t>(
        &self,
        data_type: impl Fn(&str) -> Option<&'t DataType>,
    ) -> Result<(), TemplateError> {
        for part in &self.parts {
            let Part::Hole { column, format } = part else { continue };
            let missing = || TemplateError::Missing { column: column.clone() };
            let found = data_type(column).ok_or_else(missing)?;
            let example = arrow_array::new_empty_array(found);
            if Values::new(&example, format).is_none() {
                let (column, found) = (column.clone(), found.clone());
                return Err(TemplateError::Type { column, found, format: format.name() });
            }
        }
        Ok(())
    }

    /// Binds the holes to a batch's columns.
    ///
    /// # Errors
    /// When a column is missing or has a type that its hole can't write.
    pub(crate) fn bind<'a>(&'a self, batch: &'a Batch) -> Result<Bound<'a>, TemplateError> {
        self.bind_columns(|name| batch.column(name), batch.rows())
    }

    /// Binds the holes to the columns that `find` returns, of `rows` rows.
    ///
    /// # Errors
    /// When a column is missing or has a type that its hole can't write.
    pub(crate) fn bind_columns<'a>(
        &'a self,
        find: impl Fn(&str) -> Option<&'a Column>,
        rows: usize,
    ) -> Result<Bound<'a>, TemplateError> {
        let parts = self.parts.iter().map(|part| match part {
            Part::Text(text) => Ok(BoundPart::Text(text)),
            Part::Hole { column: name, format } => {
                let missing = || TemplateError::Missing { column: name.clone() };
                let (column, array) = find_part(name, &find).ok_or_else(missing)?;
                let values = Values::new(array, format).ok_or_else(|| TemplateError::Type {
                    column: name.clone(),
                    found: array.data_type().clone(),
                    format: format.name(),
                })?;
                Ok(BoundPart::Hole(BoundHole { column, values, path: self.path }))
            }
        });
        let parts = parts.collect::<Result<_, TemplateError>>()?;
        Ok(Bound { parts, rows, path: self.path })
    }
}

/// Returns the column that a hole names, with its values; for a path such as `place.city`, the values of the field `city` of
/// the records in the column `place`.
fn find_part<'a>(
    path: &str,
    find: impl Fn(&str) -> Option<&'a Column>,
) -> Option<(&'a Column, &'a dyn Array)> {
    if let Some(column) = find(path) {
        return Some((column, column.values()));
    }
    let mut names = path.split('.');
    let column = find(names.next()?)?;
    let mut values = column.values();
    for name in names {
        values = &**values.as_struct_opt()?.column_by_name(name)?;
    }
    Some((column, values))
}

/// A template that is bound to the columns of a batch.
#[derive(Debug)]
pub(crate) struct Bound<'a> {
    parts: Vec<BoundPart<'a>>,
    rows: usize,
    path: bool,
}

#[derive(Debug)]
enum BoundPart<'a> {
    Text(&'a str),
    Hole(BoundHole<'a>),
}

#[derive(Debug)]
struct BoundHole<'a> {
    column: &'a Column,
    values: Values<'a>,
    path: bool,
}

#[derive(Debug)]
enum Values<'a> {
    Bool(&'a BooleanArray),
    Int(&'a PrimitiveArray<Int64Type>, usize),
    Size(&'a PrimitiveArray<UInt64Type>),
    Float(&'a PrimitiveArray<Float64Type>),
    Decimal(&'a PrimitiveArray<Decimal128Type>),
    Duration(&'a PrimitiveArray<DurationMicrosecondType>),
    Ip(&'a FixedSizeBinaryArray),
    Text(&'a StringViewArray),
    Bytes(&'a BinaryViewArray),
    /// A time. If `by_program`, the pattern is the program's own, which may contain slashes.
    Time {
        times: &'a PrimitiveArray<TimestampMicrosecondType>,
        pattern: &'a TimePattern,
        by_program: bool,
        last: RefCell<TimeText>,
    },
}

impl<'a> Values<'a> {
    fn new(values: &'a dyn Array, format: &'a Format) -> Option<Values<'a>> {
        Some(match (values.data_type(), format) {
            (DataType::Boolean, Format::Plain(_)) => Values::Bool(values.as_boolean()),
            (DataType::Int64, Format::Plain(_)) => Values::Int(values.as_primitive(), 0),
            (DataType::Int64, Format::Padded(digits)) => Values::Int(values.as_primitive(), *digits),
            (DataType::UInt64, Format::Plain(_)) => Values::Size(values.as_primitive()),
            (DataType::Float64, Format::Plain(_)) => Values::Float(values.as_primitive()),
            (DataType::Decimal128(..), Format::Plain(_)) => Values::Decimal(values.as_primitive()),
            (DataType::Duration(TimeUnit::Microsecond), Format::Plain(_)) => {
                Values::Duration(values.as_primitive())
            }
            (DataType::FixedSizeBinary(16), Format::Plain(_)) => Values::Ip(values.as_fixed_size_binary()),
            (DataType::Utf8View, Format::Plain(_)) => Values::Text(values.as_string_view()),
            (DataType::BinaryView, Format::Plain(_)) => Values::Bytes(values.as_binary_view()),
            (
                DataType::Timestamp(TimeUnit::Microsecond, Some(_)),
                Format::Plain(pattern) | Format::Time(pattern),
            ) => Values::Time {
                times: values.as_primitive(),
                pattern,
                by_program: matches!(format, Format::Time(_)),
                last: RefCell::default(),
            },
            _ => return None,
        })
    }
}

impl Bound<'_> {
    /// Returns the first row behind `row` whose text differs from this row's, or the number of rows.
    pub(crate) fn run_end(&self, row: usize) -> usize {
        self.parts.iter().fold(self.rows, |end, part| match part {
            BoundPart::Text(_) => end,
            BoundPart::Hole(hole) => hole.run_end(row, end),
        })
    }

    /// Returns the end of the times that have the same text as this row's, in microseconds: of several holes with times, the
    /// earliest end. None if no hole is a time.
    pub(crate) fn end_of_time(&self, row: usize) -> Option<i64> {
        let ends = self.parts.iter().filter_map(|part| match part {
            BoundPart::Hole(BoundHole { column, values: Values::Time { times, pattern, .. }, .. }) => {
                Some(pattern.end(times.value(column.index(row))))
            }
            _ => None,
        });
        ends.min()
    }

    /// Appends a row's text.
    pub(crate) fn render(&self, row: usize, text: &mut String) {
        let start = text.len();
        for part in &self.parts {
            match part {
                BoundPart::Text(fixed) => text.push_str(fixed),
                BoundPart::Hole(hole) => hole.render(row, text),
            }
        }
        if self.path {
            segment::shorten(text, start);
        }
    }
}

impl BoundHole<'_> {
    fn render(&self, row: usize, text: &mut String) {
        let index = self.column.index(row);
        // Writing into a string can't fail.
        let _infallible = match &self.values {
            Values::Bool(values) => write!(text, "{}", values.value(index)),
            Values::Int(values, digits) => write!(text, "{:0digits$}", values.value(index), digits = *digits),
            Values::Size(values) => write!(text, "{}", values.value(index)),
            Values::Float(values) => write!(text, "{}", values.value(index)),
            Values::Decimal(values) => text.write_str(&values.value_as_string(index)),
            Values::Duration(values) => self.push(text, |out| write_duration(values.value(index), out)),
            Values::Ip(values) => self.push(text, |out| write_ip(values.value(index), out)),
            Values::Text(values) if self.path => segment::push(text, values.value(index).as_bytes()),
            Values::Text(values) => text.write_str(values.value(index)),
            Values::Bytes(values) if self.path => segment::push(text, values.value(index)),
            Values::Bytes(values) => text.write_str(&String::from_utf8_lossy(values.value(index))),
            Values::Time { times, pattern, by_program, last } => {
                let mut last = last.borrow_mut();
                let written = last.at(times.value(index), pattern);
                match self.path && !by_program {
                    true => segment::push(text, written.as_bytes()),
                    false => text.write_str(written),
                }
            }
        };
    }

    /// Appends the text that `write` writes.
    fn push(&self, text: &mut String, write: impl FnOnce(&mut Vec<u8>)) -> fmt::Result {
        let mut written = Vec::new();
        write(&mut written);
        match self.path {
            true => segment::push(text, &written),
            false => text.write_str(&String::from_utf8_lossy(&written)),
        }
    }

    /// Returns the end of the run of equal values that begins at `row`, at most `limit`.
    fn run_end(&self, row: usize, limit: usize) -> usize {
        if matches!(self.column, Column::Constant(_)) {
            return limit;
        }
        match &self.values {
            Values::Bool(values) => run(row, limit, |other| values.value(other) == values.value(row)),
            Values::Int(values, _) => equal_run(values.values(), row, limit),
            Values::Size(values) => equal_run(values.values(), row, limit),
            Values::Float(values) => equal_run(values.values(), row, limit),
            Values::Decimal(values) => equal_run(values.values(), row, limit),
            Values::Duration(values) => equal_run(values.values(), row, limit),
            Values::Ip(values) => run(row, limit, |other| values.value(other) == values.value(row)),
            // Equal views have equal values. Different views may have equal values, stored twice.
            Values::Text(values) => {
                let (views, first) = (values.views(), values.value(row));
                run(row, limit, |other| views[other] == views[row] || values.value(other) == first)
            }
            Values::Bytes(values) => {
                let (views, first) = (values.views(), values.value(row));
                run(row, limit, |other| views[other] == views[row] || values.value(other) == first)
            }
            Values::Time { times, pattern, last, .. } => {
                let (times, mut last) = (times.values(), last.borrow_mut());
                last.at(times[row], pattern);
                run(row, limit, |other| last.holds(times[other]))
            }
        }
    }
}

/// Returns the first row in `row + 1..limit` whose value is not the same as in `row`, or `limit`.
fn run(row: usize, limit: usize, mut same: impl FnMut(usize) -> bool) -> usize {
    (row + 1..limit).find(|other| !same(*other)).unwrap_or(limit)
}

fn equal_run<T: PartialEq>(values: &[T], row: usize, limit: usize) -> usize {
    run(row, limit, |other| values[other] == values[row])
}

#[cfg(test)]
mod tests;
