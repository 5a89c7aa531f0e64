//! A client of schema registries with the interface of Confluent's
//! (<https://docs.confluent.io/platform/current/schema-registry/develop/api.html>).
//!
//! It knows two requests: `POST /subjects/SUBJECT` looks a schema up, and `POST /subjects/SUBJECT/versions` registers it. Both
//! answer with the number of the schema.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use hyper::http::request::Builder;
use serde_json::{Value, json};
use thiserror::Error;
use weir_runtime::{Cause, Failure};

use super::http::{HttpError, Server, shown};
use crate::formats::messages::{MissingSchema, SchemaRegistry};
use crate::tools::secrets::{self, SecretError};

/// The media type of requests and answers.
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// How long a registry may take for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);

/// Why a registry gives no number.
#[derive(Debug, Error)]
pub(super) enum RegistryError {
    #[error("`password` of `registry`")]
    Password(#[source] SecretError),
    #[error("`ca` of `registry`")]
    Authorities(#[source] HttpError),
    #[error("`registry`")]
    Http(#[source] HttpError),
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
            RegistryError::Http(error) => match error.outage() {
                Some(cause) => cause,
                None => return Failure::permanent(self),
            },
            RegistryError::Password(_)
            | RegistryError::Authorities(_)
            | RegistryError::Missing { .. }
            | RegistryError::Refused { .. }
            | RegistryError::NoRegistry { .. } => return Failure::permanent(self),
            RegistryError::NotAuthorised { .. } => Cause::NotAuthorised,
            RegistryError::Trouble { .. } => Cause::Protocol,
        };
        Failure::transient(self).caused_by(cause)
    }
}

impl From<HttpError> for RegistryError {
    fn from(error: HttpError) -> RegistryError {
        match error {
            HttpError::Authorities { .. } => RegistryError::Authorities(error),
            error => RegistryError::Http(error),
        }
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
        let server = Server::new(&self.url)?;
        let request = self.request(&server, registers)?;
        let body = json!({ "schema": schema }).to_string();
        let (status, body): (StatusCode, Bytes) =
            server.ask(request, body, self.ca.as_deref(), ANSWER_TIMEOUT).await?;
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
        let reason = said.map_or_else(String::new, shown);
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

    fn request(&self, server: &Server<'_>, registers: bool) -> Result<Builder, RegistryError> {
        let subject =
            percent_encoding::utf8_percent_encode(&self.subject, percent_encoding::NON_ALPHANUMERIC);
        let versions = if registers { "/versions" } else { "" };
        let below = server.path().split('?').next().unwrap_or_default().trim_end_matches('/');
        let request = server.post(&format!("{below}/subjects/{subject}{versions}"));
        let request = request.header(CONTENT_TYPE, MEDIA_TYPE).header(ACCEPT, MEDIA_TYPE);
        let Some(user) = &self.user else { return Ok(request) };
        let password =
            self.password.as_ref().map(secrets::read).transpose().map_err(RegistryError::Password)?;
        let pair = BASE64_STANDARD.encode(format!("{user}:{}", password.unwrap_or_default()));
        Ok(request.header(AUTHORIZATION, format!("Basic {pair}")))
    }
}

#[cfg(test)]
mod tests;
