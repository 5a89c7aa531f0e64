//! The tokens by which clients say who they are (SASL OAUTHBEARER, RFC 7628): where they come from, and how they are renewed.
//!
//! librdkafka asks for tokens only where somebody polls, and fetches them itself only with libcurl. So a task of the component gets
//! each next token in time, and the threads that poll clients hand it over to them ([`Renewal`]). A client that is made gets the
//! present token at once ([`ProtectedConfig::create`](super::protected::ProtectedConfig::create)).

mod endpoint;
mod jwt;
mod refused;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use jiff::Timestamp;
use rdkafka::client::{Client, ClientContext};
use serde::Deserialize;
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{debug, info, warn};
use weir_plan::SecretReference;
use weir_runtime::{Cause, Meter};

use self::refused::Refused;
use super::http::HttpError;
use super::native::give_token;
use super::security::Bearer;
use crate::tools::secrets::{self, SecretError};
use endpoint::Endpoint;

/// The subject of the trouble while no token can be had.
const SUBJECT: &str = "token";

/// The time between two readings of a secret, which somebody else renews.
const READING_INTERVAL: Duration = Duration::from_secs(10);

/// A token is of no use any more when it is valid for so long only. Brokers refuse it a second before it expires, and a member of a group
/// has to leave before that: without a connection it can't, and its group waits for it until its session is over.
const ENDING: Duration = Duration::from_secs(3);

/// How long a token counts as valid that does not say it.
const UNKNOWN_LIFETIME: Duration = Duration::from_secs(300);

/// A token of a token endpoint is renewed when this part of the time is over for which it is valid.
const RENEWED_AFTER: f64 = 0.8;

/// How long a client hears of a refusal later than it has got its next token.
const REFUSAL_DELAY: Duration = Duration::from_secs(1);

/// The shortest and the longest wait before a token is renewed, and the longest wait after a failure.
const RENEWAL_WAIT_MIN: Duration = Duration::from_secs(1);
const RENEWAL_WAIT_MAX: Duration = Duration::from_secs(24 * 3600);
const FAILURE_WAIT_MAX: Duration = Duration::from_secs(10);

/// The record `KafkaExtension` of the signature: what a client tells the brokers beside its token.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Extension {
    pub(super) name: String,
    pub(super) value: String,
}

/// The variant `oauth_token` of the signature: a token that somebody else renews.
#[derive(Debug, Deserialize)]
pub(super) struct SecretToken {
    token: SecretReference,
    extensions: Vec<Extension>,
    encrypted: bool,
    ca: Option<String>,
}

/// The variant `oauth_client` of the signature: tokens that an endpoint gives.
#[derive(Debug, Deserialize)]
pub(super) struct EndpointTokens {
    endpoint: String,
    client: String,
    secret: SecretReference,
    scope: Option<String>,
    endpoint_ca: Option<String>,
    extensions: Vec<Extension>,
    encrypted: bool,
    ca: Option<String>,
}

impl From<SecretToken> for Bearer {
    fn from(SecretToken { token, extensions, encrypted, ca }: SecretToken) -> Bearer {
        Bearer { tokens: Arc::new(Tokens::new(Origin::Secret(token), extensions)), encrypted, ca }
    }
}

impl From<EndpointTokens> for Bearer {
    fn from(settings: EndpointTokens) -> Bearer {
        let EndpointTokens { endpoint: url, client, secret, scope, endpoint_ca, .. } = settings;
        let endpoint = Endpoint { url, client, secret, scope, ca: endpoint_ca };
        let tokens = Tokens::new(Origin::Endpoint(endpoint), settings.extensions);
        Bearer { tokens: Arc::new(tokens), encrypted: settings.encrypted, ca: settings.ca }
    }
}

