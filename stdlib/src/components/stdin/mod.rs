//! The source `stdin`: reads lines from standard input.

mod lines;
mod reading;

use std::io::{self, Read};
use std::sync::Arc;
use std::time::Duration;

use arrow_array::builder::BinaryViewBuilder;
use arrow_array::{BinaryViewArray, Int64Array};
use arrow_buffer::Buffer;
use arrow_schema::{ArrowError, SchemaRef};
use async_trait::async_trait;
use serde::Deserialize;
use thiserror::Error;
use tokio::sync::mpsc::Receiver;
use tracing::warn;
use weir_plan::Settings;
use weir_runtime::batch::{Batch, BatchError, Column, Identities, Origins, Partition};
use weir_runtime::source::{Outlet, PutError, Source, SourcePort};
use weir_runtime::{Clock, Context, Failure, LogLimit, Meter};

use crate::tools::departure::Departure;
use crate::tools::encoding::{StreamDecoder, TextEncoding};
use crate::tools::listener::PutLimit;
use lines::{Line, LineRules, Lines, LongLine};
use reading::{StandardInput, read_in_a_thread};

/// The most bytes of a batch's bodies, approximately. A single event that is kept keeps the buffer of its batch.
const BATCH_BYTES: usize = 1 << 20;

#[derive(Deserialize)]
struct StdinSettings {
    max_line: usize,
    long_lines: LongLine,
    encoding: TextEncoding,
    batch: usize,
    linger: Duration,
}

/// Reads lines and puts them. Lines can't be read again, so nothing is kept of them.
struct LinesSource {
    component: Arc<str>,
    schema: SchemaRef,
    meter: Arc<Meter>,
    clock: Arc<dyn Clock>,
    host: String,
    batch: usize,
    linger: Duration,
    decoder: StreamDecoder,
    lines: Lines,
    /// Limits the warnings of lines that are too long.
    long_lines: LogLimit,
    /// Limits the warnings of input that is not right in its encoding.
    malformed: LogLimit,
    /// The input. Its thread is started by the first run of the source.
    input: Input,
    /// The partition of the identities of this process, if events need identities.
    partition: Option<Partition>,
}

enum Input {
    Unopened(Box<dyn Read + Send>),
    Open(Receiver<io::Result<Vec<u8>>>),
    Ended,
}

