//! A client of schema registries with the interface of Confluent's
//! (<https://docs.confluent.io/platform/current/schema-registry/develop/api.html>).
//!
//! It knows two requests: `POST /subjects/SUBJECT` looks a schema up, and `POST /subjects/SUBJECT/versions` registers it. Both
//! answer with the number of the schema.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Request, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use weir_runtime::{Cause, Failure};

use super::certificates::{SYSTEM, trusting};
use crate::formats::messages::{MissingSchema, SchemaRegistry};
use crate::tools::secrets::{self, SecretError};

/// The media type of requests and answers.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// How long a registry may take for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// The longest answer that is read, in bytes: it repeats the schema.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// The most characters of a registry's reason that are shown.
const REASON_CHARACTERS_MAX: usize = 300;

/// Why a registry gives no number.
#[derive(Debug, Error)]
pub(super) enum RegistryError {
    #[error("`registry`: {0:?} is no address like `https://registry:8081`")]
    Address(String),
    #[error("`password` of `registry`")]
    Password(#[source] SecretError),
    #[error("`ca` of `registry`: {path} can't be read")]
    Authorities { path: String, source: io::Error },
    #[error("`registry`: {url} can't be reached")]
    Connection { url: String, source: io::Error },
    #[error("`registry`: {url} gives no proper answer")]
    Protocol { url: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("`registry`: {url} has not answered for {} s", ANSWER_TIMEOUT.as_secs())]
    Silent { url: String },
    #[error(
        "`registry`: {url} does not let the agent in ({status}{reason}): `user` and `password` say who it is"
    )]
    NotAuthorised { url: String, status: StatusCode, reason: String },
    #[error(
        "`registry`: {url} has no such schema for the subject {subject:?}{reason}: register it there, or set \
         `missing: register`"
    )]
    Missing { url: String, subject: String, reason: String },
    #[error("`registry`: {url} does not take the schema for the subject {subject:?} ({status}{reason})")]
    Refused { url: String, subject: String, status: StatusCode, reason: String },
    #[error("`registry`: {url} is in trouble ({status}{reason})")]
    Trouble { url: String, status: StatusCode, reason: String },
    #[error("`registry`: {url} answers {status}{reason}: is it the address of a schema registry?")]
    NoRegistry { url: String, status: StatusCode, reason: String },
}

impl RegistryError {
    /// Tells troubles that may pass from mistakes.
    pub(super) fn into_failure(self) -> Failure {
        let cause = match &self {
            RegistryError::Address(_)
            | RegistryError::Password(_)
            | RegistryError::Authorities { .. }
            | RegistryError::Missing { .. }
            | RegistryError::Refused { .. }
            | RegistryError::NoRegistry { .. } => return Failure::permanent(self),
            RegistryError::NotAuthorised { .. } => Cause::NotAuthorised,
            RegistryError::Connection { source, .. } => cause_of(source),
            RegistryError::Protocol { .. } | RegistryError::Trouble { .. } => Cause::Protocol,
            RegistryError::Silent { .. } => Cause::TimedOut,
        };
        Failure::transient(self).caused_by(cause)
    }
}

fn cause_of(error: &io::Error) -> Cause {
    let is_tls = error.get_ref().is_some_and(|inner| inner.is::<tokio_rustls::rustls::Error>());
    match is_tls {
        true => Cause::Tls,
        false => Cause::of_system_error(error).unwrap_or(Cause::NoSuchHost),
    }
}

impl SchemaRegistry {
    /// Returns the number of a schema, which is registered if it is missing and the settings say so.
    ///
    /// # Errors
    /// When the registry can't be asked, does not have the schema, or does not take it.
    pub(super) async fn number(&self, schema: &str) -> Result<u32, RegistryError> {
        self.ask(schema, self.missing == MissingSchema::Register).await
    }

    /// Returns whether the registry has the schema, or may take it: nothing is registered.
    ///
    /// # Errors
    /// When the registry can't be asked, or lacks a schema that it must have.
    pub(super) async fn look_up(&self, schema: &str) -> Result<(), RegistryError> {
        match self.ask(schema, false).await {
            Err(RegistryError::Missing { .. }) if self.missing == MissingSchema::Register => Ok(()),
            asked => asked.map(drop),
        }
    }

