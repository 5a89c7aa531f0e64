//! How the connections to brokers are protected: the settings of `KafkaSecurity`, and the check of them before a start.
//!
//! librdkafka tries for ever to connect with a wrong password or to a broker whose certificate is not valid. So a component
//! connects once before it starts, and a refusal is then a permanent failure with its reason. While it runs, a refusal is a
//! transient failure, after which secrets and certificates are read again: they may have been exchanged meanwhile.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, DeliveryResult, Producer, ProducerContext};
use serde::{Deserialize, Deserializer};
use thiserror::Error;
use weir_plan::SecretReference;
use weir_runtime::{Cause, Failure, Meter};

use super::certificates;
use super::kerberos::{Kerberos, LoginError};
use super::protected::{CreateError, ProtectedConfig};
use super::refusal::Refusal;
use super::tokens::{EndpointTokens, SecretToken, Token, TokenError, Tokens};
use crate::tools::secrets::{self, SecretError};

/// How long the check before a start waits for an answer of a broker. No answer is no refusal.
const PROBE_LIMIT: Duration = Duration::from_secs(5);

/// The timeout of one request of this check.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(500);

/// The wait for events of the client between two requests.
const POLL_TIMEOUT: Duration = Duration::from_millis(50);

/// The enum `KafkaSecurity` of the signature.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Security {
    Plaintext,
    Tls {
        ca: Option<String>,
        cert: Option<String>,
        key: Option<String>,
    },
    Sasl {
        mechanism: Mechanism,
        user: String,
        password: SecretReference,
    },
    SaslTls {
        mechanism: Mechanism,
        user: String,
        password: SecretReference,
        ca: Option<String>,
    },
    Kerberos(Kerberos),
    /// A token that somebody else renews.
    #[serde(deserialize_with = "bearer::<_, SecretToken>")]
    OauthToken(Bearer),
    /// Tokens of an endpoint.
    #[serde(deserialize_with = "bearer::<_, EndpointTokens>")]
    OauthClient(Bearer),
}

/// A client that shows a token (SASL OAUTHBEARER).
#[derive(Debug, Clone)]
pub(super) struct Bearer {
    /// All clients of a component share its tokens.
    pub(super) tokens: Arc<Tokens>,
    /// Whether the connection has TLS.
    pub(super) encrypted: bool,
    pub(super) ca: Option<String>,
}

fn bearer<'de, D, S>(deserializer: D) -> Result<Bearer, D::Error>
where
    D: Deserializer<'de>,
    S: Deserialize<'de> + Into<Bearer>,
{
    S::deserialize(deserializer).map(S::into)
}

/// The enum `SaslMechanism` of the signature.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Mechanism {
    Plain,
    #[serde(rename = "scram_sha_256")]
    ScramSha256,
    #[serde(rename = "scram_sha_512")]
    ScramSha512,
}

