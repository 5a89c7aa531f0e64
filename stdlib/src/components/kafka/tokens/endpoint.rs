//! Token endpoints: a server gives a client a token for its credentials (OAuth 2.0, RFC 6749, section 4.4).

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::StatusCode;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use weir_plan::SecretReference;

use super::{Token, TokenError};
use crate::components::kafka::http::{HttpError, Server, shown};
use crate::tools::secrets;

/// How long an endpoint may take for an answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// A token endpoint, and the credentials of a client.
#[derive(Debug)]
pub(super) struct Endpoint {
    pub(super) url: String,
    pub(super) client: String,
    pub(super) secret: SecretReference,
    pub(super) scope: Option<String>,
    /// The file with the certificates to trust (PEM); none for those of the machine.
    pub(super) ca: Option<String>,
}

/// The answer of an endpoint: a token, or an error (RFC 6749, sections 5.1 and 5.2).
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    access_token: Option<String>,
    expires_in: Option<Seconds>,
    error: Option<String>,
    error_description: Option<String>,
}

/// A number, which some servers write as a text.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(f64),
    Text(String),
    Other(serde::de::IgnoredAny),
}

impl Seconds {
    fn lifetime(&self) -> Option<Duration> {
        let seconds = match self {
            Seconds::Number(seconds) => *seconds,
            Seconds::Text(text) => text.trim().parse().ok()?,
            Seconds::Other(_) => return None,
        };
        Duration::try_from_secs_f64(seconds).ok()
    }
}

impl Endpoint {
    /// Gets a token. Reads the client's secret.
    ///
    /// # Errors
    /// When the endpoint does not answer within [`ANSWER_TIMEOUT`], or gives none.
    pub(super) async fn fetch(&self) -> Result<Token, TokenError> {
        let read = secrets::read(&self.secret);
        let secret = read.map_err(|source| TokenError::Secret { setting: "secret", source })?;
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let pair = BASE64_STANDARD.encode(format!("{}:{}", encoded(&self.client), encoded(&secret)));
        let server = Server::new(&self.url).map_err(TokenError::Endpoint)?;
        let request = server
            .post(server.path())
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .header(ACCEPT, "application/json")
            .header(AUTHORIZATION, format!("Basic {pair}"));
        let mut body = "grant_type=client_credentials".to_owned();
        if let Some(scope) = &self.scope {
            body.push_str("&scope=");
            body.push_str(&encoded(scope));
        }
        let asked = server.ask(request, body, self.ca.as_deref(), ANSWER_TIMEOUT).await;
        let (status, answer) = asked.map_err(|error| match error {
            HttpError::Authorities { .. } => TokenError::Authorities(error),
            error => TokenError::Endpoint(error),
        })?;
        let answer: Answer = serde_json::from_slice(&answer).unwrap_or_default();
        match &answer.access_token {
            Some(token) if status.is_success() => {
                let lifetime = answer.expires_in.as_ref().and_then(Seconds::lifetime);
                let now = SystemTime::now();
                let token = Token::new(token.clone(), lifetime, now).filter(|token| token.is_valid(now));
                token.ok_or_else(|| TokenError::NoToken { url: self.url.clone(), status })
            }
            _ => Err(self.refusal(status, &answer)),
        }
    }

    /// Returns the error that an answer without a token shows.
    fn refusal(&self, status: StatusCode, answer: &Answer) -> TokenError {
        let url = self.url.clone();
        let said = answer.error_description.as_ref().or(answer.error.as_ref());
        let reason = said.map_or_else(String::new, |said| shown(said));
        match (status.as_u16(), &answer.error) {
            (429 | 500.., _) => TokenError::Trouble { url, status, reason },
            (401 | 403, _) | (_, Some(_)) => {
                let setting = match answer.error.as_deref() {
                    Some("invalid_scope") => "scope",
                    Some("unauthorized_client") => "client",
                    _ => "secret",
                };
                TokenError::Refused { setting, url, client: self.client.clone(), status, reason }
            }
            (_, None) => TokenError::NoToken { url, status },
        }
    }
}
