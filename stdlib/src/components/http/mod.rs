//! The source that takes events over HTTP.

mod authentication;
mod budget;
mod connection;
mod events;
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

use crate::tools::listener::{self, Endpoint, Gatherer, Listener, Piece, Room, STOP_GRACE, ServerSecurity};
use authentication::{Authentication, Known};
use budget::Budget;
use events::Format;
use request::{Service, Waiting};

/// Requests that are read and wait for a batch.
const PIECES_MAX: usize = 16;
/// Bodies of requests take at most so much together, unless the settings say otherwise.
const BODIES_BYTES: usize = 256 << 20;
/// For each request that is served at once so many connections may be open.
const CONNECTIONS_PER_REQUEST: usize = 4;

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
    max_bodies: Option<usize>,
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
    let settings: HttpSettings = settings.read().map_err(Failure::permanent)?;
    settings.authentication.check().map_err(Failure::permanent)?;
    is_path(&settings.path).map_err(Failure::permanent)?;
    Ok(Box::new(HttpSource { context, settings, sequence: 0 }))
}

/// A path that no request can have.
#[derive(Debug, Error)]
#[error("`path` is {path:?}, which no request can have: {reason}")]
struct PathError {
    path: String,
    reason: &'static str,
}

fn is_path(path: &str) -> Result<(), PathError> {
    let reason = match path.parse::<Uri>() {
        _ if !path.starts_with('/') => "it has to begin with a slash",
        Ok(uri) if uri.path() == path => return Ok(()),
        Ok(_) => "it ends at a `?` or `#`",
        Err(_) => "clients send such characters as `%` and two digits, and it has to be written like that",
    };
    Err(PathError { path: path.to_owned(), reason })
}

impl HttpSource {
    fn service(
        &self,
        known: Known,
        room: Room,
        pieces: mpsc::WeakSender<Piece<Waiting>>,
        stop: CancellationToken,
        answering: PendingAnswers,
    ) -> Service {
        let HttpSettings { path, format, max_body, batch, timeout, max_requests, max_bodies, .. } =
            &self.settings;
        Service {
            meter: self.context.meter.clone(),
            clock: self.context.clock.clone(),
            path: path.as_str().into(),
            format: *format,
            body_bytes_max: (*max_body).min(room.body_bytes_max()),
            room,
            events_max: *batch,
            patience: *timeout,
            places: Semaphore::new((*max_requests).min(Semaphore::MAX_PERMITS)),
            budget: Budget::new(max_bodies.unwrap_or((*max_body).max(BODIES_BYTES))),
            known,
            pieces,
            stop,
            answering,
        }
    }
}

#[async_trait]
impl Source for HttpSource {
    async fn probe(&mut self) -> Vec<Failure> {
        let HttpSettings { bind, security, authentication, .. } = &self.settings;
        let mut found = listener::probe(bind, security).await;
        found.extend(authentication.known().err().map(Failure::unless_outage));
        found
    }

    async fn run(&mut self, port: SourcePort) -> Result<(), Failure> {
        let HttpSettings { bind, max_requests, security, batch, linger, .. } = &self.settings;
        let endpoint = Endpoint::new(&self.context, bind, max_requests * CONNECTIONS_PER_REQUEST, security)
            .acknowledging();
        let bounds = (*batch, *linger);
        let known = self.settings.authentication.known().map_err(Failure::unless_outage)?;
        let listener = Listener::bind(endpoint).await.map_err(|error| error.into_failure())?;
        let mut gatherer = Gatherer::new(&self.context, bounds, self.sequence, &port);
        let room = Room::of(&port);
        let answering = port.pending_answers();
        let SourcePort { outlet, deliveries, stop, .. } = port;
        let (pieces, gathered) = mpsc::channel(PIECES_MAX);
        let service = Arc::new(self.service(known, room, pieces.downgrade(), stop.clone(), answering));
        // Dropped with the run, it ends all connections.
        let mut connections = JoinSet::new();
        let component = self.context.component.clone();
        // When the listener stops it drops `pieces`: then requests that are being read are the last ones.
        let serve = move |arrival| {
            let _open = &pieces;
            connection::serve(arrival, service.clone(), component.clone())
        };
        connections.spawn(listener.serve(stop, serve));
        let result = gatherer.see_through(gathered, outlet, deliveries).await;
        self.sequence = gatherer.sequence();
        result?;
        // Whoever does not take its answer is left behind.
        let _farewell = timeout(STOP_GRACE, connections.join_next()).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests;
