//! The sink `stdout`: writes events to standard output.

mod writing;

use std::io;

use async_trait::async_trait;
use serde::Deserialize;
use thiserror::Error;
use weir_plan::Settings;
use weir_runtime::channel::Taken;
use weir_runtime::sink::{Delivery, Sink, SinkPort};
use weir_runtime::{Context, Failure};

use crate::language::types::Allowed;
use writing::Writer;

/// The only format that this version writes.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    Text,
}

#[derive(Deserialize)]
struct StdoutSettings {
    format: Format,
    allow: Option<Allowed>,
}

/// Writes bodies to standard output, one line each.
struct StdoutSink {
    /// Made when the sink runs for the first time.
    output: Option<Writer>,
    /// The lines of one batch. The buffer is used again for the next batch.
    lines: Vec<u8>,
}

#[derive(Debug, Error)]
enum StdoutError {
    #[error("standard output was closed by its reader")]
    Closed,
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
            StdoutError::Closed => Failure::permanent(self),
            _ => Failure::from(self),
        }
    }
}

/// Makes the sink.
pub(crate) fn make(settings: &Settings, _context: Context) -> Result<Box<dyn Sink>, Failure> {
    let StdoutSettings { format: Format::Text, allow: None | Some(Allowed::Sensitive) } =
        settings.read().map_err(Failure::permanent)?;
    Ok(Box::new(StdoutSink { output: None, lines: Vec::new() }))
}

#[async_trait]
impl Sink for StdoutSink {
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
    async fn write(&mut self, delivery: Delivery) -> Result<(), StdoutError> {
        let Some(output) = &self.output else { return Ok(()) };
        let mut lines = std::mem::take(&mut self.lines);
        lines.clear();
        for body in delivery.batch.bodies().into_iter().flatten().flatten() {
            lines.extend_from_slice(body);
            lines.push(b'\n');
        }
        self.lines = output.write(lines).await.map_err(StdoutError::writing)?;
        delivery.acknowledgement.done();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
