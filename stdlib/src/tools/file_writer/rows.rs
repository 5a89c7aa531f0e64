//! Rows of a batch that go into one file.

use std::collections::HashMap;
use std::io;
use std::ops::Range;

use thiserror::Error;
use weir_runtime::Acknowledgement;
use weir_runtime::batch::{Awaited, Batch};
use weir_runtime::sink::Delivery;

use super::ledger::LedgerError;
use crate::formats::{Encoder, Formatting, Gathered};
use crate::tools::arrived::{Arrived, Known, note};
use crate::tools::template::{Bound, Renderer, TemplateError};

/// Why a batch can't be written. A retry can't help: the plan does not fit the component.
#[derive(Debug, Error)]
pub(super) enum RowsError {
    /// The path template does not fit the events.
    #[error("path: {0}")]
    Template(#[from] TemplateError),
    /// The events have no identities, which `exactly_once` needs.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
}

/// Rows of one batch that go to one directory, with their shares of its acknowledgement.
pub(super) struct Rows {
    batch: Batch,
    /// Which rows of the batch, in order.
    ranges: Vec<Range<u32>>,
    /// Some of the rows in the columns of the file's format, made when the first of them is encoded.
    gathered: Option<GatheredPart>,
    /// The number of rows that are encoded.
    next: usize,
    /// The number of rows that are not encoded.
    left: usize,
    /// One share for each row, until [`Rows::encoded_shares`] takes it.
    acknowledgement: Acknowledgement,
    /// The number of the delivery that brought the rows.
    pub(super) delivery: u64,
    /// The approximate size of the rows that are not encoded, in bytes.
    pub(super) bytes: u64,
}

/// Rows that are ready to be encoded.
struct GatheredPart {
    rows: Gathered,
    /// The index of the first of them, and the index behind the last, counted over all rows of the ranges.
    begin: usize,
    end: usize,
}

/// Returns the ranges of the rows with these indices, counted over all rows of `ranges`.
fn part_of(ranges: &[Range<u32>], indices: Range<usize>) -> Vec<Range<u32>> {
    let (mut skipped, mut wanted) = (indices.start, indices.len());
    let mut part = Vec::with_capacity(ranges.len());
    for range in ranges {
        let passed = skipped.min(range.len());
        skipped -= passed;
        let taken = wanted.min(range.len() - passed);
        wanted -= taken;
        if taken > 0 {
            // A batch has fewer than 2^32 rows.
            let begin = range.start + passed as u32;
            part.push(begin..begin + taken as u32);
        }
    }
    part
}

impl Rows {
    /// Returns how long a peer of the source waits for the rows; none if no peer does.
    pub(super) fn awaited(&self) -> Option<Awaited> {
        self.batch.awaited()
    }

    /// Returns how many rows are not encoded yet.
    pub(super) fn left(&self) -> usize {
        self.left
    }

    /// Returns the end of the time in the path of the rows, in microseconds; none if the path has no time.
    pub(super) fn end_of_time(&self, path: &Renderer) -> Option<i64> {
        path.bind(&self.batch).ok()?.end_of_time(self.ranges.first()?.start as usize)
    }

    /// Encodes rows, until the encoder has enough for one call, the file has `size_max` bytes, or `most` rows are
    /// encoded. Returns how many.
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
        let part = match &mut self.gathered {
            Some(part) if self.next < part.end => part,
            gathered => {
                let begin = self.next;
                let end = begin + self.left.min(formatting.rows_at_once(&self.batch));
                let rows = formatting.gather(&self.batch, &part_of(&self.ranges, begin..end))?;
                gathered.insert(GatheredPart { rows, begin, end })
            }
        };
        let most = usize::try_from(most).unwrap_or(usize::MAX).min(part.end - self.next);
        let first = self.next - part.begin;
        let taken = encoder.append(&part.rows, first..first + most, size_max)?;
        self.next += taken;
        self.left -= taken;
        Ok(taken as u64)
    }

    /// Adds the events of the `count` rows that were encoded last to `arrived`.
    pub(super) fn note_encoded(&self, count: u64, arrived: &mut Arrived) {
        let Some(identities) = self.batch.identities() else { return };
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        let rows = self.ranges.iter().cloned().flatten().map(|row| row as usize);
        note(arrived, identities, rows.skip(self.next - count).take(count));
    }

    /// Takes the shares of the rows that were encoded since the last call.
    pub(super) fn encoded_shares(&mut self) -> Acknowledgement {
        let encoded = self.acknowledgement.shares() - self.left as u64;
        self.acknowledgement.split(encoded)
    }
}

/// A delivery sorted by directories.
pub(super) struct Sorted {
    /// The rows of each directory.
    pub(super) directories: Vec<(String, Rows)>,
    /// How many rows were left out because their events are in files already. They are acknowledged.
    pub(super) arrived_before: u64,
}