/// Why there is no token.
#[derive(Debug, Error)]
pub(super) enum TokenError {
    #[error("`{setting}` of `security`")]
    Secret { setting: &'static str, source: SecretError },
    #[error("`token` of `security`: {place} has no token: it has characters that no token has")]
    Malformed { place: String },
    #[error("`token` of `security`: the token in {place} has expired at {at}")]
    Expired { place: String, at: Timestamp },
    #[error("`security`: the token from {place} expires at {at}, and there is no later one")]
    Ending { place: String, at: Timestamp },
    /// Brokers have refused it, and it is not shown again before `wait` is over.
    #[error("`security`: the brokers have refused the token from {place}: {reason}; the same one is shown again in {} s", wait.as_secs())]
    StillRefused { place: String, reason: String, wait: Duration },
    #[error("`endpoint` of `security`")]
    Endpoint(#[source] HttpError),
    #[error("`endpoint_ca` of `security`")]
    Authorities(#[source] HttpError),
    #[error("`{setting}` of `security`: {url} gives the client {client:?} no token ({status}{reason})")]
    Refused { setting: &'static str, url: String, client: String, status: StatusCode, reason: String },
    #[error("`endpoint` of `security`: {url} is in trouble ({status}{reason})")]
    Trouble { url: String, status: StatusCode, reason: String },
    #[error(
        "`endpoint` of `security`: {url} answers {status} and gives no token: is it a token endpoint (OAuth 2.0)?"
    )]
    NoToken { url: String, status: StatusCode },
    /// The last token has expired, and the renewal has not succeeded.
    #[error("`security`: there is no valid token at present")]
    Absent,
}

impl TokenError {
    /// The cause of an outage; none if settings or secrets have to be changed.
    pub(super) fn outage(&self) -> Option<Cause> {
        match self {
            TokenError::Endpoint(error) => error.outage(),
            TokenError::Trouble { .. } => Some(Cause::Protocol),
            _ => None,
        }
    }

    /// The cause of the trouble that it is while the component runs.
    pub(super) fn cause(&self) -> Cause {
        self.outage().unwrap_or(Cause::NotAuthorised)
    }
}

/// A token, for which it is known how long it is valid.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Token {
    text: String,
    /// The client's name, for librdkafka's log.
    principal: String,
    obtained: SystemTime,
    expires: SystemTime,
}

/// Without the text, which is a secret.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Token { principal, expires, .. } = self;
        f.debug_struct("Token")
            .field("principal", principal)
            .field("expires", expires)
            .finish_non_exhaustive()
    }
}

impl Token {
    /// Makes a token. A JWT says itself how long it is valid, which counts before `lifetime`.
    ///
    /// Returns none if it can't be sent.
    fn new(text: String, lifetime: Option<Duration>, now: SystemTime) -> Option<Token> {
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let claims = jwt::claims(&text).unwrap_or_default();
        let expires = claims.expires.or_else(|| now.checked_add(lifetime.unwrap_or(UNKNOWN_LIFETIME)))?;
        let principal = claims.subject.unwrap_or_else(|| "weir".to_owned());
        Some(Token { text, principal, obtained: now, expires })
    }

    fn is_valid(&self, now: SystemTime) -> bool {
        now < self.expires
    }

    /// Whether it is valid for long enough.
    fn is_of_use(&self, now: SystemTime) -> bool {
        self.expires.duration_since(now).is_ok_and(|left| left > ENDING)
    }

    fn expires_at(&self) -> Timestamp {
        Timestamp::from_millisecond(self.expires_ms()).unwrap_or(Timestamp::MAX)
    }

    /// The time at which it expires, in milliseconds since 1970.
    pub(super) fn expires_ms(&self) -> i64 {
        let since = self.expires.duration_since(UNIX_EPOCH).unwrap_or_default();
        // librdkafka counts in microseconds.
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX).min(i64::MAX / 1000)
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn principal(&self) -> &str {
        &self.principal
    }
}

/// Where tokens come from.
#[derive(Debug)]
enum Origin {
    /// A secret that somebody else renews.
    Secret(SecretReference),
    /// A server that gives tokens to clients.
    Endpoint(Endpoint),
}

impl Origin {
    /// Gets a valid token.
    async fn fetch(&self) -> Result<Token, TokenError> {
        let reference = match self {
            Origin::Secret(reference) => reference,
            Origin::Endpoint(endpoint) => return endpoint.fetch().await,
        };
        let read = secrets::read(reference);
        let text = read.map_err(|source| TokenError::Secret { setting: "token", source })?;
        let (place, now) = (secrets::place(reference), SystemTime::now());
        match Token::new(text, None, now) {
            None => Err(TokenError::Malformed { place }),
            Some(token) if token.is_valid(now) => Ok(token),
            Some(token) => Err(TokenError::Expired { place, at: token.expires_at() }),
        }
    }