impl Mechanism {
    /// The name of the mechanism in the protocol.
    fn name(self) -> &'static str {
        match self {
            Mechanism::Plain => "PLAIN",
            Mechanism::ScramSha256 => "SCRAM-SHA-256",
            Mechanism::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

/// Why a client can't be protected as the settings say.
#[derive(Debug, Error)]
pub(super) enum SecurityError {
    /// The password can't be read.
    #[error("`password` of `security`")]
    Secret(#[from] SecretError),
    /// A file can't be read.
    #[error("`{setting}` of `security`: {path} can't be read")]
    File {
        setting: &'static str,
        path: String,
        #[source]
        source: std::io::Error,
    },
    /// librdkafka does not take a certificate or a key.
    #[error("`security`: the Kafka client can't be made with its certificates")]
    Client(#[source] Box<KafkaError>),
    /// The brokers refuse the user or the password.
    #[error(
        "`security`: the brokers don't let the user {user:?} in with its `password` by {mechanism}: {reason}"
    )]
    Credentials { user: String, mechanism: &'static str, reason: String },
    /// There is no token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The brokers refuse the token.
    #[error("`security`: the brokers don't let the client in with its token from {place}: {reason}")]
    TokenRefused { place: String, reason: String },
    /// The client can't log in by Kerberos.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// The brokers want other credentials than the settings have.
    #[error("`security`: the brokers don't accept a connection without a user: {reason}")]
    NoCredentials { reason: String },
    /// A broker's certificate is not valid.
    #[error("`security`: the certificate of {broker} {problem}")]
    Certificate { broker: String, problem: String },
    /// The TLS connection fails for another reason.
    #[error("`security`: no TLS connection to the brokers: {reason}")]
    Tls { reason: String },
}

impl From<CreateError> for SecurityError {
    fn from(error: CreateError) -> SecurityError {
        match error {
            CreateError::Client(error) => SecurityError::Client(Box::new(error)),
            CreateError::Token(error) => SecurityError::Token(error),
        }
    }
}

impl SecurityError {
    /// The cause of the trouble that it is while the component runs.
    pub(super) fn cause(&self) -> Cause {
        match self {
            SecurityError::Token(error) => error.cause(),
            SecurityError::Certificate { .. } | SecurityError::Tls { .. } => Cause::Tls,
            _ => Cause::NotAuthorised,
        }
    }

    /// The cause of an outage of Kerberos, for which a component waits as for its brokers; none if it is another error.
    pub(super) fn login_outage(&self) -> Option<Cause> {
        match self {
            SecurityError::Login(error) => error.outage(),
            _ => None,
        }
    }

    /// Makes the failure of a component that can't start; none if the component waits for the end of an outage while it runs.
    fn at_start(self) -> Option<Failure> {
        match &self {
            SecurityError::Token(error) => match error.outage() {
                Some(cause) => Some(Failure::transient(self).caused_by(cause)),
                None => Some(Failure::permanent(self)),
            },
            error if error.login_outage().is_some() => None,
            _ => Some(Failure::permanent(self)),
        }
    }
}

impl Security {
    /// Adds what protects the connections to a client's settings. Reads the password, or takes the present token.
    ///
    /// # Errors
    /// When the password or a file can't be read, or there is no valid token.
    pub(super) fn protect(&self, mut config: ClientConfig) -> Result<ProtectedConfig, SecurityError> {
        let is_tls = match self {
            Security::Plaintext | Security::Sasl { .. } => false,
            Security::Tls { .. } | Security::SaslTls { .. } => true,
            Security::Kerberos(kerberos) => kerberos.encrypted,
            Security::OauthToken(bearer) | Security::OauthClient(bearer) => bearer.encrypted,
        };
        config.set(
            "security.protocol",
            match (self, is_tls) {
                (Security::Plaintext, _) => "plaintext",
                (Security::Tls { .. }, _) => "ssl",
                (_, false) => "sasl_plaintext",
                (_, true) => "sasl_ssl",
            },
        );
        if is_tls {
            config.set("ssl.ca.location", self.authorities());
            config.set("ssl.endpoint.identification.algorithm", "https");
        }
        self.check_files()?;
        match self {
            Security::Tls { cert: Some(cert), key: Some(key), .. } => {
                config.set("ssl.certificate.location", cert).set("ssl.key.location", key);
            }
            Security::Sasl { mechanism, user, password }
            | Security::SaslTls { mechanism, user, password, .. } => {
                config.set("sasl.mechanism", mechanism.name()).set("sasl.username", user);
                config.set("sasl.password", secrets::read(password)?);
            }
            Security::Kerberos(kerberos) => kerberos.apply(&mut config),
            Security::OauthToken(Bearer { tokens, .. }) | Security::OauthClient(Bearer { tokens, .. }) => {
                config.set("sasl.mechanism", "OAUTHBEARER");
                // There has to be one.
                tokens.present()?;
            }
            Security::Plaintext | Security::Tls { .. } => {}
        }
        Ok(ProtectedConfig::new(config, self.tokens()))
    }

    /// The tokens that clients show; none if they show none.
    pub(super) fn tokens(&self) -> Option<Arc<Tokens>> {
        match self {
            Security::OauthToken(bearer) | Security::OauthClient(bearer) => Some(bearer.tokens.clone()),
            _ => None,
        }
    }

    /// Gets what clients need before they are made, once.
    ///
    /// # Errors
    /// When there is no token or no ticket.
    pub(super) async fn prepare_once(&self) -> Result<(), SecurityError> {
        if let Some(tokens) = self.tokens() {
            tokens.obtain().await?;
        }
        if let Security::Kerberos(kerberos) = self {
            self.check_files()?;
            kerberos.obtain().await?;
        }
        Ok(())
    }

    /// The same for a component that runs: its tokens are then renewed in time.
    ///
    /// # Errors
    /// When there is no token or no ticket.
    pub(super) async fn prepare(
        &self,
        kind: &'static str,
        component: &Arc<str>,
        meter: &Arc<Meter>,
    ) -> Result<(), SecurityError> {
        self.prepare_once().await?;
        if let Some(tokens) = self.tokens() {
            tokens.keep_renewed(kind, component, meter);
        }
        Ok(())
    }

    /// The files of the settings, with the names of the settings.
    fn files(&self) -> Vec<(&'static str, &str)> {
        let (ca, others) = match self {
            Security::Plaintext | Security::Sasl { .. } => (&None, [None; 2]),
            Security::Tls { ca, cert, key } => (ca, [("cert", cert), ("key", key)].map(path_of)),
            Security::SaslTls { ca, .. }
            | Security::OauthToken(Bearer { ca, .. })
            | Security::OauthClient(Bearer { ca, .. }) => (ca, [None; 2]),
            Security::Kerberos(Kerberos { ca, keytab, .. }) => (ca, [Some(("keytab", &**keytab)), None]),
        };
        path_of(("ca", ca)).into_iter().chain(others.into_iter().flatten()).collect()
    }

    /// Checks that the files of the settings can be read.
    fn check_files(&self) -> Result<(), SecurityError> {
        for (setting, path) in self.files() {
            let opened = std::fs::File::open(path);
            opened.map_err(|source| SecurityError::File { setting, path: path.to_owned(), source })?;
        }
        Ok(())
    }

    /// The file with the certificates of the authorities; `probe` lets librdkafka search the machine's own.
    fn authorities(&self) -> &str {
        let ca = self.files().into_iter().find(|(setting, _)| *setting == "ca");
        match ca {
            Some((_, ca)) => ca,
            None if Path::new(certificates::SYSTEM).exists() => certificates::SYSTEM,
            None => "probe",
        }
    }

    /// Makes the error of a refusal: which setting is wrong, as far as that can be found out. Another token is needed after a refused one.
    /// The client showed the token `shown`; none for the present one.
    pub(super) fn error(
        &self,
        brokers: &[String],
        refusal: Refusal,
        shown: Option<Arc<Token>>,
    ) -> SecurityError {
        let Refusal { code, reason } = refusal;
        if code == RDKafkaErrorCode::SSL {
            return match certificates::diagnose(brokers, Path::new(self.authorities())) {
                Some((broker, problem)) => SecurityError::Certificate { broker, problem },
                None => SecurityError::Tls { reason },
            };
        }
        match self {
            Security::Sasl { mechanism, user, .. } | Security::SaslTls { mechanism, user, .. } => {
                SecurityError::Credentials { user: user.clone(), mechanism: mechanism.name(), reason }
            }
            Security::OauthToken(Bearer { tokens, .. }) | Security::OauthClient(Bearer { tokens, .. }) => {
                // A client that shows a token again too soon is refused too, whatever token it is.
                let is_of_token = code != RDKafkaErrorCode::IllegalSASLState;
                tokens.refuse(shown, is_of_token.then_some(&*reason));
                SecurityError::TokenRefused { place: tokens.place(), reason }
            }
            Security::Kerberos(kerberos) => kerberos.refused(reason).into(),
            _ => SecurityError::NoCredentials { reason },
        }
    }

    /// Connects to the brokers once, to see whether they let the client in. Blocks for at most about five seconds. A broker
    /// that can't be reached is no refusal.
    ///
    /// # Errors
    /// When the settings can't be used, or a broker refuses the client.
    fn connect_once(&self, brokers: &[String]) -> Result<(), SecurityError> {
        let config = self.protect(super::connection::client_config(brokers))?;
        if let Security::Plaintext = self {
            return Ok(());
        }
        let client: BaseProducer<ProbeContext> = config.create(ProbeContext::default())?;
        let begin = Instant::now();
        while begin.elapsed() < PROBE_LIMIT {
            client.poll(POLL_TIMEOUT);
            if let Some(refusal) = client.context().take() {
                return Err(self.error(brokers, refusal, None));
            }
            if client.client().fetch_metadata(None, REQUEST_TIMEOUT).is_ok() {
                break;
            }
        }
        Ok(())
    }

    /// Checks the files, the password or the token, and whether the brokers let the client in.
    pub(super) async fn probe(&self, brokers: &[String]) -> Vec<Failure> {
        for is_last in [false, true] {
            if let Err(error) = self.prepare_once().await {
                return error.at_start().into_iter().collect();
            }
            let (security, brokers) = (self.clone(), brokers.to_vec());
            let checked = tokio::task::spawn_blocking(move || security.connect_once(&brokers)).await;
            match checked {
                Ok(Ok(())) => break,
                // It has expired just now.
                Ok(Err(SecurityError::Token(TokenError::Absent))) if !is_last => {}
                Ok(Err(error)) => return error.at_start().into_iter().collect(),
                Err(panicked) => return vec![Failure::from(panicked)],
            }
        }
        Vec::new()
    }
}

/// A setting with a path, if it has one.
fn path_of<'a>((name, path): (&'static str, &'a Option<String>)) -> Option<(&'static str, &'a str)> {
    Some((name, path.as_deref()?))
}

/// Keeps the first refusal of a client that checks the security.
#[derive(Default)]
struct ProbeContext(Mutex<Option<Refusal>>);

impl ProbeContext {
    fn take(&self) -> Option<Refusal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl ClientContext for ProbeContext {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        tracing::debug!(?level, "librdkafka: {facility}: {message}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        if let Some(refusal) = Refusal::of(code, reason) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(refusal);
        }
    }
}

impl ProducerContext for ProbeContext {
    type DeliveryOpaque = ();

    fn delivery(&self, _report: &DeliveryResult<'_>, (): ()) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> (tempfile::NamedTempFile, SecretReference) {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let reference = SecretReference::File(file.path().to_string_lossy().into_owned());
        (file, reference)
    }

    #[test]
    fn a_client_has_the_user_and_the_password_of_the_file() {
        let (_file, password) = password("open sesame\n");
        let (mechanism, user) = (Mechanism::ScramSha512, "weir".to_owned());
        let config = Security::Sasl { mechanism, user, password }.protect(ClientConfig::new()).unwrap();
        let expected = [
            ("security.protocol", "sasl_plaintext"),
            ("sasl.mechanism", "SCRAM-SHA-512"),
            ("sasl.username", "weir"),
            ("sasl.password", "open sesame"),
        ];
        for (name, value) in expected {
            assert_eq!(config.get(name), Some(value));
        }
    }

    #[test]
    fn a_missing_file_or_password_is_an_error_that_names_the_setting() {
        let missing = || Some("/nowhere/ca.pem".to_owned());
        let security = Security::Tls { ca: missing(), cert: None, key: None };
        let error = security.protect(ClientConfig::new()).unwrap_err();
        assert_eq!(error.to_string(), "`ca` of `security`: /nowhere/ca.pem can't be read");
        let (_file, password) = password("");
        let (mechanism, user) = (Mechanism::Plain, "weir".to_owned());
        let security = Security::Sasl { mechanism, user, password };
        let error = security.protect(ClientConfig::new()).unwrap_err();
        assert_eq!(error.to_string(), "`password` of `security`");
    }
}
