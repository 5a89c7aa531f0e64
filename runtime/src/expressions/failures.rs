//! The rows of a batch for which an expression failed, with the reasons.

use std::fmt;
use std::sync::Arc;

use arrow_array::BooleanArray;

use crate::observability::meter::ReasonKind;

/// Why an operation failed for a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The result is larger than its type can hold.
    Overflow,
    /// The result would be larger than a function may make it of its arguments.
    TooLarge,
    /// The divisor is 0.
    DivisionByZero,
    /// The body lacks this field, which must have a value.
    MissingField(Arc<str>),
    /// A parser can't read a body, or a field of it.
    Unreadable(Unreadable),
}

/// The part of a body that a parser can't read. It is small, since every body of a batch may fail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    field: Option<Arc<str>>,
    expected: &'static str,
    byte: u32,
    length: u32,
    /// The first bytes of the part.
    quoted: Box<[u8]>,
}

/// A message quotes at most this many bytes of a body.
const QUOTED_BYTES_MAX: usize = 64;

impl Reason {
    /// Makes the reason that the bytes `found`, at offset `byte` of the body, are not `expected` ("an Int"). Without a
    /// field, they are the complete body.
    pub fn unreadable(field: Option<&Arc<str>>, expected: &'static str, found: &[u8], byte: usize) -> Reason {
        let quoted = found[..found.len().min(QUOTED_BYTES_MAX)].into();
        let [byte, length] = [byte, found.len()].map(|number| u32::try_from(number).unwrap_or(u32::MAX));
        Reason::Unreadable(Unreadable { field: field.cloned(), expected, byte, length, quoted })
    }

    /// The kind of the reason.
    pub fn kind(&self) -> ReasonKind {
        match self {
            Reason::Overflow | Reason::TooLarge => ReasonKind::Overflow,
            Reason::DivisionByZero => ReasonKind::DivisionByZero,
            Reason::MissingField(_) => ReasonKind::Missing,
            Reason::Unreadable(Unreadable { field: Some(_), .. }) => ReasonKind::Conversion,
            Reason::Unreadable(Unreadable { field: None, .. }) => ReasonKind::Parse,
        }
    }

    /// The field of the body with which the reason has to do; none if it is the complete body, or a computed value.
    pub fn field(&self) -> Option<&str> {
        match self {
            Reason::MissingField(field) => Some(field),
            Reason::Unreadable(Unreadable { field, .. }) => field.as_deref(),
            Reason::Overflow | Reason::TooLarge | Reason::DivisionByZero => None,
        }
    }

    /// Returns the reason without the bytes that it quotes, since they are of a sensitive value.
    #[must_use]
    pub fn masked(&self) -> Reason {
        match self {
            Reason::Unreadable(unreadable) => {
                let quoted = MASK.as_bytes().into();
                Reason::Unreadable(Unreadable { quoted, length: MASK.len() as u32, ..unreadable.clone() })
            }
            Reason::Overflow | Reason::TooLarge | Reason::DivisionByZero | Reason::MissingField(_) => {
                self.clone()
            }
        }
    }
}

/// The text that stands for a sensitive value.
pub(crate) const MASK: &str = "***";

impl fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Unreadable { field, expected, byte, length, quoted } = self;
        if let Some(field) = field {
            write!(formatter, "field `{field}`: ")?;
        }
        let is_cut = *length as usize > quoted.len();
        let text = String::from_utf8_lossy(quoted);
        // The cut may be in the middle of a character.
        let text = if is_cut { text.trim_end_matches(char::REPLACEMENT_CHARACTER) } else { &text };
        let more = if is_cut { "…" } else { "" };
        write!(formatter, "\"{}{more}\" at byte {byte} is not {expected}", text.escape_debug())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Overflow => formatter.write_str("the result is larger than can be counted"),
            Reason::TooLarge => {
                formatter.write_str("the result would be larger than 1 MiB and sixteen times its arguments")
            }
            Reason::DivisionByZero => formatter.write_str("the divisor is 0"),
            Reason::MissingField(field) => write!(formatter, "the body has no field `{field}`"),
            Reason::Unreadable(unreadable) => unreadable.fmt(formatter),
        }
    }
}

/// The rows of a batch that failed, in ascending order, each once with its first reason. Allocates nothing while no row
/// fails.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failures(Vec<(usize, Reason)>);