    /// The wait before a token is renewed.
    fn wait(&self, token: Option<&Token>, now: SystemTime) -> Duration {
        match (self, token) {
            (_, None) => RENEWAL_WAIT_MIN,
            // Once more before it is of no use.
            (Origin::Secret(_), Some(token)) => {
                let left = token.expires.duration_since(now).unwrap_or_default().saturating_sub(ENDING);
                left.saturating_sub(RENEWAL_WAIT_MIN / 2).clamp(RENEWAL_WAIT_MIN, READING_INTERVAL)
            }
            (Origin::Endpoint(_), Some(token)) => {
                let lifetime = token.expires.duration_since(token.obtained).unwrap_or_default();
                // In time before it is of no use, also if it is valid for a short time only.
                let part = lifetime.mul_f64(RENEWED_AFTER).min(lifetime.saturating_sub(2 * ENDING));
                let due = token.obtained + part;
                let wait = due.duration_since(now).unwrap_or_default();
                wait.clamp(RENEWAL_WAIT_MIN, RENEWAL_WAIT_MAX)
            }
        }
    }
}

/// The tokens of a component. All its clients have the same one.
#[derive(Debug)]
pub(super) struct Tokens {
    origin: Origin,
    extensions: Vec<Extension>,
    present: Mutex<Option<Arc<Token>>>,
    /// What brokers have refused.
    refused: Mutex<Refused>,
    /// How many tokens there were.
    number: AtomicU64,
    /// Whether a task renews them.
    is_renewed: AtomicBool,
    /// Notified when the task has to get a token at once.
    wanted: Arc<Notify>,
}

impl Tokens {
    fn new(origin: Origin, extensions: Vec<Extension>) -> Tokens {
        let (number, is_renewed) = (AtomicU64::new(0), AtomicBool::new(false));
        let (present, refused, wanted) = (Mutex::default(), Mutex::default(), Arc::default());
        Tokens { origin, extensions, present, refused, number, is_renewed, wanted }
    }

    pub(super) fn extensions(&self) -> &[Extension] {
        &self.extensions
    }

