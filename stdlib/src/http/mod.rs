//! The source that takes events over HTTP.

mod authentication;
mod events;
mod request;

use std::sync::Arc;
use std::time::Duration;

use arrow_schema::SchemaRef;
use async_trait::async_trait;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Deserialize;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;
use weir_plan::Settings;
use weir_runtime::source::{Source, SourcePort};
use weir_runtime::{Context, Failure, Purpose};

use crate::listening::{self, Arrival, Endpoint, Gatherer, Listener, Piece, ServerSecurity};
use authentication::{Authentication, Known};
use events::Format;
use request::{Service, Waiting, answer};

/// Requests that are read and wait for a batch.
const PIECES_MAX: usize = 16;
/// For each request that is served at once so many connections may be open.
const CONNECTIONS_PER_REQUEST: usize = 4;
/// How long a client may take for the head of a request, and be silent between two.
const HEAD: Duration = Duration::from_secs(30);
/// The most that the head of a request takes.
const HEAD_BYTES_MAX: usize = 64 << 10;
/// How long clients may take to get their last answers when the source ends.
const FAREWELL: Duration = Duration::from_secs(1);

#[derive(Deserialize)]
struct HttpSettings {
    bind: String,
    path: String,
    format: Format,
    max_body: usize,
    batch: usize,
    linger: Duration,
    timeout: Duration,
    max_requests: usize,
    security: ServerSecurity,
    authentication: Authentication,
}

struct HttpSource {
    context: Context,
    settings: HttpSettings,
    /// The number of the last event of all runs.
    sequence: u64,
}

/// Makes a source of events over HTTP.
pub(crate) fn make(settings: &Settings, context: Context) -> Result<Box<dyn Source>, Failure> {
    context.descriptors.expect(Purpose::Connection);
    let settings = settings.read().map_err(Failure::permanent)?;
    Ok(Box::new(HttpSource { context, settings, sequence: 0 }))
}

impl HttpSource {
    fn service(&self, known: Known, pieces: mpsc::Sender<Piece<Waiting>>) -> Service {
        let HttpSettings { path, format, max_body, batch, timeout, max_requests, .. } = &self.settings;
        Service {
            meter: self.context.meter.clone(),
            clock: self.context.clock.clone(),
            path: path.as_str().into(),
            format: *format,
            body_bytes_max: *max_body,
            events_max: *batch,
            patience: *timeout,
            places: Semaphore::new(*max_requests),
            known,
            pieces,
        }
    }

    fn schema(&self) -> SchemaRef {
        self.context.schema.clone()
    }
}

#[async_trait]
impl Source for HttpSource {
    async fn probe(&mut self) -> Vec<Failure> {
        let HttpSettings { bind, security, authentication, .. } = &self.settings;
        let mut found = listening::probe(bind, security).await;
        found.extend(authentication.known().err().map(Failure::unless_outage));
        found
    }

    async fn run(&mut self, port: SourcePort) -> Result<(), Failure> {
        let HttpSettings { bind, max_requests, security, batch, linger, .. } = &self.settings;
        let endpoint = Endpoint {
            component: self.context.component.clone(),
            meter: self.context.meter.clone(),
            bind: bind.clone(),
            connections_max: max_requests * CONNECTIONS_PER_REQUEST,
            security: security.clone(),
        };
        let bounds = (*batch, *linger);
        let known = self.settings.authentication.known().map_err(Failure::unless_outage)?;
        let listener = Listener::bind(endpoint).await.map_err(|error| error.into_failure())?;
        let mut gatherer =
            Gatherer::new(self.schema(), &self.context.component, bounds, self.sequence, &port);
        let SourcePort { outlet, deliveries, stop, .. } = port;
        let (pieces, gathered) = mpsc::channel(PIECES_MAX);
        let service = Arc::new(self.service(known, pieces));
        // Dropped with the run, it ends all connections.
        let mut connections = JoinSet::new();
        let (component, stopping) = (self.context.component.clone(), stop.clone());
        let serve = move |arrival| serve(arrival, service.clone(), component.clone(), stopping.clone());
        connections.spawn(listener.serve(stop, serve));
        let result = gatherer.see_through(gathered, outlet, deliveries).await;
        self.sequence = gatherer.sequence();
        result?;
        // Whoever does not take its answer is left behind.
        let _farewell = timeout(FAREWELL, connections.join_next()).await;
        Ok(())
    }
}

async fn serve(arrival: Arrival, service: Arc<Service>, component: Arc<str>, stop: CancellationToken) {
    let client = arrival.client;
    let protected = arrival.protect_until(&stop, &component, &service.meter).await;
    let Some((connection, _place)) = protected else { return };
    let answers = service_fn(move |request| answer(service.clone(), client, request));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD).max_buf_size(HEAD_BYTES_MAX);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(connection), answers));
    let served = tokio::select! {
        served = &mut serving => served,
        () = stop.cancelled() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = served {
        debug!(component = %component, "the connection of {client} has ended: {error}");
    }
}

#[cfg(test)]
mod tests;
