//! The rows of a batch for which an expression failed, with the reasons.

use std::fmt;

/// Why an operation failed for a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The result is larger than its type can hold.
    Overflow,
    /// The divisor is 0.
    DivisionByZero,
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Reason::Overflow => "the result is larger than can be counted",
            Reason::DivisionByZero => "the divisor is 0",
        })
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
        self.0.first().copied()
    }

    /// The rows that failed.
    pub fn rows(&self) -> impl Iterator<Item = usize> {
        self.0.iter().map(|(row, _)| *row)
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
        Failures(reason.into_iter().flat_map(|reason| (0..rows).map(move |row| (row, reason))).collect())
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
        Failures(rows.iter().map(|row| (*row, reason)).collect())
    }

    #[test]
    fn a_row_fails_once_and_the_first_reason_counts() {
        let both = failed(&[1, 4], Reason::Overflow).and(failed(&[0, 4, 5], Reason::DivisionByZero));
        let reasons = [Reason::DivisionByZero, Reason::Overflow, Reason::Overflow, Reason::DivisionByZero];
        assert_eq!(both.0, [0, 1, 4, 5].into_iter().zip(reasons).collect::<Vec<_>>());
        assert_eq!(both.retain(|row| row > 3).rows().collect::<Vec<_>>(), [4, 5]);
    }
}
