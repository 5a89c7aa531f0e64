//! The parser `csv`: the values of one line (RFC 4180).

use memchr::memchr;
use serde::Deserialize;
use weir_runtime::expressions::Reason;
use weir_runtime::parsers::{Parser, ParserCall};

use super::columns::is_text;
use super::pieces::{Cut, Cutter, Pieces};

#[derive(Deserialize)]
struct CsvSettings {
    delimiter: String,
    quote: String,
    absent: Option<String>,
    trim: bool,
}

struct Csv {
    delimiter: String,
    quote: String,
    absent: Option<String>,
    trim: bool,
    strict: bool,
    /// The fields of the schema; none for those that nothing reads, whose values are found all the same: a quote that is never
    /// closed fails the line whoever reads the field.
    columns: Vec<Option<CsvColumn>>,
}

/// A field that is read.
struct CsvColumn {
    /// Its number among the fields that are read.
    field: usize,
    is_nullable: bool,
    /// Whether an empty text in quotes is a value.
    is_text: bool,
}

/// A value of a line.
struct CsvValue {
    begin: usize,
    end: usize,
    is_quoted: bool,
    /// Whether the value contains doubled quotes.
    has_quotes: bool,
}

pub(super) fn make(call: &ParserCall<'_>) -> Result<Box<dyn Parser>, String> {
    let CsvSettings { delimiter, quote, absent, trim } =
        call.settings.read().map_err(|error| error.to_string())?;
    if delimiter.is_empty() || quote.is_empty() {
        return Err("its `delimiter` or its `quote`, which is empty".to_owned());
    }
    let mut columns = Vec::new();
    for (number, field) in call.fields.iter().enumerate() {
        columns.resize_with(field.place, || None);
        let (is_nullable, is_text) = (field.nullable, is_text(&field.data_type));
        columns.push(Some(CsvColumn { field: number, is_nullable, is_text }));
    }
    columns.resize_with(call.known, || None);
    Cutter::boxed(call, Csv { delimiter, quote, absent, trim, strict: call.strict, columns })
}

impl Cut for Csv {
    type Scratch = String;

    fn scratch(&self) -> String {
        String::new()
    }

    #[inline]
    fn cut(&self, body: &str, plain: &mut String, pieces: &mut Pieces) -> Result<(), Reason> {
        // The line end may have come with the line.
        let line = body.strip_suffix('\n').unwrap_or(body);
        let line = line.strip_suffix('\r').unwrap_or(line);
        let mut at = Some(0);
        for column in &self.columns {
            let Some(begin) = at else { break };
            let (value, next) = self.value(line, begin)?;
            at = next;
            let Some(column) = column else { continue };
            let field = column.field;
            let text = &line[value.begin..value.end];
            if !value.is_quoted && (text.is_empty() || self.absent.as_deref() == Some(text)) {
                match text.is_empty() {
                    true => pieces.set_empty(field, column.is_nullable, value.begin),
                    false => pieces.unset(field),
                }
            } else if text.is_empty() && !column.is_text {
                pieces.set_empty(field, column.is_nullable, value.begin);
            } else if value.has_quotes {
                plain.clear();
                plain.push_str(text);
                let doubled = format!("{0}{0}", self.quote);
                *plain = plain.replace(&doubled, &self.quote);
                pieces.set_copy(field, value.begin, value.end, plain.as_bytes());
            } else {
                pieces.set(field, value.begin, value.end);
            }
        }
        match at.filter(|_| self.strict) {
            Some(at) => Err(expected("the end of the line", body, at)),
            None => Ok(()),
        }
    }
}

impl Csv {
    /// Finds the value that begins here, and where the next one begins.
    #[inline]
    fn value(&self, line: &str, begin: usize) -> Result<(CsvValue, Option<usize>), Reason> {
        let begin = if self.trim { begin + blanks(&line[begin..]) } else { begin };
        if line[begin..].starts_with(&self.quote) {
            return self.quoted(line, begin + self.quote.len());
        }
        let (end, next) = match self.delimiter.as_bytes() {
            [delimiter] => memchr(*delimiter, &line.as_bytes()[begin..]),
            _ => line[begin..].find(&self.delimiter),
        }
        .map_or((line.len(), None), |found| (begin + found, Some(begin + found + self.delimiter.len())));
        let end = if self.trim { begin + line[begin..end].trim_end_matches(BLANKS).len() } else { end };
        Ok((CsvValue { begin, end, is_quoted: false, has_quotes: false }, next))
    }

    /// Finds the end of a value in quotes, which begins here.
    fn quoted(&self, line: &str, begin: usize) -> Result<(CsvValue, Option<usize>), Reason> {
        let (mut at, mut has_quotes) = (begin, false);
        let end = loop {
            let found = line[at..].find(&self.quote);
            let end = at + found.ok_or_else(|| expected("a value with a closing quote", line, begin))?;
            at = end + self.quote.len();
            if !line[at..].starts_with(&self.quote) {
                break end;
            }
            has_quotes = true;
            at += self.quote.len();
        };
        if self.trim {
            at += blanks(&line[at..]);
        }
        let value = CsvValue { begin, end, is_quoted: true, has_quotes };
        match &line[at..] {
            "" => Ok((value, None)),
            rest if rest.starts_with(&self.delimiter) => Ok((value, Some(at + self.delimiter.len()))),
            _ => Err(expected("a delimiter after a quoted value", line, at)),
        }
    }
}

/// Blank space around values.
const BLANKS: [char; 2] = [' ', '\t'];

fn blanks(text: &str) -> usize {
    text.len() - text.trim_start_matches(BLANKS).len()
}

#[cold]
fn expected(what: &'static str, line: &str, at: usize) -> Reason {
    Reason::unreadable(None, what, &line.as_bytes()[at..], at)
}

#[cfg(test)]
mod tests;
