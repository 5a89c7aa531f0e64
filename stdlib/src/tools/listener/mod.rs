//! Shared parts of the sources that clients connect to: listening on an address, a limit of connections, TLS, batches
//! of the events of many clients, and the columns that name an event's sender.

mod certificate;
mod connection;
mod eviction;
mod gathering;
mod text_maps;
mod tls;

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, FixedSizeBinaryArray, Scalar};
use arrow_schema::ArrowError;
use serde::Deserialize;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use weir_runtime::batch::Column;
use weir_runtime::{
    Clock, Context, Descriptor, Descriptors, Failure, LogLimit, Meter, Purpose, Remedy, remedy,
};

use certificate::Validity;
pub(crate) use connection::Connection;
use connection::Stream;
use eviction::Connections;
pub(crate) use eviction::{Activity, BusyGuard, Slot};
pub(crate) use gathering::{Attachment, Chunk, Gatherer, PutLimit};
pub(crate) use text_maps::TextMaps;

/// How long a stopped source waits for the rest of requests that clients have begun to send, and for clients to read
/// their last answers.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(1);
/// How long a TLS handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// The wait between two attempts to get a slot, a descriptor or memory.
pub(crate) const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// How long an evicted connection may take to close.
pub(crate) const EVICTION_GRACE: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The enum `ServerSecurity` of the signatures.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ServerSecurity {
    Plaintext,
    Tls { cert: PathBuf, key: PathBuf, ca: Option<PathBuf> },
}

impl ServerSecurity {
    /// The words before the name of the protocol, for the log.
    pub(crate) fn words(&self) -> &'static str {
        match self {
            ServerSecurity::Plaintext => "",
            ServerSecurity::Tls { ca: None, .. } => "TLS, ",
            ServerSecurity::Tls { ca: Some(_), .. } => "TLS with certificates of clients, ",
        }
    }
}

/// Why a source can't listen.
#[derive(Debug, Error)]
pub(crate) enum ListenError {
    #[error("can't listen on {address}")]
    Bind { address: String, source: io::Error },
    #[error("the {what} {} can't be used", path.display())]
    Certificate { what: &'static str, path: PathBuf, source: tokio_rustls::rustls::pki_types::pem::Error },
    #[error("the certificates of authorities in {} can't be used: {reason}", path.display())]
    Authorities { path: PathBuf, reason: String },
    #[error("certificate and key can't be used together")]
    Tls(#[from] tokio_rustls::rustls::Error),
}

impl ListenError {
    /// Classifies the error. An address may become free and its name may become known, so these errors are transient.
    /// A certificate that can't be used has to be repaired, and so has an address that this process may not bind.
    pub(crate) fn into_failure(self) -> Failure {
        match &self {
            ListenError::Bind { source, .. } => match remedy(source) {
                _ if source.kind() == io::ErrorKind::InvalidInput => Failure::permanent(self),
                Some(Remedy::Waiting) | None => Failure::transient(self),
                Some(Remedy::Repair | Remedy::None) => Failure::permanent(self),
            },
            _ => Failure::permanent_unless_outage(self),
        }
    }
}

/// Finds out why a source can't listen on an address, without accepting a connection.
pub(crate) async fn probe(bind: &str, security: &ServerSecurity) -> Vec<Failure> {
    let tls = match security {
        ServerSecurity::Plaintext => None,
        ServerSecurity::Tls { cert, key, ca } => tls::acceptor(cert, key, ca.as_deref()).err(),
    };
    let bound = TcpListener::bind(bind).await.err();
    let bound = bound.map(|source| ListenError::Bind { address: bind.to_owned(), source });
    tls.into_iter().chain(bound).map(ListenError::into_failure).collect()
}

/// The address on which a source listens, and the limits and the security of its connections.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) component: Arc<str>,
    pub(crate) meter: Arc<Meter>,
    clock: Arc<dyn Clock>,
    descriptors: Descriptors,
    pub(crate) bind: String,
    pub(crate) connections_max: usize,
    /// Whether clients send unacknowledged events again.
    acknowledging: bool,
    pub(crate) security: ServerSecurity,
}

impl Endpoint {
    /// Makes the endpoint of a component.
    pub(crate) fn new(
        context: &Context,
        bind: &str,
        connections_max: usize,
        security: &ServerSecurity,
    ) -> Endpoint {
        Endpoint {
            component: context.component.clone(),
            meter: context.meter.clone(),
            clock: context.clock.clone(),
            descriptors: context.descriptors.clone(),
            bind: bind.to_owned(),
            connections_max,
            acknowledging: false,
            security: security.clone(),
        }
    }

