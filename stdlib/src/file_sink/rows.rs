//! Rows of a batch on their way into one file.

use std::collections::HashMap;
use std::io;
use std::ops::Range;

use arrow_array::BinaryViewArray;
use thiserror::Error;
use weir_runtime::Acknowledgement;
use weir_runtime::sink::Delivery;

use super::encoder::Encoder;
use crate::template::{Bound, Renderer, TemplateError};

/// Why a batch can't be written. It never can: the plan does not fit the component.
#[derive(Debug, Error)]
pub(super) enum RowsError {
    /// Of the path.
    #[error("path: {0}")]
    Template(#[from] TemplateError),
    /// A line needs bytes.
    #[error("the events have no `body` of bytes to write as lines")]
    Body,
}

/// Rows of one batch that go to one directory, with their shares of its acknowledgement.
pub(super) struct Rows {
    bodies: BinaryViewArray,
    /// In order; the first may be begun.
    ranges: Vec<Range<u32>>,
    next_range: usize,
    /// How many rows of `ranges` are not encoded yet.
    left: usize,
    /// One share for each row that is in no file yet.
    acknowledgement: Acknowledgement,
    /// The number of the delivery that they came with.
    pub(super) delivery: u64,
    /// About what their bodies take up.
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
    pub(super) fn encode(&mut self, encoder: &mut Encoder, most: u64, size_max: u64) -> io::Result<u64> {
        let range = &mut self.ranges[self.next_range];
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let end = range.end.min(range.start.saturating_add(most));
        let taken = encoder.append(&self.bodies, range.start as usize..end as usize, size_max)?;
        range.start += taken as u32;
        if range.start == range.end {
            self.next_range += 1;
        }
        self.left -= taken;
        Ok(taken as u64)
    }

    /// Takes away the shares of the rows that were encoded since the last time.
    pub(super) fn encoded_shares(&mut self) -> Acknowledgement {
        let encoded = self.acknowledgement.shares() - self.left as u64;
        self.acknowledgement.split(encoded)
    }
}

/// Sorts the rows of a delivery by the directory that the path gives them.
///
/// # Errors
/// When the batch doesn't fit the path or has no bodies.
pub(super) fn by_directory(
    path: &Renderer,
    delivery: Delivery,
    number: u64,
) -> Result<Vec<(String, Rows)>, RowsError> {
    let Delivery { batch, mut acknowledgement } = delivery;
    let bodies = batch.bodies().cloned().ok_or(RowsError::Body)?;
    let ranges = ranges_by_directory(&path.bind(&batch)?, batch.rows());
    let rows = ranges.into_iter().map(|(directory, ranges)| {
        let left: usize = ranges.iter().map(ExactSizeIterator::len).sum();
        let rows = Rows {
            bodies: bodies.clone(),
            ranges,
            next_range: 0,
            left,
            acknowledgement: acknowledgement.split(left as u64),
            delivery: number,
            bytes: batch.payload_bytes() * left as u64 / batch.rows() as u64,
        };
        (directory, rows)
    });
    Ok(rows.collect())
}

fn ranges_by_directory(path: &Bound<'_>, rows: usize) -> Vec<(String, Vec<Range<u32>>)> {
    let mut found: Vec<(String, Vec<Range<u32>>)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut directory = String::new();
    let mut row = 0;
    while row < rows {
        let end = path.run_end(row);
        directory.clear();
        path.render(row, &mut directory);
        let place = places.get(&directory).copied().unwrap_or_else(|| {
            found.push((directory.clone(), Vec::new()));
            places.insert(directory.clone(), found.len() - 1);
            found.len() - 1
        });
        // A batch has far fewer rows than a transaction may have events, a million.
        found[place].1.push(row as u32..end as u32);
        row = end;
    }
    found
}
