//! The source `tcp_lines`: receives lines on TCP connections.

mod client;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::warn;
use weir_plan::Settings;
use weir_runtime::source::{Source, SourcePort};
use weir_runtime::{Context, Failure, LogLimit, Purpose};

use crate::tools::buffers::Buffers;
use crate::tools::encoding::TextEncoding;
use crate::tools::lines::{LineRules, LongLine};
use crate::tools::listener::{self, Endpoint, Gatherer, Listener, PutLimit, STOP_GRACE, ServerSecurity};
use client::{RunContext, serve};

/// The most chunks in the gatherer's queue. A chunk has at most the bytes of one read, and the line that they end.
const CHUNKS_MAX: usize = 16;

/// How long a batch waits to become full if no client waits for an acknowledgement.
const LINGER: Duration = Duration::from_millis(5);

#[derive(Deserialize)]
struct TcpLinesSettings {
    bind: String,
    max_line: usize,
    long_lines: LongLine,
    encoding: TextEncoding,
    ack: bool,
    max_connections: usize,
    idle: Option<Duration>,
    batch: usize,
    linger: Option<Duration>,
    security: ServerSecurity,
}

struct TcpLinesSource {
    context: Context,
    settings: TcpLinesSettings,
    buffers: Buffers,
    /// The number of the last event that was put, over all runs.
    sequence: u64,
}

/// Makes the source.
pub(crate) fn make(settings: &Settings, context: Context) -> Result<Box<dyn Source>, Failure> {
    context.descriptors.expect(Purpose::Connection);
    let settings = settings.read().map_err(Failure::permanent)?;
    Ok(Box::new(TcpLinesSource { context, settings, buffers: Buffers::default(), sequence: 0 }))
}

impl TcpLinesSource {
    /// Makes the context of a run. A line that does not fit into the channels behind counts as too long.
    fn run_context(&self, put_limit: PutLimit) -> RunContext {
        let TcpLinesSettings { max_line, long_lines, encoding, ack, idle, batch, .. } = &self.settings;
        let line_bytes_max = (*max_line).min(put_limit.body_bytes_max());
        if line_bytes_max < *max_line {
            warn!(
                component = %self.context.component,
                "lines longer than {line_bytes_max} bytes are too long: the channels behind take no more at once"
            );
        }
        RunContext {
            component: self.context.component.clone(),
            meter: self.context.meter.clone(),
            clock: self.context.clock.clone(),
            buffers: self.buffers.clone(),
            encoding: *encoding,
            malformed: LogLimit::default(),
            rules: LineRules {
                line_bytes_max,
                long_lines: *long_lines,
                grouping: None,
                of_file: false,
                encoding: TextEncoding::Utf8,
            },
            events_max: *batch,
            answers: *ack,
            idle: *idle,
        }
    }
}

#[async_trait]
impl Source for TcpLinesSource {
    fn describe(&self) -> String {
        let TcpLinesSettings { bind, security, .. } = &self.settings;
        format!("listens on {bind} ({}TCP)", security.words())
    }

    async fn probe(&mut self) -> Vec<Failure> {
        listener::probe(&self.settings.bind, &self.settings.security).await
    }

    async fn run(&mut self, port: SourcePort) -> Result<(), Failure> {
        let TcpLinesSettings { bind, max_connections, ack, batch, linger, security, .. } = &self.settings;
        let endpoint = Endpoint::new(&self.context, bind, *max_connections, security);
        let endpoint = if *ack { endpoint.acknowledging() } else { endpoint };
        let listener = Listener::bind(endpoint).await.map_err(|error| error.into_failure())?;
        let linger = linger.unwrap_or(if *ack { Duration::ZERO } else { LINGER });
        let mut gatherer = Gatherer::new(&self.context, (*batch, linger), self.sequence, &port);
        let run_context = Arc::new(self.run_context(PutLimit::of(&port)));
        let SourcePort { outlet, deliveries, stop, .. } = port;
        let (chunks, queue) = mpsc::channel(CHUNKS_MAX);
        // Dropping the set, when this run ends, ends all connections.
        let mut connections = JoinSet::new();
        let stopping = stop.clone();
        let serve = move |arrival| serve(arrival, run_context.clone(), chunks.clone(), stopping.clone());
        connections.spawn(listener.serve(stop, serve));
        let result = self.buffers.during(gatherer.run_to_end(queue, outlet, deliveries)).await;
        self.sequence = gatherer.sequence();
        result?;
        // A client that does not read its answers in time is disconnected.
        let _answers_sent = timeout(STOP_GRACE, connections.join_next()).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