    /// Where the tokens come from, for messages.
    pub(super) fn place(&self) -> String {
        match &self.origin {
            Origin::Secret(reference) => secrets::place(reference),
            Origin::Endpoint(endpoint) => endpoint.url.clone(),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Token>>> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the present token.
    ///
    /// # Errors
    /// When there is none, or it has expired.
    pub(super) fn present(&self) -> Result<Arc<Token>, TokenError> {
        let present = self.lock().clone();
        present.filter(|token| token.is_of_use(SystemTime::now())).ok_or(TokenError::Absent)
    }

    /// Gets a token, unless there is a valid one.
    ///
    /// # Errors
    /// When none can be had.
    pub(super) async fn obtain(&self) -> Result<(), TokenError> {
        if self.present().is_err() {
            self.put(self.fetch().await?);
        }
        Ok(())
    }

    /// Gets a token that clients can show.
    async fn fetch(&self) -> Result<Token, TokenError> {
        if let Origin::Endpoint(_) = self.origin {
            // Each token of an endpoint is another one.
            self.check_refused(None)?;
        }
        let token = self.origin.fetch().await?;
        self.check_refused(Some(&token))?;
        match token.is_of_use(SystemTime::now()) {
            true => Ok(token),
            false => Err(TokenError::Ending { place: self.place(), at: token.expires_at() }),
        }
    }

    /// Checks that brokers have not refused a token, or any, so lately that it must not be shown to them now.
    fn check_refused(&self, token: Option<&Token>) -> Result<(), TokenError> {
        let refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        let found = match token {
            Some(token) => refused.of(&token.text, Instant::now()),
            None => refused.of_any(Instant::now()),
        };
        found.map_or(Ok(()), |(wait, reason)| {
            let (place, reason) = (self.place(), reason.to_owned());
            Err(TokenError::StillRefused { place, reason, wait })
        })
    }

    /// Notes that brokers have refused a token, the present one without `shown`. It is not shown to them again for a while: they may lock an
    /// account that is refused too often. The next client waits for another one.
    ///
    /// Without a reason, the token itself was not refused, and may be shown again.
    pub(super) fn refuse(&self, shown: Option<Arc<Token>>, reason: Option<&str>) {
        let mut present = self.lock();
        let Some(token) = shown.or_else(|| present.clone()) else { return };
        if present.as_ref().is_some_and(|present| present.text == token.text) {
            *present = None;
        }
        drop(present);
        if let Some(reason) = reason {
            let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
            refused.add(&token.text, reason, Instant::now());
        }
        self.wanted.notify_one();
    }

    /// Lets the task get a token at once.
    pub(super) fn want(&self) {
        self.wanted.notify_one();
    }

    /// How long the next renewal has time.
    fn wait(&self) -> Duration {
        let present = self.lock().clone();
        self.origin.wait(present.as_deref(), SystemTime::now())
    }

    fn put(&self, token: Token) {
        let mut present = self.lock();
        if let Some(before) = present.as_ref().filter(|before| before.text == token.text) {
            let enough = token.obtained.checked_add(UNKNOWN_LIFETIME / 2);
            if before.expires >= token.expires || enough.is_none_or(|enough| before.expires > enough) {
                // The next renewal waits for a part of the time that is left.
                *present = Some(Arc::new(Token { expires: before.expires, ..token }));
                return;
            }
        }
        *present = Some(Arc::new(token));
        self.number.fetch_add(1, Ordering::AcqRel);
    }

    /// Starts the task that renews the tokens as long as somebody has them, unless it runs. Its troubles are those of the component,
    /// which is `kind` `component`: `source logs`.
    pub(super) fn keep_renewed(
        self: &Arc<Self>,
        kind: &'static str,
        component: &Arc<str>,
        meter: &Arc<Meter>,
    ) {
        if !self.is_renewed.swap(true, Ordering::AcqRel) {
            let (tokens, component, meter) = (Arc::downgrade(self), component.clone(), meter.clone());
            tokio::spawn(renew(tokens, kind, component, meter));
        }
    }
}

/// Renews tokens until nobody has them any more.
async fn renew(tokens: Weak<Tokens>, kind: &'static str, component: Arc<str>, meter: Arc<Meter>) {
    // The wait after a failure.
    let mut pause: Option<Duration> = None;
    loop {
        let (wait, wanted) = match tokens.upgrade() {
            Some(tokens) => (pause.unwrap_or_else(|| tokens.wait()), tokens.wanted.clone()),
            None => return,
        };
        let _over = tokio::time::timeout(wait, wanted.notified()).await;
        let Some(tokens) = tokens.upgrade() else { return };
        let error = match tokens.fetch().await {
            Ok(token) => {
                tokens.put(token);
                pause = None;
                if let Some(after) = meter.resolve_trouble(SUBJECT) {
                    let seconds = after.as_secs();
                    info!(%component, "{kind} {component}: there is a token again, after {seconds} s");
                }
                continue;
            }
            Err(error) => error,
        };
        pause = Some(pause.map_or(RENEWAL_WAIT_MIN, |pause| (pause * 2).min(FAILURE_WAIT_MAX)));
        let (cause, text) = (error.cause(), weir_runtime::Failure::transient(error).to_string());
        if let Some(reminder) = meter.report_trouble(SUBJECT, cause, text.clone()) {
            warn!(%component, "{kind} {component}: the token for the brokers can't be renewed: {text}; trying again{reminder}");
        }
    }
}

/// Gives a client each next token. Whoever polls the client has one, and calls it regularly.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    tokens: Option<Arc<Tokens>>,
    /// The number of the token that the client has.
    number: u64,
    /// The token that it has, and since when.
    given: Option<(Arc<Token>, Instant)>,
    /// The token that it had before.
    before: Option<Arc<Token>>,
}

impl Renewal {
    pub(super) fn new(tokens: Option<Arc<Tokens>>) -> Renewal {
        Renewal { tokens, ..Renewal::default() }
    }

    /// The token that the client showed when it was refused; none if it was given none here.
    pub(super) fn shown(&self) -> Option<Arc<Token>> {
        match (&self.given, &self.before) {
            // The refusal is older.
            (Some((_, at)), Some(before)) if at.elapsed() < REFUSAL_DELAY => Some(before.clone()),
            (given, _) => given.as_ref().map(|(token, _)| token.clone()),
        }
    }

    /// Checks that the client's token is of use, so that a member can leave its group before brokers refuse it.
    ///
    /// # Errors
    /// When it is not, and there is no other one.
    pub(super) fn check(&self) -> Result<(), TokenError> {
        match (&self.tokens, &self.given) {
            (Some(tokens), Some((given, _))) if !given.is_of_use(SystemTime::now()) => {
                tokens.present().map(drop)
            }
            _ => Ok(()),
        }
    }

    /// Gives the client a token that it does not have yet. Does not block.
    pub(super) fn renew<C: ClientContext>(&mut self, client: &Client<C>) {
        let Some(tokens) = &self.tokens else { return };
        let number = tokens.number.load(Ordering::Acquire);
        if number == self.number {
            return;
        }
        self.number = number;
        let Ok(token) = tokens.present() else { return };
        let new = (token.clone(), Instant::now());
        self.before = self.given.replace(new).map(|(before, _)| before);
        if let Err(reason) = give_token(client, &token, tokens.extensions()) {
            debug!("a token that a client does not take: {reason}");
        }
    }
}

#[cfg(test)]
mod tests;
