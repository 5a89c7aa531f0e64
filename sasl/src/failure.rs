//! Why a login has failed, as the text that librdkafka passes on, and found again in that text.

use std::fmt;

use crate::gssapi::KerberosError;

/// The beginning of the text that librdkafka adds behind an error.
const SUFFIX: &str = " (after ";

/// The part of a login that has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// The client gets no ticket for itself.
    Ticket,
    /// The client gets no ticket for the broker, or what the broker says is not right.
    Login,
}

impl Stage {
    /// The first words of the text.
    fn words(self) -> &'static str {
        match self {
            Stage::Ticket => "no Kerberos ticket, code ",
            Stage::Login => "no login by Kerberos, code ",
        }
    }

    pub(crate) fn failed(self, error: &KerberosError) -> LoginFailure {
        LoginFailure { stage: self, code: error.code(), text: error.to_string() }
    }
}

/// A login that has failed on the client's side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoginFailure {
    /// The part that has failed.
    pub stage: Stage,
    /// The code of Kerberos, from the tables of MIT Kerberos; 0 if there is none.
    pub code: i32,
    /// The reason, by the Kerberos library.
    pub text: String,
}

impl fmt::Display for LoginFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LoginFailure { stage, code, text } = self;
        write!(f, "{}{code}: {text}", stage.words())
    }
}

impl LoginFailure {
    /// Finds the failure in the reason that librdkafka gives for an error of a connection; none if a broker has refused the client, or
    /// the error is another one.
    pub fn in_reason(reason: &str) -> Option<LoginFailure> {
        [Stage::Ticket, Stage::Login].into_iter().find_map(|stage| {
            let (_, rest) = reason.split_once(stage.words())?;
            let (code, text) = rest.split_once(": ")?;
            let text = text.rsplit_once(SUFFIX).map_or(text, |(text, _)| text);
            Some(LoginFailure { stage, code: code.parse().ok()?, text: text.to_owned() })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_found_in_the_reason_of_the_client() {
        for stage in [Stage::Ticket, Stage::Login] {
            let text = "Server kafka/a@WEIR.TEST not found in Kerberos database".to_owned();
            let failure = LoginFailure { stage, code: -1_765_328_377, text };
            let reason = format!(
                "sasl_plaintext://a:9092/bootstrap: Failed to initialize SASL authentication: SASL handshake failed \
                 (start (-1)): {failure} (after 3ms in state AUTH_HANDSHAKE, 1 identical error(s) suppressed)"
            );
            assert_eq!(LoginFailure::in_reason(&reason), Some(failure));
        }
    }

    #[test]
    fn other_reasons_have_none() {
        for reason in
            ["", "Authentication failed", "no Kerberos ticket, code x: y", "no Kerberos ticket, code 1"]
        {
            assert_eq!(LoginFailure::in_reason(reason), None);
        }
    }
}
