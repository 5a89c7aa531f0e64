//! The parsers `access_log` and `regex`, against loops with memchr and with a regular expression.

use std::error::Error;
use std::sync::Arc;

use arrow_array::builder::{Int64Builder, StringViewBuilder, TimestampMicrosecondBuilder, UInt64Builder};
use arrow_array::{Array, ArrayRef, BinaryViewArray};
use jiff::fmt::strtime::BrokenDownTime;
use memchr::memchr;

use super::{batches, ours, parser, timed};
use crate::Outcome;
use crate::rounds::pairs;

const ACCESS_LOG: &str = "
source lines = generate {}
sink nowhere = null {}
flow main { lines -> parse access_log else drop -> nowhere }
";

/// Returns a line in the combined format, of about 200 bytes.
pub(crate) fn access_line(number: u64) -> String {
    let random = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    format!(
        r#"{}.{}.{}.{} - - [10/Oct/2026:13:{:02}:{:02} +0000] "GET /images/products/{random:x}.webp?rid={number:09} HTTP/1.1" {} {} "https://search.example.org/?q=log+pipelines" "Mozilla/5.0 (X11; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0""#,
        random % 256,
        (random >> 8) % 256,
        (random >> 16) % 256,
        (random >> 24) % 256,
        number / 3_000 % 60,
        number / 50 % 60,
        200 + random % 5,
        random % 200_000,
    )
}

/// The builders of an access log's columns.
struct AccessColumns {
    texts: [StringViewBuilder; 8],
    at: TimestampMicrosecondBuilder,
    status: Int64Builder,
    size: UInt64Builder,
    last: (String, i64),
}

impl AccessColumns {
    fn new(rows: usize) -> AccessColumns {
        AccessColumns {
            texts: [(); 8].map(|()| StringViewBuilder::with_capacity(rows)),
            at: TimestampMicrosecondBuilder::with_capacity(rows),
            status: Int64Builder::with_capacity(rows),
            size: UInt64Builder::with_capacity(rows),
            last: (String::new(), 0),
        }
    }

    fn time(&mut self, text: &str) -> Result<(), Box<dyn Error>> {
        if self.last.0 != text {
            let time = BrokenDownTime::parse("%d/%b/%Y:%H:%M:%S %z", text)?.to_timestamp()?;
            self.last = (text.to_owned(), time.as_microsecond());
        }
        self.at.append_value(self.last.1);
        Ok(())
    }

    fn finish(mut self) -> Vec<ArrayRef> {
        let mut columns: Vec<ArrayRef> = Vec::new();
        for mut text in self.texts {
            columns.push(Arc::new(text.finish()));
        }
        columns.push(Arc::new(self.at.finish()));
        columns.push(Arc::new(self.status.finish()));
        columns.push(Arc::new(self.size.finish()));
        columns
    }
}

/// Cuts lines without escapes at spaces, brackets and quotes.
fn bare_access_log(bodies: &BinaryViewArray) -> Result<Vec<ArrayRef>, Box<dyn Error>> {
    let mut columns = AccessColumns::new(bodies.len());
    for row in 0..bodies.len() {
        let mut rest = std::str::from_utf8(bodies.value(row))?;
        let mut until = |byte: u8, skipped: usize| -> Result<&str, Box<dyn Error>> {
            let end = memchr(byte, rest.as_bytes()).ok_or("a part is missing")?;
            let part = &rest[..end];
            rest = rest.get(end + skipped..).ok_or("the line ends")?;
            Ok(part)
        };
        let client = until(b' ', 1)?;
        until(b' ', 1)?;
        let user = until(b' ', 2)?;
        let time = until(b']', 3)?;
        let request = until(b'"', 2)?;
        let status = until(b' ', 1)?;
        let size = until(b' ', 2)?;
        let referrer = until(b'"', 3)?;
        let agent = until(b'"', 1)?;
        let (method, target) = request.split_once(' ').ok_or("no method")?;
        let (path, protocol) = target.rsplit_once(' ').ok_or("no protocol")?;
        let texts = [client, user, method, path, protocol, request, referrer, agent];
        for (column, text) in columns.texts.iter_mut().zip(texts) {
            column.append_option(Some(text).filter(|text| *text != "-"));
        }
        columns.time(time)?;
        columns.status.append_value(status.parse()?);
        columns.size.append_value(size.parse()?);
    }
    Ok(columns.finish())
}

