//! The sink to standard output.

use std::io::ErrorKind;

use async_trait::async_trait;
use serde::Deserialize;
use thiserror::Error;
use tokio::io::{AsyncWriteExt, Stdout, stdout};
use weir_plan::Settings;
use weir_runtime::channel::Taken;
use weir_runtime::sink::{Delivery, Sink, SinkPort};
use weir_runtime::{Context, Failure};

use crate::types::Allowed;

/// The one of the formats that this version writes.
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
    output: Stdout,
    /// The lines of one batch; kept for its memory.
    lines: Vec<u8>,
}

#[derive(Debug, Error)]
enum StdoutError {
    #[error("standard output was closed by its reader")]
    Closed,
    #[error("writing to standard output")]
    Write(#[source] std::io::Error),
}

/// Makes a sink to standard output.
pub(crate) fn make(settings: &Settings, _context: Context) -> Result<Box<dyn Sink>, Failure> {
    let StdoutSettings { format: Format::Text, allow: None | Some(Allowed::Sensitive) } =
        settings.read().map_err(Failure::permanent)?;
    Ok(Box::new(StdoutSink { output: stdout(), lines: Vec::new() }))
}

#[async_trait]
impl Sink for StdoutSink {
    async fn run(&mut self, port: &mut SinkPort) -> Result<(), Failure> {
        loop {
            match port.take().await? {
                Taken::Events(delivery) => self.write(delivery).await?,
                // Nothing is held beyond the batch at hand.
                Taken::Pressure => {}
                Taken::End => return Ok(()),
            }
        }
    }
}

impl StdoutSink {
    async fn write(&mut self, delivery: Delivery) -> Result<(), Failure> {
        self.lines.clear();
        for body in delivery.batch.bodies().into_iter().flatten().flatten() {
            self.lines.extend_from_slice(body);
            self.lines.push(b'\n');
        }
        let written = async {
            self.output.write_all(&self.lines).await?;
            self.output.flush().await
        };
        match written.await {
            Ok(()) => {
                delivery.acknowledgement.done();
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                Err(Failure::permanent(StdoutError::Closed))
            }
            Err(error) => Err(StdoutError::Write(error).into()),
        }
    }
}