    async fn ask(&self, schema: &str, registers: bool) -> Result<u32, RegistryError> {
        let asked = timeout(ANSWER_TIMEOUT, self.exchange(schema, registers)).await;
        let (status, body) =
            asked.unwrap_or_else(|_elapsed| Err(RegistryError::Silent { url: self.url.clone() }))?;
        let answer: Option<Value> = serde_json::from_slice(&body).ok();
        let number = answer.as_ref().and_then(|answer| u32::try_from(answer["id"].as_u64()?).ok());
        match number {
            Some(number) if status.is_success() => Ok(number),
            _ => Err(self.refusal(status, answer.as_ref())),
        }
    }

    /// Returns the error that an answer without a number shows.
    fn refusal(&self, status: StatusCode, answer: Option<&Value>) -> RegistryError {
        let (url, subject) = (self.url.clone(), self.subject.clone());
        let said = answer.and_then(|answer| answer["message"].as_str());
        let reason = said.map_or_else(String::new, |said| {
            let printable = said.chars().filter(|character| !character.is_control());
            let shown: String = printable.take(REASON_CHARACTERS_MAX).collect();
            format!(": {}", shown.trim_end_matches(['.', ' ']))
        });
        // A registry names the error by a number; 404 alone may come from another server.
        let is_registry = answer.is_some_and(|answer| answer["error_code"].is_u64());
        match status.as_u16() {
            401 | 403 => RegistryError::NotAuthorised { url, status, reason },
            404 if is_registry => RegistryError::Missing { url, subject, reason },
            409 | 422 if is_registry => RegistryError::Refused { url, subject, status, reason },
            429 | 500.. => RegistryError::Trouble { url, status, reason },
            _ => RegistryError::NoRegistry { url, status, reason },
        }
    }

    async fn exchange(&self, schema: &str, registers: bool) -> Result<(StatusCode, Bytes), RegistryError> {
        let no_address = || RegistryError::Address(self.url.clone());
        let uri: Uri = self.url.parse().map_err(|_| no_address())?;
        let (scheme, host) = uri.scheme_str().zip(uri.host()).ok_or_else(no_address)?;
        let is_tls = match scheme {
            "http" => false,
            "https" => true,
            _ => return Err(no_address()),
        };
        let port = uri.port_u16().unwrap_or(if is_tls { 443 } else { 80 });
        let request = self.request(&uri, schema, registers)?;
        let unreachable = |source| RegistryError::Connection { url: self.url.clone(), source };
        // Brackets around an IPv6 address belong to the URL.
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let tls = match is_tls {
            true => {
                Some((self.connector()?, ServerName::try_from(host.to_owned()).map_err(|_| no_address())?))
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

    fn connector(&self) -> Result<TlsConnector, RegistryError> {
        let path = self.ca.as_deref().unwrap_or(SYSTEM);
        let config = trusting(Path::new(path))
            .map_err(|source| RegistryError::Authorities { path: path.to_owned(), source })?;
        Ok(TlsConnector::from(Arc::new(config)))
    }

    fn request(
        &self,
        uri: &Uri,
        schema: &str,
        registers: bool,
    ) -> Result<Request<Full<Bytes>>, RegistryError> {
        let subject =
            percent_encoding::utf8_percent_encode(&self.subject, percent_encoding::NON_ALPHANUMERIC);
        let versions = if registers { "/versions" } else { "" };
        let path = format!("{}/subjects/{subject}{versions}", uri.path().trim_end_matches('/'));
        let body = json!({ "schema": schema }).to_string();
        let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
        // A user within the URL is no part of the host.
        let host = authority.rsplit('@').next().unwrap_or_default();
        let mut request = Request::post(path)
            .header(HOST, host)
            .header(CONTENT_TYPE, MEDIA_TYPE)
            .header(ACCEPT, MEDIA_TYPE);
        if let Some(user) = &self.user {
            let password =
                self.password.as_ref().map(secrets::read).transpose().map_err(RegistryError::Password)?;
            let pair = BASE64_STANDARD.encode(format!("{user}:{}", password.unwrap_or_default()));
            request = request.header(AUTHORIZATION, format!("Basic {pair}"));
        }
        request.body(Full::from(body)).map_err(|_| RegistryError::Address(self.url.clone()))
    }

    async fn send(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        request: Request<Full<Bytes>>,
    ) -> Result<(StatusCode, Bytes), RegistryError> {
        let broken = |source| RegistryError::Protocol { url: self.url.clone(), source };
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

#[cfg(test)]
mod tests;
