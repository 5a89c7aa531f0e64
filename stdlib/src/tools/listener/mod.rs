//! What sources that listen have in common: an address, a bound of connections, TLS, and the columns
//! that say who has sent an event.

mod certificate;
mod connection;
mod gathering;
mod places;
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
pub(crate) use gathering::{Gatherer, Notice, Piece, Room};
use places::Places;
pub(crate) use places::{Guest, Place, UnderWay};
pub(crate) use text_maps::TextMaps;

/// How long a stopped source waits for the rest of what a client has begun to send, and for clients to take
/// their last answers.
pub(crate) const STOP_GRACE: Duration = Duration::from_secs(1);
/// How long a client may take to agree on a protection.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The wait until it is looked again for a descriptor for a connection.
pub(crate) const PAUSE: Duration = Duration::from_millis(100);
/// How long a client that is to leave may take for it.
pub(crate) const LEAVE: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The enum `ServerSecurity` of the signatures.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ServerSecurity {
    Plaintext,
    Tls { cert: PathBuf, key: PathBuf, ca: Option<PathBuf> },
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
    /// An address may become free, and its name be found; a certificate has to be put right, and so has an
    /// address that this process may not have.
    pub(crate) fn into_failure(self) -> Failure {
        match &self {
            ListenError::Bind { source, .. } => match remedy(source) {
                _ if source.kind() == io::ErrorKind::InvalidInput => Failure::permanent(self),
                Some(Remedy::Waiting) | None => Failure::transient(self),
                Some(Remedy::Repair | Remedy::None) => Failure::permanent(self),
            },
            _ => Failure::unless_outage(self),
        }
    }
}

/// Why a source can't listen there, tried without taking anything.
pub(crate) async fn probe(bind: &str, security: &ServerSecurity) -> Vec<Failure> {
    let tls = match security {
        ServerSecurity::Plaintext => None,
        ServerSecurity::Tls { cert, key, ca } => tls::acceptor(cert, key, ca.as_deref()).err(),
    };
    let bound = TcpListener::bind(bind).await.err();
    let bound = bound.map(|source| ListenError::Bind { address: bind.to_owned(), source });
    tls.into_iter().chain(bound).map(ListenError::into_failure).collect()
}

/// Where a source listens, and how many may be connected.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) component: Arc<str>,
    pub(crate) meter: Arc<Meter>,
    clock: Arc<dyn Clock>,
    descriptors: Descriptors,
    pub(crate) bind: String,
    pub(crate) connections_max: usize,
    /// Whether clients send again what was not acknowledged.
    acknowledging: bool,
    pub(crate) security: ServerSecurity,
}

impl Endpoint {
    /// Where a component of this context listens.
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

    /// The same for clients that send again what was not acknowledged.
    pub(crate) fn acknowledging(self) -> Endpoint {
        Endpoint { acknowledging: true, ..self }
    }
}

/// Takes connections.
pub(crate) struct Listener {
    endpoint: Endpoint,
    listener: TcpListener,
    tls: Option<(TlsAcceptor, Option<Validity>)>,
    permits: Arc<Semaphore>,
    places: Arc<Places>,
    refused: LogLimit,
    failing: LogLimit,
}

/// A client that has come, not yet protected.
pub(crate) struct Arrival {
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    pub(crate) client: IpAddr,
    place: Place,
}