    /// Returns the same endpoint for clients that send unacknowledged events again.
    pub(crate) fn acknowledging(self) -> Endpoint {
        Endpoint { acknowledging: true, ..self }
    }
}

/// A bound address, on which connections are accepted.
pub(crate) struct Listener {
    endpoint: Endpoint,
    listener: TcpListener,
    tls: Option<(TlsAcceptor, Option<Validity>)>,
    permits: Arc<Semaphore>,
    connections: Arc<Connections>,
    refused: LogLimit,
    failing: LogLimit,
}

/// An accepted connection, before its TLS handshake.
pub(crate) struct Accepted {
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    pub(crate) client: IpAddr,
    slot: Slot,
}

impl Listener {
    /// Binds the address.
    ///
    /// # Errors
    /// When the address is in use or not this machine's, or a certificate can't be read.
    pub(crate) async fn bind(endpoint: Endpoint) -> Result<Listener, ListenError> {
        let tls = match &endpoint.security {
            ServerSecurity::Plaintext => None,
            ServerSecurity::Tls { cert, key, ca } => Some(tls::acceptor(cert, key, ca.as_deref())?),
        };
        let listener = TcpListener::bind(&endpoint.bind).await;
        let listener =
            listener.map_err(|source| ListenError::Bind { address: endpoint.bind.clone(), source })?;
        endpoint.meter.finish_discovery();
        if let Ok(address) = listener.local_addr() {
            endpoint.meter.note("listens on", address.to_string());
        }
        Ok(Listener {
            listener,
            tls,
            permits: Arc::new(Semaphore::new(endpoint.connections_max.min(Semaphore::MAX_PERMITS))),
            connections: Connections::new(
                endpoint.component.clone(),
                endpoint.meter.clone(),
                endpoint.acknowledging,
            ),
            endpoint,
            refused: LogLimit::default(),
            failing: LogLimit::default(),
        })
    }

    /// Waits for the next connection that gets a slot. A connection beyond the limit is closed at once, and counted.
    /// While the process has no free descriptor, the connection waits.
    async fn accept(&self) -> Accepted {
        let Endpoint { component, meter, .. } = &self.endpoint;
        loop {
            let (stream, address) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    meter.count("connections_failed", 1);
                    if let Some(more) = self.failing.occurred() {
                        warn!(component = %component, "can't accept a connection: {error}{more}");
                    }
                    // The process is short of descriptors or memory; the client waits in the system's queue.
                    if !is_of_the_client(&error) {
                        self.connections.evict_one(None);
                        sleep(RETRY_PAUSE).await;
                    }
                    continue;
                }
            };
            meter.count("connections", 1);
            let client = canonical(address);
            let Some(permit) = self.permit(client).await else {
                meter.count("connections_refused", 1);
                if let Some(more) = self.refused.occurred() {
                    let bound = self.endpoint.connections_max;
                    warn!(component = %component, "{address} is closed: there are {bound} connections already{more}");
                }
                continue;
            };
            let descriptor = self.descriptor(client).await;
            // Without this option the system delays small answers; an error only makes them slower.
            let _: io::Result<()> = stream.set_nodelay(true);
            let tls = self.tls.as_ref().map(|(acceptor, _)| acceptor.clone());
            return Accepted { stream, tls, client, slot: self.connections.add(client, permit, descriptor) };
        }
    }

    /// Returns one of the permits that the settings allow. Returns `None` if all are held by connections that are not
    /// quiet.
    async fn permit(&self, client: IpAddr) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Some(permit);
        }
        if !self.connections.evict_one(Some(client)) {
            return None;
        }
        timeout(EVICTION_GRACE, self.permits.clone().acquire_owned()).await.ok()?.ok()
    }

    /// Waits for a descriptor for an accepted connection, and evicts quiet connections meanwhile.
    async fn descriptor(&self, client: IpAddr) -> Descriptor {
        let descriptors = &self.endpoint.descriptors;
        if let Some(descriptor) = descriptors.try_take(Purpose::Connection) {
            return descriptor;
        }
        let mut waiting = pin!(descriptors.take(Purpose::Connection));
        loop {
            self.connections.evict_one(Some(client));
            tokio::select! {
                descriptor = &mut waiting => return descriptor,
                () = sleep(RETRY_PAUSE) => {}
            }
        }
    }

    /// Reports when the certificate expires, now and each day.
    async fn watch_certificate(&self) -> Infallible {
        let Endpoint { component, meter, clock, security, .. } = &self.endpoint;
        let (Some((_, Some(validity))), ServerSecurity::Tls { cert, .. }) = (&self.tls, security) else {
            return pending().await;
        };
        loop {
            validity.report(component, &cert.display().to_string(), meter, clock);
            sleep(DAY).await;
        }
    }

    /// Serves each connection in its own task until `stop`, then waits for the tasks.
    pub(crate) async fn serve<Served>(self, stop: CancellationToken, serve: impl Fn(Accepted) -> Served)
    where
        Served: Future<Output = ()> + Send + 'static,
    {
        let mut clients = JoinSet::new();
        tokio::select! {
            () = stop.cancelled() => {}
            never = self.serve_all(&mut clients, &serve) => match never {},
            never = self.watch_certificate() => match never {},
        }
        // `serve` holds a sender of the gatherer's queue, and the source ends when all senders are dropped.
        drop((self, serve));
        while clients.join_next().await.is_some() {}
    }

    async fn serve_all<Served>(
        &self,
        clients: &mut JoinSet<()>,
        serve: impl Fn(Accepted) -> Served,
    ) -> Infallible
    where
        Served: Future<Output = ()> + Send + 'static,
    {
        loop {
            // An accepted connection may wait for its slot, so the future is kept when another connection ends.
            let mut accepting = pin!(self.accept());
            let accepted = loop {
                tokio::select! {
                    accepted = &mut accepting => break accepted,
                    Some(_ended) = clients.join_next() => {}
                }
            };
            clients.spawn(serve(accepted));
        }
    }
}

