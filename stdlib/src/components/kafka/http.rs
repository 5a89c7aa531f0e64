//! Requests by HTTP/1.1 to the servers beside the brokers: schema registries, and servers that give tokens.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::HOST;
use hyper::http::request::Builder;
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use weir_runtime::Cause;

use super::certificates::{SYSTEM, trusting};

/// The longest answer that is read, in bytes: a registry repeats the schema.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// The most characters of a server's reason that are shown.
const REASON_CHARACTERS_MAX: usize = 300;

/// Why a server gives no answer.
#[derive(Debug, Error)]
pub(super) enum HttpError {
    #[error("{0:?} is no address like `https://host:port/path`")]
    Address(String),
    #[error("{path} can't be read")]
    Authorities { path: String, source: io::Error },
    #[error("{url} can't be reached")]
    Connection { url: String, source: io::Error },
    #[error("{url} gives no proper answer")]
    Protocol { url: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("{url} has not answered for {} s", limit.as_secs())]
    Silent { url: String, limit: Duration },
}

impl HttpError {
    /// The cause of an outage; none if the settings have to be changed.
    pub(super) fn outage(&self) -> Option<Cause> {
        match self {
            HttpError::Address(_) | HttpError::Authorities { .. } => None,
            HttpError::Connection { source, .. } => Some(cause_of(source)),
            HttpError::Protocol { .. } => Some(Cause::Protocol),
            HttpError::Silent { .. } => Some(Cause::TimedOut),
        }
    }
}

fn cause_of(error: &io::Error) -> Cause {
    let is_tls = error.get_ref().is_some_and(|inner| inner.is::<tokio_rustls::rustls::Error>());
    match is_tls {
        true => Cause::Tls,
        false => Cause::of_system_error(error).unwrap_or(Cause::NoSuchHost),
    }
}

/// Returns `: REASON` for a reason that a server gives, short and without control characters.
pub(super) fn shown(reason: &str) -> String {
    let printable = reason.chars().filter(|character| !character.is_control());
    let shown: String = printable.take(REASON_CHARACTERS_MAX).collect();
    format!(": {}", shown.trim_end_matches(['.', ' ']))
}

/// A server, as its URL says.
#[derive(Debug)]
pub(super) struct Server<'u> {
    url: &'u str,
    uri: Uri,
    is_tls: bool,
}

impl<'u> Server<'u> {
    /// # Errors
    /// When the text is no URL with the scheme `http` or `https` and a host.
    pub(super) fn new(url: &'u str) -> Result<Server<'u>, HttpError> {
        let no_address = || HttpError::Address(url.to_owned());
        let uri: Uri = url.parse().map_err(|_| no_address())?;
        let is_tls = match uri.scheme_str() {
            Some("http") => false,
            Some("https") => true,
            _ => return Err(no_address()),
        };
        match uri.host() {
            Some(host) if !host.is_empty() => Ok(Server { url, uri, is_tls }),
            _ => Err(no_address()),
        }
    }

    /// The path of the URL, with its query, which begins with a slash.
    pub(super) fn path(&self) -> &str {
        self.uri.path_and_query().map_or("/", |path| path.as_str())
    }

    /// Begins a POST request for a path of this server.
    pub(super) fn post(&self, path: &str) -> Builder {
        let authority = self.uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        // A user within the URL is no part of the host.
        let host = authority.rsplit('@').next().unwrap_or_default();
        Request::post(path).header(HOST, host)
    }

    /// Sends a request on a connection of its own. Trusts the authorities in the file `ca` (PEM), or those of the machine.
    ///
    /// # Errors
    /// When the server does not answer within `limit`, or can't be connected with.
    pub(super) async fn ask(
        &self,
        request: Builder,
        body: String,
        ca: Option<&str>,
        limit: Duration,
    ) -> Result<(StatusCode, Bytes), HttpError> {
        let request = request.body(Full::from(body)).map_err(|_| HttpError::Address(self.url.to_owned()))?;
        let asked = timeout(limit, self.exchange(request, ca)).await;
        asked.unwrap_or_else(|_elapsed| Err(HttpError::Silent { url: self.url.to_owned(), limit }))
    }

    async fn exchange(
        &self,
        request: Request<Full<Bytes>>,
        ca: Option<&str>,
    ) -> Result<(StatusCode, Bytes), HttpError> {
        // Brackets around an IPv6 address belong to the URL.
        let host = self.uri.host().unwrap_or_default().trim_matches(['[', ']']);
        let port = self.uri.port_u16().unwrap_or(if self.is_tls { 443 } else { 80 });
        let unreachable = |source| HttpError::Connection { url: self.url.to_owned(), source };
        let tls = match self.is_tls {
            true => {
                let name = ServerName::try_from(host.to_owned());
                Some((connector(ca)?, name.map_err(|_| HttpError::Address(self.url.to_owned()))?))
            }
            false => None,
        };
        let stream = TcpStream::connect((host, port)).await.map_err(unreachable)?;
        match tls {
            None => self.send(stream, request).await,
            Some((connector, name)) => {
                let stream = connector.connect(name, stream).await.map_err(unreachable)?;
                self.send(stream, request).await
            }
        }
    }

    async fn send(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), HttpError> {
        let broken = |source| HttpError::Protocol { url: self.url.to_owned(), source };
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(error.into()))?;
        let exchange = async {
            let answer = sender.send_request(request).await.map_err(|error| broken(error.into()))?;
            let status = answer.status();
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await.map_err(broken)?;
            Ok((status, body.to_bytes()))
        };
        tokio::pin!(exchange);
        tokio::select! {
            biased;
            exchanged = &mut exchange => return exchanged,
            // The connection may end with its answer read already.
            _ended = connection => {}
        }
        exchange.await
    }
}

fn connector(ca: Option<&str>) -> Result<TlsConnector, HttpError> {
    let path = ca.unwrap_or(SYSTEM);
    let config = trusting(Path::new(path))
        .map_err(|source| HttpError::Authorities { path: path.to_owned(), source })?;
    Ok(TlsConnector::from(Arc::new(config)))
}
