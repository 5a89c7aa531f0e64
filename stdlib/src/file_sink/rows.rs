//! Rows of a batch on their way into one file.

use std::collections::HashMap;
use std::io;
use std::ops::Range;

use thiserror::Error;
use weir_runtime::Acknowledgement;
use weir_runtime::batch::Batch;
use weir_runtime::sink::Delivery;

use super::ledger::{Arrived, Known, LedgerError, note};
use crate::formats::{Encoder, Formatting, Gathered};
use crate::template::{Bound, Renderer, TemplateError};

/// Why a batch can't be written. It never can: the plan does not fit the component.
#[derive(Debug, Error)]
pub(super) enum RowsError {
    /// Of the path.
    #[error("path: {0}")]
    Template(#[from] TemplateError),
    /// Of a promise.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Rows of one batch that go to one directory, with their shares of its acknowledgement.
pub(super) struct Rows {
    batch: Batch,
    /// Which of the batch's, in order.
    ranges: Vec<Range<u32>>,
    /// Those rows as the file's format wants them; made when the first is encoded.
    gathered: Option<Gathered>,
    /// How many of them are encoded.
    next: usize,
    /// How many are not.
    left: usize,
    /// One share for each row that is in no file yet.
    acknowledgement: Acknowledgement,
    /// The number of the delivery that they came with.
    pub(super) delivery: u64,
    /// About what they take up.
    pub(super) bytes: u64,
}

impl Rows {
    /// How many rows are left to be encoded.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Encodes some rows: until enough is staged, the file has reached its size, or `most`.
    ///
    /// # Errors
    /// When the encoder fails.
    pub(super) fn encode(
        &mut self,
        formatting: &Formatting,
        encoder: &mut Encoder,
        most: u64,
        size_max: u64,
    ) -> io::Result<u64> {
        let gathered = match &mut self.gathered {
            Some(gathered) => gathered,
            none => none.insert(formatting.gather(&self.batch, &self.ranges)?),
        };
        let most = self.left.min(usize::try_from(most).unwrap_or(usize::MAX));
        let taken = encoder.append(gathered, self.next..self.next + most, size_max)?;
        self.next += taken;
        self.left -= taken;
        Ok(taken as u64)
    }

    /// Notes which events the last `count` rows were that have been encoded.
    pub(super) fn note_encoded(&self, count: u64, arrived: &mut Arrived) {
        let Some(identities) = self.batch.identities() else { return };
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let rows = self.ranges.iter().cloned().flatten().map(|row| row as usize);
        note(arrived, identities, rows.skip(self.next - count).take(count));
    }

    /// Takes away the shares of the rows that were encoded since the last time.
    pub(super) fn encoded_shares(&mut self) -> Acknowledgement {
        let encoded = self.acknowledgement.shares() - self.left as u64;
        self.acknowledgement.split(encoded)
    }
}

/// A delivery sorted by directories.
pub(super) struct Sorted {
    /// The rows of each directory.
    pub(super) directories: Vec<(String, Rows)>,
    /// How many rows were left out since they have arrived before. They are acknowledged.
    pub(super) arrived_before: u64,
}

/// Sorts the rows of a delivery by the directory that the path gives them, without those that the
/// ledger knows to have `arrived` before.
///
/// # Errors
/// When the batch doesn't fit the path, or does not say which events its rows are.
pub(super) fn by_directory(
    path: &Renderer,
    delivery: Delivery,
    number: u64,
    arrived: Option<&Known>,
) -> Result<Sorted, RowsError> {
    let Delivery { batch, mut acknowledgement } = delivery;
    // A batch has far fewer rows than a transaction may have events, a million.
    let all = std::iter::once(0..batch.rows() as u32);
    let chosen: Vec<Range<u32>> = match arrived {
        None => all.collect(),
        Some(known) => {
            let identities = batch.identities().ok_or(LedgerError::Unidentified)?;
            known.new_rows(identities, batch.rows()).unwrap_or_else(|| all.collect())
        }
    };
    let left: usize = chosen.iter().map(ExactSizeIterator::len).sum();
    let arrived_before = (batch.rows() - left) as u64;
    acknowledgement.split(arrived_before).done();
    let ranges = ranges_by_directory(&path.bind(&batch)?, &chosen);
    let rows = ranges.into_iter().map(|(directory, ranges)| {
        let left: usize = ranges.iter().map(ExactSizeIterator::len).sum();
        let rows = Rows {
            batch: batch.clone(),
            ranges,
            gathered: None,
            next: 0,
            left,
            acknowledgement: acknowledgement.split(left as u64),
            delivery: number,
            bytes: batch.payload_bytes() * left as u64 / batch.rows() as u64,
        };
        (directory, rows)
    });
    Ok(Sorted { directories: rows.collect(), arrived_before })
}

/// Which of these rows go to which directory.
fn ranges_by_directory(path: &Bound<'_>, chosen: &[Range<u32>]) -> Vec<(String, Vec<Range<u32>>)> {
    let mut found: Vec<(String, Vec<Range<u32>>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut directory = String::new();
    for range in chosen {
        let mut row = range.start;
        while row < range.end {
            let end = range.end.min(path.run_end(row as usize) as u32);
            directory.clear();
            path.render(row as usize, &mut directory);
            let place = places.get(&directory).copied().unwrap_or_else(|| {
                found.push((directory.clone(), Vec::new()));
                places.insert(directory.clone(), found.len() - 1);
                found.len() - 1
            });
            found[place].1.push(row..end);
            row = end;
        }
    }
    found
}