/// Whether a connection could not be accepted because its client has gone meanwhile.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | TimedOut)
}

fn canonical(address: SocketAddr) -> IpAddr {
    address.ip().to_canonical()
}

impl Accepted {
    /// Does the TLS handshake, if the listener has TLS, within [`HANDSHAKE_TIMEOUT`].
    ///
    /// # Errors
    /// When the handshake fails or takes too long, or the connection is evicted.
    async fn handshake(self) -> io::Result<(Connection, Slot)> {
        let Accepted { stream, tls, slot, .. } = self;
        let stream = match tls {
            None => Stream::Plain(stream),
            Some(tls) => {
                let activity = slot.activity().clone();
                let agreed = tokio::select! {
                    agreed = timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)) => agreed??,
                    () = activity.evicted() => return Err(io::ErrorKind::ConnectionAborted.into()),
                };
                Stream::Tls(Box::new(agreed))
            }
        };
        Ok((Connection::new(stream, slot.activity().clone()), slot))
    }

    /// Does the TLS handshake unless the source is stopped meanwhile. A failed handshake is counted.
    pub(crate) async fn handshake_until(
        self,
        stop: &CancellationToken,
        component: &str,
        meter: &Meter,
    ) -> Option<(Connection, Slot)> {
        let client = self.client;
        let secured = tokio::select! {
            () = stop.cancelled() => return None,
            secured = self.handshake() => secured,
        };
        let counted = secured.inspect_err(|error| {
            meter.count("connections_failed", 1);
            debug!(component, "the TLS handshake with {client} has failed: {error}");
        });
        counted.ok()
    }
}

/// Makes a column of the addresses of clients. An IPv4 address is mapped into IPv6.
pub(crate) fn addresses(clients: &[IpAddr]) -> Result<Column, ArrowError> {
    let bytes = |client: &IpAddr| match client {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    match clients {
        [first, others @ ..] if others.iter().any(|other| other != first) => {
            let array = FixedSizeBinaryArray::try_from_iter(clients.iter().map(bytes))?;
            Ok(Column::Array(Arc::new(array)))
        }
        _ => {
            let first = clients.first().copied().unwrap_or(IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED));
            let array: ArrayRef = Arc::new(FixedSizeBinaryArray::try_from_iter([bytes(&first)].into_iter())?);
            Ok(Column::Constant(Scalar::new(array)))
        }
    }
}

/// Returns the name of this machine.
pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
