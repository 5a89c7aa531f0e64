//! The errors of clients by which brokers, or their certificates, refuse a connection: waiting does not help.

use std::fmt;

use rdkafka::error::RDKafkaErrorCode;
use weir_runtime::Cause;

use super::kerberos;

/// The parts of librdkafka's reasons when a connection was lost before the client could say who it is.
const LOST_IN_HANDSHAKE: [&str; 2] = [
    "mechanism handshake failed: Local: Broker transport failure",
    "mechanism handshake failed: Local: Timed out",
];

/// A broker that does not let the client in, or whose certificate is not valid.
#[derive(Debug, Clone)]
pub(super) struct Refusal {
    pub(super) code: RDKafkaErrorCode,
    pub(super) reason: String,
}

impl Refusal {
    /// Returns the refusal of this error of the client, if it is one. What Kerberos can't do at the moment is none.
    pub(super) fn of(code: RDKafkaErrorCode, reason: &str) -> Option<Refusal> {
        use RDKafkaErrorCode::{
            Authentication, BrokerTransportFailure, IllegalSASLState, SSL, SaslAuthenticationFailed,
            UnsupportedSASLMechanism,
        };
        // The broker has not answered, or has closed the connection, before anything was shown to it: librdkafka takes it for a refusal.
        if LOST_IN_HANDSHAKE.iter().any(|lost| reason.contains(lost)) {
            return None;
        }
        // By TLS 1.3, a broker refuses a client's certificate after the handshake.
        let is_alert = reason.contains("SSL routines") && reason.contains("alert");
        let code = match code {
            _ if kerberos::outage(reason).is_some() => return None,
            BrokerTransportFailure if is_alert => SSL,
            Authentication | SaslAuthenticationFailed | SSL | UnsupportedSASLMechanism | IllegalSASLState => {
                code
            }
            _ => return None,
        };
        Some(Refusal { code, reason: reason.to_owned() })
    }

    /// The cause of the trouble that the refusal is.
    pub(super) fn cause(&self) -> Cause {
        match self.code {
            RDKafkaErrorCode::SSL => Cause::Tls,
            _ => Cause::NotAuthorised,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_that_is_lost_before_the_login_is_no_refusal() {
        let code = RDKafkaErrorCode::Authentication;
        let lost = "b:9092/1: SASL PLAIN mechanism handshake failed: Local: Broker transport failure: broker's supported mechanisms:";
        assert!(Refusal::of(code, lost).is_none());
        let other = "b:9092/1: SASL PLAIN mechanism handshake failed: Broker: Unsupported SASL mechanism: broker's supported mechanisms:";
        assert!(Refusal::of(code, other).is_some());
        assert!(Refusal::of(code, "SASL authentication error: Invalid username or password").is_some());
    }
}
