//! Authentication of clients: HTTP Basic, or a bearer token.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use serde::Deserialize;
use thiserror::Error;
use weir_plan::SecretReference;

use crate::tools::secrets::{self, SecretError};

/// The enum `HttpAuthentication` of the signature.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Authentication {
    None,
    Basic { user: String, password: SecretReference },
    Bearer { token: SecretReference },
}

/// The credentials that a client has to send.
pub(super) struct Credentials {
    /// The scheme in lower case, and the text behind it in the header; `None` accepts every client.
    expected: Option<(&'static str, String)>,
}

/// Why no client could be authenticated with these settings.
#[derive(Debug, Error)]
pub(super) enum AuthenticationError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("the token in {place} {fault}: no client can send it in a header, so none would be let in")]
    Token { place: String, fault: &'static str },
    #[error(
        "the user {user:?} of `basic` has a colon, which ends the user's name in a request: the text behind it \
         would be taken for the password"
    )]
    User { user: String },
}

/// Says in words why a token can't be the value of a header.
fn unsendable(token: &str) -> &'static str {
    match token {
        token if token.contains(['\n', '\r']) => "has a line break",
        token if token.trim() != token => "begins or ends with a space",
        token if !token.is_ascii() => "has characters that are not ASCII",
        _ => "has a control character",
    }
}

impl Authentication {
    /// Checks whether clients can send the credentials, as far as this is possible without reading secrets.
    pub(super) fn check(&self) -> Result<(), AuthenticationError> {
        match self {
            Authentication::Basic { user, .. } if user.contains(':') => {
                Err(AuthenticationError::User { user: user.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Reads the secrets, and checks whether clients can send them.
    pub(super) fn credentials(&self) -> Result<Credentials, AuthenticationError> {
        let expected = match self {
            Authentication::None => None,
            Authentication::Basic { user, password } => {
                Some(("basic", STANDARD.encode(format!("{user}:{}", secrets::read(password)?))))
            }
            Authentication::Bearer { token: reference } => {
                let token = secrets::read(reference)?;
                let credentials = Credentials { expected: Some(("bearer", token.clone())) };
                let header = HeaderValue::from_str(&format!("Bearer {token}"));
                if !header.is_ok_and(|header| credentials.accept(Some(&header))) {
                    let (place, fault) = (secrets::place(reference), unsendable(&token));
                    return Err(AuthenticationError::Token { place, fault });
                }
                return Ok(credentials);
            }
        };
        Ok(Credentials { expected })
    }
}

impl Credentials {
    /// Returns the `WWW-Authenticate` header for clients without these credentials.
    pub(super) fn challenge(&self) -> &'static str {
        match self.expected {
            Some(("bearer", _)) => "Bearer",
            _ => "Basic realm=\"weir\", charset=\"UTF-8\"",
        }
    }

    /// Whether this `Authorization` header has the expected credentials.
    pub(super) fn accept(&self, header: Option<&HeaderValue>) -> bool {
        let Some((scheme, expected)) = &self.expected else { return true };
        let Some(header) = header.and_then(|header| header.to_str().ok()) else { return false };
        match header.split_once(' ') {
            Some((found, credentials)) => {
                found.eq_ignore_ascii_case(scheme)
                    & equal_in_constant_time(credentials.trim().as_bytes(), expected.as_bytes())
            }
            None => false,
        }
    }
}

/// Compares two texts in a time that does not depend on where they differ.
fn equal_in_constant_time(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |all, (one, other)| all | (one ^ other));
    std::hint::black_box(differences) == 0 && one.len() == other.len()
}
