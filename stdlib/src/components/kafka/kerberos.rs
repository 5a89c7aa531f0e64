//! Clients that log in by Kerberos (SASL GSSAPI): their settings, and what their errors mean.
//!
//! The crate `sasl2-sys` (`sasl/`) gets the tickets with the keytab when a connection needs them, for each principal its own.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::config::ClientConfig;
use sasl2_sys::{KerberosError, LoginFailure, Stage, Tickets};
use serde::Deserialize;
use thiserror::Error;
use tokio::time::timeout;
use weir_runtime::Cause;

use crate::tools::kerberos::{NoTicketReason, bare};

/// How long a component waits for its first ticket. The Kerberos library may wait longer for a server that does not answer.
const TICKET_LIMIT: Duration = Duration::from_secs(10);

/// The code of an error of the Kerberos server that does not know the service: KRB5KDC_ERR_S_PRINCIPAL_UNKNOWN.
const UNKNOWN_SERVICE: i32 = -1_765_328_377;

/// The variant `kerberos` of the signature.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Kerberos {
    pub(super) principal: String,
    pub(super) keytab: String,
    pub(super) service: String,
    pub(super) encrypted: bool,
    pub(super) ca: Option<String>,
}

/// Why a client can't log in by Kerberos.
#[derive(Debug, Error)]
pub(super) enum LoginError {
    /// The dynamic library of the GSSAPI can't be loaded.
    #[error(
        "`security` is `kerberos`, and the Kerberos library libgssapi_krb5.so.2 can't be loaded: it is in Debian's package \
         libgssapi-krb5-2, and in krb5-libs of Red Hat ({0})"
    )]
    Library(String),
    /// There is no ticket for the client.
    #[error("`security`: no Kerberos ticket for {principal} with the keytab {keytab}: {}", .reason.text)]
    NoTicket { principal: String, keytab: String, reason: NoTicketReason },
    /// The Kerberos server has not answered.
    #[error("`security`: no Kerberos ticket for {principal} within {} s", .limit.as_secs())]
    Slow { principal: String, limit: Duration },
    /// The Kerberos server knows no such broker.
    #[error(
        "`service` of `security`: Kerberos does not know the broker: {reason}: is its service {service:?}, and are `brokers` and \
         its `advertised.listeners` the names in its principal?"
    )]
    UnknownService { service: String, reason: String },
    /// The client can't log in at a broker.
    #[error("`security`: {principal} can't log in at the brokers by Kerberos: {reason}")]
    Failed { principal: String, reason: String },
    /// A broker refuses the client.
    #[error("`security`: the brokers don't let {principal} in by Kerberos: {reason}")]
    Refused { principal: String, reason: String },
}

impl LoginError {
    /// The cause of an outage; none if somebody has to repair something.
    pub(super) fn outage(&self) -> Option<Cause> {
        match self {
            LoginError::NoTicket { reason, .. } if reason.wrong_credentials => None,
            LoginError::NoTicket { .. } | LoginError::Slow { .. } | LoginError::Failed { .. } => {
                Some(Cause::NotAuthorised)
            }
            LoginError::Library(_) | LoginError::UnknownService { .. } | LoginError::Refused { .. } => None,
        }
    }
}

/// Returns what a user reads of an error of a connection, if it is one of Kerberos that passes, such as a Kerberos server that can't be
/// reached: librdkafka connects again by itself.
pub(super) fn outage(reason: &str) -> Option<String> {
    let LoginFailure { stage, code, text } = LoginFailure::in_reason(reason)?;
    match stage {
        Stage::Ticket => {
            let NoTicketReason { text, wrong_credentials } = NoTicketReason::of(code, &text);
            (!wrong_credentials).then(|| format!("no Kerberos ticket: {text}"))
        }
        Stage::Login => (code != UNKNOWN_SERVICE).then(|| format!("no login by Kerberos: {}", bare(&text))),
    }
}

impl Kerberos {
    fn tickets(&self) -> Arc<Tickets> {
        Tickets::of(&self.principal, &self.keytab)
    }

    /// Adds the settings of the login to those of a client.
    pub(super) fn apply(&self, config: &mut ClientConfig) {
        config
            .set("sasl.mechanism", "GSSAPI")
            .set("sasl.username", self.tickets().user_name())
            .set("sasl.kerberos.principal", &self.principal)
            .set("sasl.kerberos.service.name", &self.service)
            // librdkafka would run `kinit` in a shell.
            .set("sasl.kerberos.min.time.before.relogin", "0");
    }