impl Listener {
    /// Binds the address.
    ///
    /// # Errors
    /// When it is in use or not this machine's, or a certificate can't be read.
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
            places: Places::new(endpoint.component.clone(), endpoint.meter.clone(), endpoint.acknowledging),
            endpoint,
            refused: LogLimit::default(),
            failing: LogLimit::default(),
        })
    }

    /// The next client. One that is too many is closed at once, and counted. While the process has no descriptor
    /// left for it, it waits.
    async fn accept(&self) -> Arrival {
        let Endpoint { component, meter, .. } = &self.endpoint;
        loop {
            let (stream, address) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    meter.count("connections_failed", 1);
                    if let Some(more) = self.failing.occurred() {
                        warn!(component = %component, "can't accept a connection: {error}{more}");
                    }
                    // Without a descriptor or memory the client waits in the system's queue.
                    if !is_of_the_client(&error) {
                        self.places.dismiss_one(None);
                        sleep(PAUSE).await;
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
            // Without it answers wait for others; an error only makes them slower.
            let _: io::Result<()> = stream.set_nodelay(true);
            let tls = self.tls.as_ref().map(|(acceptor, _)| acceptor.clone());
            return Arrival { stream, tls, client, place: self.places.give(client, permit, descriptor) };
        }
    }

    /// One of the connections that the settings allow; none if all are taken by clients that are not quiet.
    async fn permit(&self, client: IpAddr) -> Option<OwnedSemaphorePermit> {
        if let Ok(permit) = self.permits.clone().try_acquire_owned() {
            return Some(permit);
        }
        if !self.places.dismiss_one(Some(client)) {
            return None;
        }
        timeout(LEAVE, self.permits.clone().acquire_owned()).await.ok()?.ok()
    }

    /// A descriptor for a client that has come. Quiet clients leave for it.
    async fn descriptor(&self, client: IpAddr) -> Descriptor {
        let descriptors = &self.endpoint.descriptors;
        if let Some(descriptor) = descriptors.try_take(Purpose::Connection) {
            return descriptor;
        }
        let mut waiting = pin!(descriptors.take(Purpose::Connection));
        loop {
            self.places.dismiss_one(Some(client));
            tokio::select! {
                descriptor = &mut waiting => return descriptor,
                () = sleep(PAUSE) => {}
            }
        }
    }

    /// Says when the certificate ends, now and each day.
    async fn watch_certificate(&self) -> Infallible {
        let Endpoint { component, meter, clock, security, .. } = &self.endpoint;
        let (Some((_, Some(validity))), ServerSecurity::Tls { cert, .. }) = (&self.tls, security) else {
            return pending().await;
        };
        loop {
            validity.show(component, &cert.display().to_string(), meter, clock);
            sleep(DAY).await;
        }
    }

    /// Serves each client in a task of its own until `stop`, then waits for those that are there.
    pub(crate) async fn serve<Served>(self, stop: CancellationToken, serve: impl Fn(Arrival) -> Served)
    where
        Served: Future<Output = ()> + Send + 'static,
    {
        let mut clients = JoinSet::new();
        tokio::select! {
            () = stop.cancelled() => {}
            never = self.serve_all(&mut clients, &serve) => match never {},
            never = self.watch_certificate() => match never {},
        }
        // What brings no more pieces lets the source end.
        drop((self, serve));
        while clients.join_next().await.is_some() {}
    }

    async fn serve_all<Served>(
        &self,
        clients: &mut JoinSet<()>,
        serve: impl Fn(Arrival) -> Served,
    ) -> Infallible
    where
        Served: Future<Output = ()> + Send + 'static,
    {
        loop {
            // A client that has come may wait for its place: it is not dropped because another one ends.
            let mut accepting = pin!(self.accept());
            let arrival = loop {
                tokio::select! {
                    arrival = &mut accepting => break arrival,
                    Some(_ended) = clients.join_next() => {}
                }
            };
            clients.spawn(serve(arrival));
        }
    }
}

/// Whether a client that could not be accepted has gone meanwhile.
fn is_of_the_client(error: &io::Error) -> bool {
    use io::ErrorKind::*;
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | TimedOut)
}

fn canonical(address: SocketAddr) -> IpAddr {
    address.ip().to_canonical()
}

impl Arrival {
    /// Agrees on the protection, within a time.
    ///
    /// # Errors
    /// When the client does not.
    async fn protect(self) -> io::Result<(Connection, Place)> {
        let Arrival { stream, tls, place, .. } = self;
        let stream = match tls {
            None => Stream::Plain(stream),
            Some(tls) => {
                let guest = place.guest().clone();
                let agreed = tokio::select! {
                    agreed = timeout(HANDSHAKE, tls.accept(stream)) => agreed??,
                    () = guest.has_to_leave() => return Err(io::ErrorKind::ConnectionAborted.into()),
                };
                Stream::Tls(Box::new(agreed))
            }
        };
        Ok((Connection::new(stream, place.guest().clone()), place))
    }

    /// The same, unless the source is stopped meanwhile. A client that does not agree is counted.
    pub(crate) async fn protect_until(
        self,
        stop: &CancellationToken,
        component: &str,
        meter: &Meter,
    ) -> Option<(Connection, Place)> {
        let client = self.client;
        let protected = tokio::select! {
            () = stop.cancelled() => return None,
            protected = self.protect() => protected,
        };
        let counted = protected.inspect_err(|error| {
            meter.count("connections_failed", 1);
            debug!(component, "{client} could not be protected: {error}");
        });
        counted.ok()
    }
}

/// The addresses of clients as a column: an IPv4 address is mapped into IPv6.
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

/// The name of this machine.
pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
