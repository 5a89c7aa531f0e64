//! How clients show that they may send.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::HeaderValue;
use serde::Deserialize;
use weir_plan::SecretReference;

use crate::secrets::{self, SecretError};

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

impl Authentication {
    /// Looks up the secrets.
    pub(super) fn known(&self) -> Result<Known, SecretError> {
        let credentials = match self {
            Authentication::None => None,
            Authentication::Basic { user, password } => {
                Some(("basic", STANDARD.encode(format!("{user}:{}", secrets::read(password)?))))
            }
            Authentication::Bearer { token } => Some(("bearer", secrets::read(token)?)),
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
