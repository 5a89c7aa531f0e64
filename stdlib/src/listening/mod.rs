//! What sources that listen have in common: an address, a bound of connections, TLS, and the columns
//! that say who has sent an event.

mod connection;
mod gathering;
mod text_maps;
mod tls;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arrow_array::{ArrayRef, FixedSizeBinaryArray, Scalar};
use arrow_schema::ArrowError;
use serde::Deserialize;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};
use weir_runtime::batch::Column;
use weir_runtime::{Failure, Meter, Remedy, remedy};

pub(crate) use connection::Connection;
pub(crate) use gathering::{Gatherer, Notice, Piece};
pub(crate) use text_maps::TextMaps;

/// How long a client may take to agree on a protection.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The wait when the system has no descriptor for a connection.
const OUT_OF_DESCRIPTORS: Duration = Duration::from_millis(100);

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
    pub(crate) bind: String,
    pub(crate) connections_max: usize,
    pub(crate) security: ServerSecurity,
}

/// Takes connections.
pub(crate) struct Listener {
    endpoint: Endpoint,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    places: Arc<Semaphore>,
}

/// A client that has come, not yet protected.
pub(crate) struct Arrival {
    stream: tokio::net::TcpStream,
    tls: Option<TlsAcceptor>,
    pub(crate) client: IpAddr,
    place: OwnedSemaphorePermit,
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
        if let Ok(address) = listener.local_addr() {
            endpoint.meter.note("listens on", address.to_string());
        }
        let places = Arc::new(Semaphore::new(endpoint.connections_max));
        Ok(Listener { endpoint, listener, tls, places })
    }

    /// The next client. One that is too many is closed at once, and counted.
    async fn accept(&self) -> Arrival {
        loop {
            let (stream, address) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    // The client has gone meanwhile, or there are no descriptors: others go on.
                    debug!(component = %self.endpoint.component, "can't accept a connection: {error}");
                    self.endpoint.meter.count("connections_failed", 1);
                    sleep(OUT_OF_DESCRIPTORS).await;
                    continue;
                }
            };
            self.endpoint.meter.count("connections", 1);
            let Ok(place) = self.places.clone().try_acquire_owned() else {
                self.endpoint.meter.count("connections_refused", 1);
                warn!(
                    component = %self.endpoint.component,
                    "{address} is closed: there are {} connections already", self.endpoint.connections_max
                );
                continue;
            };
            // Without it answers wait for others; an error only makes them slower.
            let _: io::Result<()> = stream.set_nodelay(true);
            return Arrival { stream, tls: self.tls.clone(), client: canonical(address), place };
        }
    }

    /// Serves each client in a task of its own until `stop`, then waits for those that are there.
    pub(crate) async fn serve<Served>(self, stop: CancellationToken, serve: impl Fn(Arrival) -> Served)
    where
        Served: Future<Output = ()> + Send + 'static,
    {
        let mut clients = JoinSet::new();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                arrival = self.accept() => {
                    clients.spawn(serve(arrival));
                }
                Some(_ended) = clients.join_next() => {}
            }
        }
        // What brings no more pieces lets the source end.
        drop((self, serve));
        while clients.join_next().await.is_some() {}
    }
}

fn canonical(address: SocketAddr) -> IpAddr {
    address.ip().to_canonical()
}

impl Arrival {
    /// Agrees on the protection, within a time.
    ///
    /// # Errors
    /// When the client does not.
    pub(crate) async fn protect(self) -> io::Result<(Connection, OwnedSemaphorePermit)> {
        let Arrival { stream, tls, place, .. } = self;
        let connection = match tls {
            None => Connection::Plain(stream),
            Some(tls) => Connection::Tls(Box::new(timeout(HANDSHAKE, tls.accept(stream)).await??)),
        };
        Ok((connection, place))
    }

    /// The same, unless the source is stopped meanwhile. A client that does not agree is counted.
    pub(crate) async fn protect_until(
        self,
        stop: &CancellationToken,
        component: &str,
        meter: &Meter,
    ) -> Option<(Connection, OwnedSemaphorePermit)> {
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