/// Sorts the rows of a delivery by the directory that the path gives them. Leaves out the rows whose events have
/// `arrived` in files before.
///
/// # Errors
/// When the batch doesn't fit the path, or does not say which events its rows are.
pub(super) fn by_directory(
    path: &Renderer,
    delivery: Delivery,
    number: u64,
    arrived: Option<&Known>,
) -> Result<Sorted, RowsError> {
    let Delivery { batch, mut acknowledgement, .. } = delivery;
    // A transaction has at most a million events, so the number of rows fits.
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

/// Returns the chosen rows of each directory.
fn ranges_by_directory(path: &Bound<'_>, chosen: &[Range<u32>]) -> Vec<(String, Vec<Range<u32>>)> {
    let mut found: Vec<(String, Vec<Range<u32>>)> = Vec::new();
    let mut indices: HashMap<String, usize> = HashMap::new();
    let mut directory = String::new();
    for range in chosen {
        let mut row = range.start;
        while row < range.end {
            let end = range.end.min(path.run_end(row as usize) as u32);
            directory.clear();
            path.render(row as usize, &mut directory);
            let index = indices.get(&directory).copied().unwrap_or_else(|| {
                found.push((directory.clone(), Vec::new()));
                indices.insert(directory.clone(), found.len() - 1);
                found.len() - 1
            });
            found[index].1.push(row..end);
            row = end;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use arrow_array::cast::AsArray;
    use arrow_array::{Array, BinaryViewArray, Scalar, StringViewArray};
    use arrow_schema::{DataType, Field, Schema};
    use weir_plan::Template;
    use weir_runtime::batch::{Column, Origins};
    use weir_runtime::channel::{Channel, Limits, MemoryChannel, Taken};
    use weir_runtime::sink::SinkPort;
    use weir_runtime::source::SourcePort;

    use super::*;
    use crate::formats::Format;
    use crate::formats::codec::Codec;
    use crate::tools::buffers::Buffers;

    #[test]
    fn a_part_has_the_rows_at_its_indices() {
        let ranges = [2..5, 7..8, 10..20];
        assert_eq!(part_of(&ranges, 0..14), ranges);
        assert_eq!(part_of(&ranges, 1..4), [3..5, 7..8]);
        assert_eq!(part_of(&ranges, 4..6), std::slice::from_ref(&(10..12)));
        assert_eq!(part_of(&ranges, 3..3), []);
    }

    #[tokio::test]
    async fn constants_are_expanded_for_a_bounded_number_of_rows_at_a_time() {
        let schema = Schema::new(vec![
            Field::new("@shared", DataType::Utf8View, false),
            Field::new("body", DataType::BinaryView, false),
        ]);
        let shared: arrow_array::ArrayRef = Arc::new(StringViewArray::from(vec!["x".repeat(60_000)]));
        let bodies: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
        let columns =
            vec![Column::Constant(Scalar::new(shared)), BinaryViewArray::from_iter_values(&bodies).into()];
        let batch = Batch::new(Arc::new(schema), columns, 1_000, Origins::default()).unwrap();
        let format = Format::Avro { headers: vec!["shared".to_string()] };
        let formatting = Formatting::new(format, Codec::None, batch.schema()).unwrap();
        assert!((100..200).contains(&formatting.rows_at_once(&batch)));
        let renderer = Renderer::new(&Template { parts: Vec::new() }, "UTC").unwrap();
        let limits = Limits {
            capacity: 1_000,
            transaction_capacity: 1_000,
            byte_capacity: 1 << 20,
            keep_alive: Duration::from_secs(3),
        };
        let channel: Arc<dyn Channel> = Arc::new(MemoryChannel::new(limits));
        let mut sink = SinkPort::reading(channel.as_ref());
        SourcePort::into_channel(channel).outlet.put(batch).await.unwrap();
        let Taken::Events(delivery) = sink.take().await.unwrap() else { panic!("events were expected") };
        let sorted = by_directory(&renderer, delivery, 1, None).unwrap();
        let (_, mut rows) = sorted.directories.into_iter().next().unwrap();
        let mut encoder = formatting.encoder().unwrap();
        let mut written = Vec::new();
        while rows.left() > 0 {
            rows.encode(&formatting, &mut encoder, u64::MAX, u64::MAX).unwrap();
            written.append(&mut encoder.take_output(0, &Buffers::default()).unwrap());
            assert!(encoder.size() - written.len() as u64 <= 9 << 20, "what is encoded at once is bounded");
        }
        written.append(&mut encoder.finish().unwrap().rest);
        let read = arrow_avro::reader::ReaderBuilder::new().build(std::io::Cursor::new(written)).unwrap();
        let read = read.flat_map(|batch| {
            let batch = batch.unwrap();
            let bodies = batch.column_by_name("body").unwrap().as_binary::<i32>().clone();
            (0..bodies.len())
                .map(move |row| String::from_utf8(bodies.value(row).to_vec()).unwrap())
                .collect::<Vec<_>>()
        });
        assert_eq!(read.collect::<Vec<_>>(), bodies);
    }
}