impl Failures {
    /// Adds a row, which has to come after all rows added before.
    ///
    /// # Panics
    /// In debug builds, when it does not.
    pub fn push(&mut self, row: usize, reason: Reason) {
        debug_assert!(self.0.last().is_none_or(|(last, _)| *last < row), "rows are added in order");
        self.0.push((row, reason));
    }

    /// Whether no row failed.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The first row that failed, and why.
    pub fn first(&self) -> Option<(usize, Reason)> {
        self.0.first().cloned()
    }

    /// The rows that failed, with the reasons.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &(usize, Reason)> {
        self.0.iter()
    }

    /// The rows that failed.
    pub fn rows(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|(row, _)| *row)
    }

    /// Returns a mask of the rows that failed, for a batch of `rows` rows.
    pub(crate) fn mask(&self, rows: usize) -> BooleanArray {
        let mut failed = vec![false; rows];
        self.rows().for_each(|row| failed[row] = true);
        BooleanArray::from(failed)
    }

    /// Returns the rows of both. A row that is in both keeps the reason of `self`.
    pub(super) fn and(mut self, other: Failures) -> Failures {
        if self.0.is_empty() {
            return other;
        }
        if !other.0.is_empty() {
            self.0.extend(other.0);
            // The sort is stable, so the reason of `self` comes first and is kept.
            self.0.sort_by_key(|(row, _)| *row);
            self.0.dedup_by_key(|(row, _)| *row);
        }
        self
    }

    /// Returns failures of `rows` rows with the first reason, since an operation that fails for a constant fails for
    /// every row.
    pub(super) fn repeated(self, rows: usize) -> Failures {
        let reason = self.first().map(|(_, reason)| reason);
        Failures(
            reason.into_iter().flat_map(|reason| (0..rows).map(move |row| (row, reason.clone()))).collect(),
        )
    }

    /// Returns the failures of rows of a part of a batch as failures of the batch, of which these are the part's rows.
    pub(super) fn of_rows(mut self, rows: &[usize]) -> Failures {
        self.0.iter_mut().for_each(|(row, _)| *row = rows[*row]);
        self
    }

    /// Returns the failures of the rows of the mask, as failures of a batch that has only these rows.
    pub(super) fn selected(&self, mask: &BooleanArray) -> Failures {
        let (mut begin, mut place) = (0, 0);
        let of_mask = self.0.iter().filter_map(|(row, reason)| {
            place += mask.values().slice(begin, row - begin).count_set_bits();
            begin = *row;
            mask.value(*row).then(|| (place, reason.clone()))
        });
        Failures(of_mask.collect())
    }

    /// Keeps only the failures of rows for which `is_evaluated` is true.
    pub(super) fn retain(mut self, is_evaluated: impl Fn(usize) -> bool) -> Failures {
        self.0.retain(|(row, _)| is_evaluated(*row));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failed(rows: &[usize], reason: Reason) -> Failures {
        Failures(rows.iter().map(|row| (*row, reason.clone())).collect())
    }

    #[test]
    fn a_message_quotes_the_beginning_of_unreadable_bytes() {
        let short = Reason::unreadable(Some(&"status".into()), "an Int", b"2xx", 12);
        assert_eq!(short.to_string(), "field `status`: \"2xx\" at byte 12 is not an Int");
        let long = Reason::unreadable(None, "UTF-8", &[b'a', 0xff].repeat(50), 0).to_string();
        assert!(long.contains('…') && long.len() < 300, "{long}");
    }

    #[test]
    fn a_masked_reason_keeps_the_place_and_quotes_nothing() {
        let reason = Reason::unreadable(Some(&"age".into()), "an Int", b"secret", 12).masked();
        assert_eq!(reason.to_string(), "field `age`: \"***\" at byte 12 is not an Int");
        assert_eq!((reason.kind(), reason.field()), (ReasonKind::Conversion, Some("age")));
        assert_eq!(Reason::unreadable(None, "UTF-8", b"secret", 0).kind(), ReasonKind::Parse);
    }

    #[test]
    fn a_row_fails_once_and_the_first_reason_counts() {
        let both = failed(&[1, 4], Reason::Overflow).and(failed(&[0, 4, 5], Reason::DivisionByZero));
        let reasons = [Reason::DivisionByZero, Reason::Overflow, Reason::Overflow, Reason::DivisionByZero];
        assert_eq!(both.0, [0, 1, 4, 5].into_iter().zip(reasons).collect::<Vec<_>>());
        assert_eq!(both.retain(|row| row > 3).rows().collect::<Vec<_>>(), [4, 5]);
    }
}
