//! The source `http`: receives events in the bodies of HTTP requests.

mod authentication;
mod body_memory;
mod connection;
mod encoding;
mod events;
mod health;
mod refused_body;
mod request;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use hyper::Uri;
use serde::Deserialize;
use thiserror::Error;
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use weir_plan::Settings;
use weir_runtime::source::{PendingAnswers, Source, SourcePort};
use weir_runtime::{Context, Failure, Purpose};

use crate::tools::listener::{
    self, Chunk, Endpoint, Gatherer, Listener, PutLimit, STOP_GRACE, ServerSecurity,
};
use authentication::{Authentication, Credentials};
use body_memory::BodyMemory;
use events::Format;
use request::{PendingRequest, Service};

/// The most requests whose events wait in the gatherer's queue.
const CHUNKS_MAX: usize = 16;
/// The default of the most bytes that the bodies of all requests take together.
const BODIES_BYTES_MAX: usize = 256 << 20;
/// How many connections may be open for each request that `max_requests` allows.
const CONNECTIONS_PER_REQUEST: usize = 4;

#[derive(Deserialize)]
struct HttpSettings {
    bind: String,
    path: String,
    health: Option<String>,
    format: Format,
    max_body: usize,
    batch: usize,
    linger: Duration,
    timeout: Duration,
    max_requests: usize,
    max_bodies: Option<usize>,
    security: ServerSecurity,
    authentication: Authentication,
}

struct HttpSource {
    context: Context,
    settings: HttpSettings,
    /// The number of the last event that was put, over all runs.
    sequence: u64,
}

/// Makes the source.
pub(crate) fn make(settings: &Settings, context: Context) -> Result<Box<dyn Source>, Failure> {
    context.descriptors.expect(Purpose::Connection);
    let settings: HttpSettings = settings.read().map_err(Failure::permanent)?;
    settings.authentication.check().map_err(Failure::permanent)?;
    check_path(&settings.path).map_err(Failure::permanent)?;
    Ok(Box::new(HttpSource { context, settings, sequence: 0 }))
}

/// The setting `path` is not a path that a request can have.
#[derive(Debug, Error)]
#[error("`path` is {path:?}, which no request can have: {reason}")]
struct PathError {
    path: String,
    reason: &'static str,
}

fn check_path(path: &str) -> Result<(), PathError> {
    let reason = match path.parse::<Uri>() {
        _ if !path.starts_with('/') => "it has to begin with a slash",
        Ok(uri) if uri.path() == path => return Ok(()),
        Ok(_) => "a path ends at a `?` or `#`",
        Err(_) => "clients send such characters as `%` and two digits, and it has to be written like that",
    };
    Err(PathError { path: path.to_owned(), reason })
}

impl HttpSource {
    fn service(
        &self,
        credentials: Credentials,
        put_limit: PutLimit,
        chunks: mpsc::WeakSender<Chunk<PendingRequest>>,
        stop: CancellationToken,
        answering: PendingAnswers,
    ) -> Service {
        let HttpSettings { path, health, format, max_body, batch, timeout, max_requests, max_bodies, .. } =
            &self.settings;
        Service {
            meter: self.context.meter.clone(),
            clock: self.context.clock.clone(),
            path: path.as_str().into(),
            health: health.as_deref().map(Arc::from),
            format: *format,
            body_bytes_max: (*max_body).min(put_limit.body_bytes_max()),
            put_limit,
            events_max: *batch,
            timeout: *timeout,
            request_permits: Semaphore::new((*max_requests).min(Semaphore::MAX_PERMITS)),
            body_memory: BodyMemory::new(max_bodies.unwrap_or((*max_body).max(BODIES_BYTES_MAX))),
            credentials,
            chunks,
            stop,
            answering,
        }
    }
}

#[async_trait]
impl Source for HttpSource {
    fn describe(&self) -> String {
        let HttpSettings { bind, path, security, .. } = &self.settings;
        format!("listens on {bind}{path} ({}HTTP)", security.words())
    }

    async fn probe(&mut self) -> Vec<Failure> {
        let HttpSettings { bind, security, authentication, .. } = &self.settings;
        let mut found = listener::probe(bind, security).await;
        found.extend(authentication.credentials().err().map(Failure::permanent_unless_outage));
        found
    }

    async fn run(&mut self, port: SourcePort) -> Result<(), Failure> {
        let HttpSettings { bind, max_requests, security, batch, linger, .. } = &self.settings;
        let endpoint = Endpoint::new(&self.context, bind, max_requests * CONNECTIONS_PER_REQUEST, security)
            .acknowledging();
        let bounds = (*batch, *linger);
        let credentials =
            self.settings.authentication.credentials().map_err(Failure::permanent_unless_outage)?;
        let listener = Listener::bind(endpoint).await.map_err(|error| error.into_failure())?;
        let mut gatherer = Gatherer::new(&self.context, bounds, self.sequence, &port);
        let put_limit = PutLimit::of(&port);
        let answering = port.pending_answers();
        let SourcePort { outlet, deliveries, stop, .. } = port;
        let (chunks, queue) = mpsc::channel(CHUNKS_MAX);
        let service =
            Arc::new(self.service(credentials, put_limit, chunks.downgrade(), stop.clone(), answering));
        // Dropping the set, when this run ends, ends all connections.
        let mut connections = JoinSet::new();
        let component = self.context.component.clone();
        // The listener drops `chunks` when it stops. Then only the requests that are being read hold senders.
        let serve = move |arrival| {
            let _open = &chunks;
            connection::serve(arrival, service.clone(), component.clone())
        };
        connections.spawn(listener.serve(stop, serve));
        let result = gatherer.run_to_end(queue, outlet, deliveries).await;
        self.sequence = gatherer.sequence();
        result?;
        // A client that does not read its answer in time is disconnected.
        let _answers_sent = timeout(STOP_GRACE, connections.join_next()).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