/// Finds the parts with a regular expression.
fn regex_access_log(
    pattern: &regex::Regex,
    bodies: &BinaryViewArray,
) -> Result<Vec<ArrayRef>, Box<dyn Error>> {
    let mut columns = AccessColumns::new(bodies.len());
    let mut groups = pattern.capture_locations();
    for row in 0..bodies.len() {
        let line = std::str::from_utf8(bodies.value(row))?;
        pattern.captures_read(&mut groups, line).ok_or("no match")?;
        let group = |number: usize| groups.get(number).map_or("-", |(begin, end)| &line[begin..end]);
        for (column, number) in columns.texts.iter_mut().zip([1, 2, 5, 6, 7, 4, 10, 11]) {
            column.append_option(Some(group(number)).filter(|text| *text != "-"));
        }
        columns.time(group(3))?;
        columns.status.append_value(group(8).parse()?);
        columns.size.append_value(group(9).parse()?);
    }
    Ok(columns.finish())
}

const ACCESS_PATTERN: &str =
    r#"^(\S+) \S+ (\S+) \[([^\]]+)\] "((\S+) (\S+) (\S+))" (\d{3}) (\d+) "([^"]*)" "([^"]*)""#;

const REGEX: &str = r#"
schema Request { client: Text, user: Text, method: Text, path: Text, protocol: Text, status: Int, size: Int }
source lines = generate {}
sink nowhere = null {}
flow main {
  lines
    -> parse regex r"^(?<client>\S+) \S+ (?<user>\S+) \[[^\]]+\] .(?<method>\S+) (?<path>\S+) (?<protocol>[^ \x22]+). (?<status>\d{3}) (?<size>\d+)" as Request else drop
    -> nowhere
}
"#;

const GROUPS_PATTERN: &str = r"^(\S+) \S+ (\S+) \[[^\]]+\] .(\S+) (\S+) ([^ \x22]+). (\d{3}) (\d+)";

/// Finds the groups of a pattern, and fills vectors with them.
fn groups_into_vectors(
    pattern: &regex::Regex,
    bodies: &BinaryViewArray,
) -> Result<Vec<ArrayRef>, Box<dyn Error>> {
    let rows = bodies.len();
    let mut texts = [(); 5].map(|()| StringViewBuilder::with_capacity(rows));
    let mut numbers = [(); 2].map(|()| Int64Builder::with_capacity(rows));
    let mut groups = pattern.capture_locations();
    for row in 0..rows {
        let line = std::str::from_utf8(bodies.value(row))?;
        pattern.captures_read(&mut groups, line).ok_or("no match")?;
        let group =
            |number: usize| groups.get(number).map(|(begin, end)| &line[begin..end]).ok_or("no group");
        for (column, number) in texts.iter_mut().zip(1..) {
            column.append_value(group(number)?);
        }
        for (column, number) in numbers.iter_mut().zip(6..) {
            column.append_value(group(number)?.parse()?);
        }
    }
    let mut columns: Vec<ArrayRef> = Vec::new();
    for mut text in texts {
        columns.push(Arc::new(text.finish()));
    }
    for mut number in numbers {
        columns.push(Arc::new(number.finish()));
    }
    Ok(columns)
}

/// # Errors
/// When a line can't be parsed.
pub(crate) fn measure_regex(rounds: usize, lines: u64) -> Outcome {
    println!("parse regex: {lines} lines of an access log, seven groups");
    let batches = batches(lines.min(1 << 18), access_line);
    let times = lines.div_ceil(1 << 18);
    let parser = parser(REGEX)?;
    let pattern = regex::Regex::new(GROUPS_PATTERN)?;
    let weir = || timed(&batches, times, |bodies| ours(&*parser, bodies));
    pairs(rounds, "regex and builders", weir, || {
        timed(&batches, times, |bodies| groups_into_vectors(&pattern, bodies))
    })
}

/// # Errors
/// When a line can't be parsed.
pub(crate) fn measure_access_log(rounds: usize, lines: u64) -> Outcome {
    println!("parse access_log: {lines} lines of the combined format into eleven columns");
    let batches = batches(lines.min(1 << 18), access_line);
    let times = lines.div_ceil(1 << 18);
    let parser = parser(ACCESS_LOG)?;
    let weir = || timed(&batches, times, |bodies| ours(&*parser, bodies));
    pairs(rounds, "memchr and builders", weir, || timed(&batches, times, bare_access_log))?;
    let pattern = regex::Regex::new(ACCESS_PATTERN)?;
    let weir = || timed(&batches, times, |bodies| ours(&*parser, bodies));
    pairs(rounds, "regex and builders", weir, || {
        timed(&batches, times, |bodies| regex_access_log(&pattern, bodies))
    })
}
