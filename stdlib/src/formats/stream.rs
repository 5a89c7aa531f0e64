//! Formats that are a stream of rows, compressed as a whole: text, raw, JSON and CSV.

use std::io;
use std::ops::Range;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;

use super::codec::Codec;
use super::compressor::Compressor;
use super::{Gathered, json};
use crate::tools::buffers::Buffers;

/// How much is gathered before it goes through a compressor, whose calls cost more than lines do.
const STAGED_BYTES: usize = 64 * 1024;

/// How rows become bytes.
pub(super) enum Rows {
    /// The bodies, each with a line end.
    Text,
    /// The bodies.
    Raw,
    /// Objects, one a line.
    Json,
    /// Lines of values. `names` says whether the line of the names is still to be written.
    Csv { delimiter: u8, names: bool },
}

/// One file that is being encoded.
pub(super) struct Stream {
    rows: Rows,
    compressor: Compressor,
    /// Rows that have not gone through the compressor yet; without one, the output.
    staged: Vec<u8>,
    /// Of text: how many bytes of `staged` are seen through for line breaks, and the rows behind.
    seen: usize,
    unseen_rows: u64,
    breaks: u64,
}

impl Stream {
    /// # Errors
    /// When the compressor can't be set up.
    pub(super) fn new(rows: Rows, codec: Codec) -> io::Result<Stream> {
        let compressor = Compressor::new(codec)?;
        Ok(Stream { rows, compressor, staged: Vec::new(), seen: 0, unseen_rows: 0, breaks: 0 })
    }

    /// Appends rows until enough is staged, or `room` bytes of output are there; at least one. Says
    /// how many.
    ///
    /// # Errors
    /// When the compressor fails, or a type can't be written.
    pub(super) fn append(&mut self, rows: &Gathered, range: Range<usize>, room: u64) -> io::Result<usize> {
        let mut stop = self.seen + STAGED_BYTES;
        if self.compressor.is_none() {
            stop = stop.min(usize::try_from(room).unwrap_or(usize::MAX));
        }
        let taken = match &mut self.rows {
            Rows::Text => {
                let taken = append_bodies(&rows.batch, range, true, stop, &mut self.staged);
                self.unseen_rows += taken as u64;
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

    /// Counts the line breaks in what is staged, and sends it through the compressor.
    fn pass_on(&mut self) -> io::Result<()> {
        if matches!(self.rows, Rows::Text) {
            // A whole stretch at once: looking into each body would cost more than the copy.
            let line_ends = memchr::memchr_iter(b'\n', &self.staged[self.seen..]).count() as u64;
            self.breaks += line_ends - std::mem::take(&mut self.unseen_rows);
        }
        if self.compressor.is_none() {
            self.seen = self.staged.len();
            return Ok(());
        }
        self.compressor.write(&self.staged)?;
        self.staged.clear();
        Ok(())
    }

    /// How much has come out and was not taken away. A compressor holds some of its input back.
    pub(super) fn output_bytes(&self) -> usize {
        match self.compressor.is_none() {
            true => self.staged.len(),
            false => self.compressor.output().len(),
        }
    }

    /// Takes away what has come out. What takes its place is of `buffers`.
    ///
    /// # Errors
    /// When the compressor fails.
    pub(super) fn take_output(&mut self, buffers: &Buffers) -> io::Result<Vec<u8>> {
        if self.compressor.is_none() {
            self.pass_on()?;
            self.seen = 0;
            return Ok(take(&mut self.staged, buffers));
        }
        Ok(take(self.compressor.output_mut(), buffers))
    }

    /// Has all rows so far come out, in a way that a reader of the file can end there.
    ///
    /// # Errors
    /// When the compressor fails.
    pub(super) fn end_part(&mut self) -> io::Result<()> {
        self.pass_on()?;
        self.compressor.end_frame()
    }

    /// Ends the file and gives the rest of the output, and how many line breaks were within bodies.
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

/// The bytes, with room for as many in their place.
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

/// arrow-csv writes whole batches: about as many rows at once as there is room for.
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