#[derive(Debug, Error)]
enum StdinError {
    #[error("reading standard input; what was read before goes on")]
    Read(#[source] io::Error),
    #[error("beginning to read standard input")]
    Thread(#[source] io::Error),
    #[error("making a batch")]
    Batch(#[from] BatchError),
    #[error("making views of lines")]
    Views(#[from] ArrowError),
}

/// Makes the source.
pub(crate) fn make(settings: &Settings, context: Context) -> Result<Box<dyn Source>, Failure> {
    let settings: StdinSettings = settings.read().map_err(Failure::permanent)?;
    Ok(Box::new(LinesSource::new(settings, context, Box::new(StandardInput))))
}

impl LinesSource {
    fn new(settings: StdinSettings, context: Context, input: Box<dyn Read + Send>) -> LinesSource {
        let StdinSettings { max_line, long_lines, encoding, batch, linger } = settings;
        LinesSource {
            component: context.component,
            schema: context.schema,
            meter: context.meter,
            clock: context.clock,
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            batch,
            linger,
            decoder: StreamDecoder::new(encoding),
            lines: Lines::new(LineRules { line_bytes_max: max_line, long_lines }),
            long_lines: LogLimit::default(),
            malformed: LogLimit::default(),
            input: Input::Unopened(input),
            partition: None,
        }
    }

    /// Starts the thread that reads, unless an earlier run has started it.
    fn open(&mut self) -> Result<(), StdinError> {
        self.input = match std::mem::replace(&mut self.input, Input::Ended) {
            Input::Unopened(input) => Input::Open(read_in_a_thread(input).map_err(StdinError::Thread)?),
            input => input,
        };
        Ok(())
    }

    /// Puts lines until the input ends or the source is stopped.
    async fn read(&mut self, port: &mut SourcePort) -> Result<(), Failure> {
        if port.wants_identities() && self.partition.is_none() {
            // The lines of another process are others, so they need another partition.
            self.partition = Some(Partition::new(format!("{}/{}", self.component, self.clock.now())));
        }
        let mut departure = Departure::new(self.linger);
        loop {
            let Input::Open(input) = &mut self.input else { return Ok(()) };
            tokio::select! {
                biased;
                () = port.stop.cancelled() => {
                    self.give_up_reading();
                    return self.put(&mut port.outlet).await;
                }
                read = input.recv() => match read {
                    Some(Ok(bytes)) => self.feed(&bytes, false),
                    Some(Err(error)) => {
                        self.input = Input::Ended;
                        self.put(&mut port.outlet).await?;
                        return Err(Failure::permanent(StdinError::Read(error)));
                    }
                    None => {
                        self.input = Input::Ended;
                        self.feed(&[], true);
                        self.lines.finish();
                        return self.put(&mut port.outlet).await;
                    }
                },
                () = departure.due() => {
                    self.put(&mut port.outlet).await?;
                    departure.left();
                }
            }
            if self.lines.count() >= self.batch || self.lines.bytes() >= BATCH_BYTES {
                self.put(&mut port.outlet).await?;
                departure.left();
            } else if self.lines.has_something() {
                departure.joined();
            }
        }
    }

    /// Takes the next bytes of the input.
    fn feed(&mut self, bytes: &[u8], is_end: bool) {
        let (text, is_right) = self.decoder.decode(bytes, is_end);
        self.lines.feed(&text);
        if !is_right {
            self.meter.count("malformed_reads", 1);
            if let Some(more) = self.malformed.occurred() {
                warn!(
                    component = %self.component,
                    "the input is not right in its encoding: what is wrong becomes U+FFFD{more}"
                );
            }
        }
    }

    /// Stops reading. Bytes that were read already are kept, since no other process can read them.
    fn give_up_reading(&mut self) {
        if let Input::Open(input) = &mut self.input {
            input.close();
            let mut received = Vec::new();
            while let Ok(Ok(bytes)) = input.try_recv() {
                received.push(bytes);
            }
            received.iter().for_each(|bytes| self.feed(bytes, false));
        }
        self.input = Input::Ended;
        let unfinished = self.lines.unfinished_bytes();
        if unfinished > 0 {
            self.meter.count("unfinished_lines", 1);
            warn!(
                component = %self.component,
                "stopped in the middle of a line: its first {unfinished} bytes are given up"
            );
        }
    }

    /// Puts the complete lines, in batches that share one buffer.
    async fn put(&mut self, outlet: &mut Outlet) -> Result<(), Failure> {
        let too_long = self.lines.take_too_long();
        if too_long > 0 {
            self.meter.count("long_lines", too_long);
            let bound = self.lines.rules().line_bytes_max;
            let done = match self.lines.rules().long_lines {
                LongLine::Truncate => "cut off there",
                LongLine::Skip => "left out",
            };
            if let Some(more) = self.long_lines.occurred() {
                warn!(
                    component = %self.component,
                    "{too_long} lines are longer than {bound} bytes and are {done}{more}"
                );
            }
        }
        let (buffer, lines) = self.lines.take();
        let buffer = Buffer::from_vec(buffer);
        for part in lines.chunks(self.batch) {
            let batch = self.assemble(&buffer, part).map_err(Failure::permanent)?;
            outlet.put(batch).await.map_err(PutError::into_failure)?;
        }
        Ok(())
    }

    /// Makes a batch without origins, since these lines can't be read again.
    fn assemble(&self, buffer: &Buffer, lines: &[Line]) -> Result<Batch, StdinError> {
        let numbers = Int64Array::from_iter_values(lines.iter().map(|line| line.number as i64));
        let named = vec![
            ("@line", numbers.into()),
            ("@host", Column::constant_text(&self.host)),
            ("@timestamp", Column::constant_time(self.clock.now())),
            (weir_plan::BODY, bodies(buffer, lines)?.into()),
        ];
        let batch = Batch::assemble(&self.schema, named, lines.len(), Origins::default())?;
        Ok(match &self.partition {
            Some(partition) => {
                let positions = lines.iter().map(|line| line.number).collect();
                batch.with_identities(Identities::of_one(partition.clone(), positions))?
            }
            None => batch,
        })
    }
}

/// Makes views of lines in one buffer. An empty line is an empty body.
fn bodies(buffer: &Buffer, lines: &[Line]) -> Result<BinaryViewArray, ArrowError> {
    let mut builder = BinaryViewBuilder::with_capacity(lines.len());
    let block = builder.append_block(buffer.clone());
    for line in lines {
        builder.try_append_view(block, line.begin, line.length)?;
    }
    Ok(builder.finish())
}

#[async_trait]
impl Source for LinesSource {
    fn describe(&self) -> String {
        "reads standard input".to_owned()
    }

    async fn run(&mut self, mut port: SourcePort) -> Result<(), Failure> {
        self.open().map_err(Failure::permanent)?;
        self.meter.finish_discovery();
        // A line that does not fit into the channels behind would stop the agent, so it counts as too long.
        self.lines.shorten(PutLimit::of(&port).body_bytes_max());
        self.read(&mut port).await?;
        port.outlet.close();
        while port.deliveries.next().await.is_some() {}
        Ok(())
    }
}

#[cfg(test)]
mod tests;
