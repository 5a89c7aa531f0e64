//! The sink `stdout`: writes events to standard output.

mod writing;

use std::collections::BTreeMap;
use std::io;

use arrow_schema::Schema;
use async_trait::async_trait;
use serde::Deserialize;
use thiserror::Error;
use weir_plan::{Settings, Value};
use weir_runtime::batch::Batch;
use weir_runtime::channel::Taken;
use weir_runtime::sink::{Delivery, Sink, SinkPort};
use weir_runtime::{Context, Failure};

use crate::formats::codec::Codec;
use crate::formats::{Encoder, Format, Formatting};
use crate::language::types::Allowed;
use crate::tools::buffers::Buffers;
use crate::tools::written::Written;
use writing::Writer;

/// The settings of `LineFormat` in `formats.flow`.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum LineFormat {
    Text,
    Raw,
    Json { headers: Vec<String> },
    Csv { delimiter: String, headers: Vec<String> },
}

impl From<LineFormat> for Format {
    fn from(format: LineFormat) -> Format {
        match format {
            LineFormat::Text => Format::Text,
            LineFormat::Raw => Format::Raw,
            LineFormat::Json { headers } => Format::Json { headers },
            // A line of names would be in the middle of the stream after a restart.
            LineFormat::Csv { delimiter, headers } => Format::Csv { delimiter, names: false, headers },
        }
    }
}

#[derive(Deserialize)]
struct StdoutSettings {
    format: LineFormat,
    allow: Option<Allowed>,
}

/// Returns what the sink writes of each event.
///
/// # Errors
/// When the events can't be written in the format.
pub(crate) fn writes(settings: &Settings, batch: &Batch) -> Result<Vec<BTreeMap<String, Value>>, Failure> {
    let settings: StdoutSettings = settings.read().map_err(Failure::permanent)?;
    Ok(Written::of(batch).lines(settings.format.into(), batch)?.into_rows())
}

/// Writes events to standard output.
struct StdoutSink {
    formatting: Formatting,
    encoder: Encoder,
    /// Made when the sink runs for the first time.
    output: Option<Writer>,
    buffers: Buffers,
}

#[derive(Debug, Error)]
enum StdoutError {
    #[error("standard output was closed by its reader")]
    Closed,
    #[error("encoding events for standard output")]
    Encode(#[source] io::Error),
    #[error("beginning to write to standard output")]
    Thread(#[source] io::Error),
    #[error("writing to standard output")]
    Write(#[source] io::Error),
}

impl StdoutError {
    fn writing(error: io::Error) -> StdoutError {
        use rustix::io::Errno;
        // The reader of a pipe has gone, or a terminal was closed: trying again can't help.
        match Errno::from_io_error(&error) {
            Some(Errno::PIPE | Errno::IO | Errno::NXIO | Errno::BADF) => StdoutError::Closed,
            _ => StdoutError::Write(error),
        }
    }

    fn into_failure(self) -> Failure {
        match self {
            StdoutError::Closed | StdoutError::Encode(_) => Failure::permanent(self),
            _ => Failure::from(self),
        }
    }
}

/// Makes the sink.
pub(crate) fn make(settings: &Settings, context: Context) -> Result<Box<dyn Sink>, Failure> {
    let StdoutSettings { format, allow: None | Some(Allowed::Sensitive) } =
        settings.read().map_err(Failure::permanent)?;
    Ok(Box::new(StdoutSink::new(format, &context.schema)?))
}

#[async_trait]
impl Sink for StdoutSink {
    fn describe(&self) -> String {
        "writes to standard output".to_owned()
    }

    async fn run(&mut self, port: &mut SinkPort) -> Result<(), Failure> {
        if self.output.is_none() {
            let output = Writer::start(io::stdout()).map_err(StdoutError::Thread);
            self.output = Some(output.map_err(StdoutError::into_failure)?);
        }
        loop {
            match port.take().await? {
                Taken::Events(delivery) => self.write(delivery).await.map_err(StdoutError::into_failure)?,
                // The sink holds no events beside the batch that it writes.
                Taken::Pressure => {}
                Taken::End => return Ok(()),
            }
        }
    }
}

impl StdoutSink {
    fn new(format: LineFormat, schema: &Schema) -> Result<StdoutSink, Failure> {
        let formatting = Formatting::new(format.into(), Codec::None, schema).map_err(Failure::permanent)?;
        let encoder = formatting.encoder().map_err(StdoutError::Encode).map_err(StdoutError::into_failure)?;
        Ok(StdoutSink { formatting, encoder, output: None, buffers: Buffers::default() })
    }

    async fn write(&mut self, delivery: Delivery) -> Result<(), StdoutError> {
        let batch = &delivery.batch;
        let rows_at_once = self.formatting.rows_at_once(batch);
        for first in (0..batch.rows()).step_by(rows_at_once) {
            let rows = (batch.rows() - first).min(rows_at_once);
            let lines = self.lines(batch, first, rows).map_err(StdoutError::Encode)?;
            let Some(output) = &self.output else { return Ok(()) };
            let written = output.write(lines).await.map_err(StdoutError::writing)?;
            self.buffers.give_back(written);
        }
        delivery.acknowledgement.done();
        Ok(())
    }

    /// Encodes rows of a batch.
    fn lines(&mut self, batch: &Batch, first: usize, rows: usize) -> io::Result<Vec<u8>> {
        let range = u32::try_from(first).map_err(io::Error::other)?
            ..u32::try_from(first + rows).map_err(io::Error::other)?;
        let gathered = self.formatting.gather(batch, &[range])?;
        let mut encoded = 0;
        while encoded < rows {
            encoded += self.encoder.append(&gathered, encoded..rows, u64::MAX)?;
        }
        self.encoder.take_output(1, &self.buffers)
    }
}

#[cfg(test)]
mod tests;
