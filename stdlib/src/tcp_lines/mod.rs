//! The source of lines over TCP.

mod client;

use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use weir_plan::Settings;
use weir_runtime::source::{Source, SourcePort};
use weir_runtime::{Clock, Context, Failure, Purpose};

use crate::buffers::Buffers;
use crate::lines::{LineRules, LongLine};
use crate::listening::{self, Endpoint, Gatherer, Listener, ServerSecurity};
use client::{Terms, serve};

/// Pieces that connections have read and that wait for a batch: each has at most what one read brings
/// and the line that it ends.
const PIECES_MAX: usize = 16;
/// How long clients may take to get their last answers when the source ends.
const FAREWELL: Duration = Duration::from_secs(1);

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
    schema: SchemaRef,
    endpoint: Endpoint,
    terms: Arc<Terms>,
    batch: usize,
    linger: Duration,
    /// The number of the last event of all runs.
    sequence: u64,
}

/// Makes a source of lines over TCP.
pub(crate) fn make(settings: &Settings, context: Context) -> Result<Box<dyn Source>, Failure> {
    context.descriptors.expect(Purpose::Connection);
    let settings: TcpLinesSettings = settings.read().map_err(Failure::permanent)?;
    let endpoint = Endpoint {
        component: context.component.clone(),
        meter: context.meter.clone(),
        bind: settings.bind,
        connections_max: settings.max_connections,
        security: settings.security,
    };
    let rules =
        LineRules { line_bytes_max: settings.max_line, long_lines: settings.long_lines, grouping: None };
    let clock: Arc<dyn Clock> = context.clock.clone();
    let terms = Terms {
        component: context.component,
        meter: context.meter,
        clock,
        buffers: Buffers::default(),
        rules,
        events_max: settings.batch,
        answers: settings.ack,
        idle: settings.idle,
    };
    Ok(Box::new(TcpLinesSource {
        schema: context.schema,
        endpoint,
        terms: Arc::new(terms),
        batch: settings.batch,
        linger: settings.linger,
        sequence: 0,
    }))
}

#[async_trait]
impl Source for TcpLinesSource {
    async fn probe(&mut self) -> Vec<Failure> {
        listening::probe(&self.endpoint.bind, &self.endpoint.security).await
    }

    async fn run(&mut self, port: SourcePort) -> Result<(), Failure> {
        let listener = Listener::bind(self.endpoint.clone()).await;
        let listener = listener.map_err(|error| error.into_failure())?;
        let bounds = (self.batch, self.linger);
        let mut gatherer =
            Gatherer::new(self.schema.clone(), &self.endpoint.component, bounds, self.sequence, &port);
        let SourcePort { outlet, deliveries, stop, .. } = port;
        let (pieces, gathered) = mpsc::channel(PIECES_MAX);
        // Dropped with the run, it ends all connections.
        let mut connections = JoinSet::new();
        let (terms, stopping) = (self.terms.clone(), stop.clone());
        let serve = move |arrival| serve(arrival, terms.clone(), pieces.clone(), stopping.clone());
        connections.spawn(listener.serve(stop, serve));
        let result = self.terms.buffers.during(gatherer.see_through(gathered, outlet, deliveries)).await;
        self.sequence = gatherer.sequence();
        result?;
        // Whoever does not take its answers is left behind.
        let _farewell = timeout(FAREWELL, connections.join_next()).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
