//! Encodes formats whose files are streams of rows, compressed as a whole: text, raw, JSON and CSV.

use std::io;
use std::ops::Range;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;

use super::codec::Codec;
use super::compressor::Compressor;
use super::{Gathered, json};
use crate::tools::buffers::Buffers;

/// Rows are passed to the compressor in pieces of this size, because a call costs more than a line.
const STAGED_BYTES: usize = 64 * 1024;

/// The format of rows.
pub(super) enum Rows {
    /// Bodies, each with a line end.
    Text,
    /// Bodies.
    Raw,
    /// Objects, one on each line.
    Json,
    /// Lines of values. `names` says whether the line of the columns' names is still to be written.
    Csv { delimiter: u8, names: bool },
}

/// The encoder of a file.
pub(super) struct Stream {
    rows: Rows,
    compressor: Compressor,
    /// Encoded rows that were not passed to the compressor yet; without compression, the output.
    staged: Vec<u8>,
    /// In text: the number of bytes of `staged` whose line breaks are counted, and the number of rows behind them.
    counted: usize,
    uncounted_rows: u64,
    breaks: u64,
}

impl Stream {
    /// Makes the encoder of a new file.
    ///
    /// # Errors
    /// When the compressor can't be set up.
    pub(super) fn new(rows: Rows, codec: Codec) -> io::Result<Stream> {
        let compressor = Compressor::new(codec)?;
        Ok(Stream { rows, compressor, staged: Vec::new(), counted: 0, uncounted_rows: 0, breaks: 0 })
    }

    /// Appends rows, at least one, until enough is staged or the output has `room` bytes. Returns how many.
    ///
    /// # Errors
    /// When the compressor fails, or a type can't be written.
    pub(super) fn append(&mut self, rows: &Gathered, range: Range<usize>, room: u64) -> io::Result<usize> {
        let mut stop = self.counted + STAGED_BYTES;
        if self.compressor.is_none() {
            stop = stop.min(usize::try_from(room).unwrap_or(usize::MAX));
        }
        let taken = match &mut self.rows {
            Rows::Text => {
                let taken = append_bodies(&rows.batch, range, true, stop, &mut self.staged);
                self.uncounted_rows += taken as u64;
                taken
            }
            Rows::Raw => append_bodies(&rows.batch, range, false, stop, &mut self.staged),
            Rows::Json => {
                json::write_lines(&rows.batch, range, stop, &mut self.staged).map_err(io::Error::other)?
            }
            Rows::Csv { delimiter, names } => {
                let names = std::mem::take(names);
                append_csv(rows, range, stop, *delimiter, names, &mut self.staged)?
            }
        };
        if self.staged.len() >= stop {
            self.pass_on()?;
        }
        Ok(taken)
    }

    /// Counts the line breaks in the staged rows, and passes the rows to the compressor.
    fn pass_on(&mut self) -> io::Result<()> {
        if matches!(self.rows, Rows::Text) {
            // Counted over all staged bytes at once: to search each body would cost more than the copy.
            let line_ends = memchr::memchr_iter(b'\n', &self.staged[self.counted..]).count() as u64;
            self.breaks += line_ends - std::mem::take(&mut self.uncounted_rows);
        }
        if self.compressor.is_none() {
            self.counted = self.staged.len();
            return Ok(());
        }
        self.compressor.write(&self.staged)?;
        self.staged.clear();
        Ok(())
    }

    /// Returns the size of the output that was not taken. A compressor holds some of its input back.
    pub(super) fn output_bytes(&self) -> usize {
        match self.compressor.is_none() {
            true => self.staged.len(),
            false => self.compressor.output().len(),
        }
    }

    /// Takes the output. The next output goes into a buffer of `buffers`.
    ///
    /// # Errors
    /// When the compressor fails.
    pub(super) fn take_output(&mut self, buffers: &Buffers) -> io::Result<Vec<u8>> {
        if self.compressor.is_none() {
            self.pass_on()?;
            self.counted = 0;
            return Ok(take(&mut self.staged, buffers));
        }
        Ok(take(self.compressor.output_mut(), buffers))
    }

    /// Ends a part: all rows so far are in the output, and a file that ends there can be read.
    ///
    /// # Errors
    /// When the compressor fails.
    pub(super) fn end_part(&mut self) -> io::Result<()> {
        self.pass_on()?;
        self.compressor.end_frame()
    }

    /// Ends the file. Returns the rest of the output and the number of line breaks within bodies.
    ///
    /// # Errors
    /// When the compressor fails.
    pub(super) fn finish(mut self) -> io::Result<(Vec<u8>, u64)> {
        self.pass_on()?;
        let rest = match self.compressor.is_none() {
            true => self.staged,
            false => self.compressor.finish()?,
        };
        Ok((rest, self.breaks))
    }
}

/// Takes the output and puts a buffer of the same capacity in its place.
fn take(output: &mut Vec<u8>, buffers: &Buffers) -> Vec<u8> {
    let next = buffers.take(output.capacity());
    std::mem::replace(output, next)
}

fn append_bodies(
    batch: &RecordBatch,
    rows: Range<usize>,
    line: bool,
    stop: usize,
    out: &mut Vec<u8>,
) -> usize {
    let bodies = batch.column(0).as_binary_view();
    let (first, end) = (rows.start, rows.end);
    for row in rows {
        out.extend_from_slice(bodies.value(row));
        if line {
            out.push(b'\n');
        }
        if out.len() >= stop {
            return row + 1 - first;
        }
    }
    end - first
}

/// Appends about as many rows as there is room for. arrow-csv writes complete batches only, so the rows are sliced.
fn append_csv(
    rows: &Gathered,
    range: Range<usize>,
    stop: usize,
    delimiter: u8,
    names: bool,
    out: &mut Vec<u8>,
) -> io::Result<usize> {
    let row_bytes = rows.row_bytes + rows.batch.num_columns();
    let room = stop.saturating_sub(out.len()) / row_bytes.max(1);
    let taken = room.clamp(1, range.len());
    let batch = rows.batch.slice(range.start, taken);
    let builder = arrow_csv::WriterBuilder::new().with_header(names).with_delimiter(delimiter);
    builder.build(out).write(&batch).map_err(io::Error::other)?;
    Ok(taken)
}
