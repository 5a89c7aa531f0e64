//! What a JSON web token (RFC 7519) says of itself. Nobody but a broker checks its signature.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Deserialize;

/// The claims of a token that matter to its bearer.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Claims {
    /// `sub`: who the bearer is.
    pub(super) subject: Option<String>,
    /// `exp`.
    pub(super) expires: Option<SystemTime>,
}

#[derive(Deserialize)]
struct Payload {
    sub: Option<String>,
    exp: Option<f64>,
}

/// Returns the claims of a token; none if it is no JSON web token, so that only its issuer can read it.
pub(super) fn claims(token: &str) -> Option<Claims> {
    let payload = token.split('.').nth(1)?;
    let payload = BASE64_URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    let Payload { sub, exp } = serde_json::from_slice(&payload).ok()?;
    let since = exp.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Some(Claims {
        subject: sub.filter(|subject| !subject.contains('\0')),
        expires: since.and_then(|since| UNIX_EPOCH.checked_add(since)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_who_its_bearer_is_and_when_it_expires() {
        // {"alg":"none"} and {"sub":"weir","exp":1767225600}
        let token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJ3ZWlyIiwiZXhwIjoxNzY3MjI1NjAwfQ.";
        let expires = Some(UNIX_EPOCH + Duration::from_secs(1_767_225_600));
        assert_eq!(claims(token), Some(Claims { subject: Some("weir".to_owned()), expires }));
    }

    #[test]
    fn what_is_no_json_web_token_says_nothing() {
        for text in ["", "opaque", "a.b.c", "..", "eyJhbGciOiJub25lIn0.W10.", "x.eyJleHAiOiJsYXRlciJ9.y"] {
            assert_eq!(claims(text), None, "{text}");
        }
        // {"exp":1e300} and {"exp":-1} are no times.
        for text in ["x.eyJleHAiOjFlMzAwfQ.", "x.eyJleHAiOi0xfQ."] {
            assert_eq!(claims(text), Some(Claims::default()), "{text}");
        }
    }
}
