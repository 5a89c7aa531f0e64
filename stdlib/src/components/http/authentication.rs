//! How clients show that they may send.

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

/// Who is let in.
pub(super) struct Known {
    /// The scheme in lower case, and what stands behind it; everybody without.
    credentials: Option<(&'static str, String)>,
}

/// Why no client could ever show that it may send.
#[derive(Debug, Error)]
pub(super) enum AuthenticationError {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error("the token in {place} {fault}: no client can send it in a header, so none would be let in")]
    Token { place: String, fault: &'static str },
    #[error(
        "the user {user:?} of `basic` has a colon, which ends the user's name in a request: what stands behind it \
         would be taken for the password"
    )]
    User { user: String },
}

/// What a token has and a header's value can't have, in words.
fn unsendable(token: &str) -> &'static str {
    match token {
        token if token.contains(['\n', '\r']) => "has a line break",
        token if token.trim() != token => "begins or ends with a space",
        token if !token.is_ascii() => "has characters that are not ASCII",
        _ => "has a control character",
    }
}

impl Authentication {
    /// Holds what is no secret against what clients can send.
    pub(super) fn check(&self) -> Result<(), AuthenticationError> {
        match self {
            Authentication::Basic { user, .. } if user.contains(':') => {
                Err(AuthenticationError::User { user: user.clone() })
            }
            _ => Ok(()),
        }
    }

    /// Looks up the secrets, and holds them against what clients can send.
    pub(super) fn known(&self) -> Result<Known, AuthenticationError> {
        let credentials = match self {
            Authentication::None => None,
            Authentication::Basic { user, password } => {
                Some(("basic", STANDARD.encode(format!("{user}:{}", secrets::read(password)?))))
            }
            Authentication::Bearer { token: reference } => {
                let token = secrets::read(reference)?;
                let known = Known { credentials: Some(("bearer", token.clone())) };
                let header = HeaderValue::from_str(&format!("Bearer {token}"));
                if !header.is_ok_and(|header| known.lets_in(Some(&header))) {
                    let (place, fault) = (secrets::place(reference), unsendable(&token));
                    return Err(AuthenticationError::Token { place, fault });
                }
                return Ok(known);
            }
        };
        Ok(Known { credentials })
    }
}

impl Known {
    /// What a client that is not known is told to bring.
    pub(super) fn challenge(&self) -> &'static str {
        match self.credentials {
            Some(("bearer", _)) => "Bearer",
            _ => "Basic realm=\"weir\", charset=\"UTF-8\"",
        }
    }

    /// Whether a client with this header is let in.
    pub(super) fn lets_in(&self, header: Option<&HeaderValue>) -> bool {
        let Some((scheme, expected)) = &self.credentials else { return true };
        let Some(brought) = header.and_then(|header| header.to_str().ok()) else { return false };
        match brought.split_once(' ') {
            Some((found, credentials)) => {
                found.eq_ignore_ascii_case(scheme) & same(credentials.trim().as_bytes(), expected.as_bytes())
            }
            None => false,
        }
    }
}

/// Compares without saying by the time it takes where the first difference is.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |all, (one, other)| all | (one ^ other));
    std::hint::black_box(differences) == 0 && one.len() == other.len()
}
