//! The source of lines over TCP.

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
use weir_runtime::{Context, Failure, Purpose};

use crate::tools::buffers::Buffers;
use crate::tools::lines::{LineRules, LongLine};
use crate::tools::listener::{self, Endpoint, Gatherer, Listener, Room, STOP_GRACE, ServerSecurity};
use client::{Terms, serve};

/// Pieces that connections have read and that wait for a batch: each has at most what one read brings
/// and the line that it ends.
const PIECES_MAX: usize = 16;

#[derive(Deserialize)]
struct TcpLinesSettings {
    bind: String,
    max_line: usize,
    long_lines: LongLine,
    ack: bool,
    max_connections: usize,
    idle: Option<Duration>,
    batch: usize,
    linger: Duration,
    security: ServerSecurity,
}

struct TcpLinesSource {
    context: Context,
    settings: TcpLinesSettings,
    buffers: Buffers,
    /// The number of the last event of all runs.
    sequence: u64,
}

/// Makes a source of lines over TCP.
pub(crate) fn make(settings: &Settings, context: Context) -> Result<Box<dyn Source>, Failure> {
    context.descriptors.expect(Purpose::Connection);
    let settings = settings.read().map_err(Failure::permanent)?;
    Ok(Box::new(TcpLinesSource { context, settings, buffers: Buffers::default(), sequence: 0 }))
}

impl TcpLinesSource {
    /// What holds for every client of a run. A line that does not fit into the channels behind is too long.
    fn terms(&self, room: Room) -> Terms {
        let TcpLinesSettings { max_line, long_lines, ack, idle, batch, .. } = &self.settings;
        let line_bytes_max = (*max_line).min(room.body_bytes_max());
        if line_bytes_max < *max_line {
            warn!(
                component = %self.context.component,
                "lines longer than {line_bytes_max} bytes are too long: the channels behind take no more at once"
            );
        }
        Terms {
            component: self.context.component.clone(),
            meter: self.context.meter.clone(),
            clock: self.context.clock.clone(),
            buffers: self.buffers.clone(),
            rules: LineRules { line_bytes_max, long_lines: *long_lines, grouping: None },
            events_max: *batch,
            answers: *ack,
            idle: *idle,
        }
    }
}

#[async_trait]
impl Source for TcpLinesSource {
    async fn probe(&mut self) -> Vec<Failure> {
        listener::probe(&self.settings.bind, &self.settings.security).await
    }

    async fn run(&mut self, port: SourcePort) -> Result<(), Failure> {
        let TcpLinesSettings { bind, max_connections, ack, batch, linger, security, .. } = &self.settings;
        let endpoint = Endpoint::new(&self.context, bind, *max_connections, security);
        let endpoint = if *ack { endpoint.acknowledging() } else { endpoint };
        let listener = Listener::bind(endpoint).await.map_err(|error| error.into_failure())?;
        let mut gatherer = Gatherer::new(&self.context, (*batch, *linger), self.sequence, &port);
        let terms = Arc::new(self.terms(Room::of(&port)));
        let SourcePort { outlet, deliveries, stop, .. } = port;
        let (pieces, gathered) = mpsc::channel(PIECES_MAX);
        // Dropped with the run, it ends all connections.
        let mut connections = JoinSet::new();
        let stopping = stop.clone();
        let serve = move |arrival| serve(arrival, terms.clone(), pieces.clone(), stopping.clone());
        connections.spawn(listener.serve(stop, serve));
        let result = self.buffers.during(gatherer.see_through(gathered, outlet, deliveries)).await;
        self.sequence = gatherer.sequence();
        result?;
        // Whoever does not take its answers is left behind.
        let _farewell = timeout(STOP_GRACE, connections.join_next()).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