    /// Gets a ticket, unless there is a valid one.
    ///
    /// # Errors
    /// When there is none.
    pub(super) async fn obtain(&self) -> Result<(), LoginError> {
        let tickets = self.tickets();
        let obtained = tokio::task::spawn_blocking(move || tickets.obtain());
        match timeout(TICKET_LIMIT, obtained).await {
            Ok(Ok(obtained)) => obtained.map_err(|error| self.no_ticket(&error)),
            Ok(Err(panicked)) => {
                Err(LoginError::Failed { principal: self.principal.clone(), reason: panicked.to_string() })
            }
            Err(_elapsed) => Err(LoginError::Slow { principal: self.principal.clone(), limit: TICKET_LIMIT }),
        }
    }

    fn no_ticket(&self, error: &KerberosError) -> LoginError {
        match error {
            KerberosError::Library(reason) => LoginError::Library(reason.clone()),
            error => self.no_ticket_by(error.code(), &error.to_string()),
        }
    }

    fn no_ticket_by(&self, code: i32, text: &str) -> LoginError {
        let (principal, keytab) = (self.principal.clone(), self.keytab.clone());
        LoginError::NoTicket { principal, keytab, reason: NoTicketReason::of(code, text) }
    }

    /// Makes the error of a broker at which the client can't log in. Other tickets are needed after a refusal.
    pub(super) fn refused(&self, reason: String) -> LoginError {
        let principal = self.principal.clone();
        match LoginFailure::in_reason(&reason) {
            Some(LoginFailure { stage: Stage::Ticket, code, text }) => self.no_ticket_by(code, &text),
            Some(LoginFailure { code: UNKNOWN_SERVICE, text, .. }) => {
                LoginError::UnknownService { service: self.service.clone(), reason: bare(&text).to_owned() }
            }
            Some(LoginFailure { text, .. }) => {
                LoginError::Failed { principal, reason: bare(&text).to_owned() }
            }
            None => {
                // The broker may have new keys.
                self.tickets().forget();
                LoginError::Refused { principal, reason }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kerberos() -> Kerberos {
        Kerberos {
            principal: "weir@WEIR.TEST".to_owned(),
            keytab: "/etc/weir.keytab".to_owned(),
            service: "kafka".to_owned(),
            encrypted: false,
            ca: None,
        }
    }

    fn reason(stage: Stage, code: i32, text: &str) -> String {
        let failure = LoginFailure { stage, code, text: text.to_owned() };
        format!(
            "localhost:9092/bootstrap: SASL handshake failed (start (-1)): {failure} (after 3ms in state AUTH)"
        )
    }

    #[test]
    fn what_an_operator_has_to_repair_is_no_outage() {
        let unknown = "Unspecified GSS failure.  Minor code may provide more information: \
                       Server hbase/localhost@WEIR.TEST not found in Kerberos database";
        let cases = [
            (
                reason(Stage::Ticket, -1_765_328_378, "Client not found"),
                "`security`: no Kerberos ticket for weir@WEIR.TEST with the keytab /etc/weir.keytab: Client not found",
            ),
            (
                reason(Stage::Login, UNKNOWN_SERVICE, unknown),
                "`service` of `security`: Kerberos does not know the broker: Server hbase/localhost@WEIR.TEST not found in \
                 Kerberos database: is its service \"kafka\", and are `brokers` and its `advertised.listeners` the names in \
                 its principal?",
            ),
            (
                "invalid credentials".to_owned(),
                "`security`: the brokers don't let weir@WEIR.TEST in by Kerberos: invalid credentials",
            ),
        ];
        for (reason, text) in cases {
            assert_eq!(outage(&reason), None);
            let error = kerberos().refused(reason);
            assert_eq!((error.to_string().as_str(), error.outage()), (text, None));
        }
    }

    #[test]
    fn a_kerberos_server_that_is_gone_and_a_wrong_clock_are_outages() {
        let gone = "Cannot contact any KDC for realm 'WEIR.TEST'";
        let cases = [
            (reason(Stage::Ticket, -1_765_328_228, gone), format!("no Kerberos ticket: {gone}")),
            (
                reason(Stage::Login, -1_765_328_347, "Clock skew too great"),
                "no login by Kerberos: Clock skew too great".to_owned(),
            ),
        ];
        for (reason, text) in cases {
            assert_eq!(outage(&reason), Some(text));
            assert_eq!(kerberos().refused(reason).outage(), Some(Cause::NotAuthorised));
        }
    }
}
