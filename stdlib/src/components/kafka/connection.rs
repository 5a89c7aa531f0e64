//! Shared by the source and the sink: librdkafka's settings and log, and the log messages when no broker can be
//! reached and when one can be reached again.
//!
//! An outage is visible in `/ready`, the metrics and the log within ten seconds with the default limit of `/ready`, and so is its end:
//! the tests add up the time limits below for each way in which brokers go away.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::Client;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::{ClientConfig, ClientContext};
use tracing::{debug, info, warn};
use weir_runtime::{Cause, Meter, TroubleReport};

/// The subject of the trouble while no broker can be reached.
const BROKERS: &str = "brokers";

use super::kerberos;
use super::native::{add_brokers, ask_controller};
use super::refusal::Refusal;
use super::silence::{SILENCE, Shown, Silences};

/// The time within which an outage, and its end, are visible.
#[cfg(test)]
const VISIBLE_WITHIN: Duration = Duration::from_secs(10);

/// How long no broker must be reachable before a warning is logged. A broker that closes an idle connection can be
/// reached again at once.
const WARN_AFTER: Duration = Duration::from_secs(1);

/// The longest time between two heartbeats. A member learns of a rebalance from the answer to a heartbeat, and a
/// rebalance waits until all members know of it.
const HEARTBEAT_INTERVAL_MAX: Duration = Duration::from_secs(1);

/// The time between two probes of the brokers during an outage.
const PROBE_INTERVAL: Duration = Duration::from_millis(1500);

/// The timeout of a probe, which blocks the polling thread.
pub(super) const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

/// The timeout of any other request for which a polling thread waits. Meanwhile it does not see the statistics.
pub(super) const POLLING_TIMEOUT: Duration = Duration::from_secs(1);

/// How long a commit may take that is waited for. Meanwhile a member does not see what its brokers do.
pub(super) const COMMIT_LIMIT: Duration = Duration::from_secs(5);

/// How long a request may take before librdkafka closes the connection, and asks on another one. An answer of many megabytes may take
/// that long on a slow network.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(20);

/// How long a connection may take until the broker has let the client in.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(8);

/// How long the first answer on a connection may take.
const FIRST_ANSWER_TIMEOUT: Duration = Duration::from_millis(4500);

/// The longest wait before the next connection. librdkafka varies it by a fifth.
const RECONNECT_WAIT_MAX: Duration = Duration::from_secs(1);

/// The time between two statistics of a client, from which the lag is read, and which brokers are silent.
pub(super) const STATISTICS_INTERVAL: Duration = Duration::from_millis(1500);

/// How long a reason counts that is not told again. librdkafka tells one that stays the same every 30 s.
const REASON_KEPT: Duration = Duration::from_secs(40);

/// Returns the settings that every client of these brokers has, without its security.
pub(super) fn client_config(brokers: &[String]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers.join(","))
        .set("client.id", "weir")
        // New partitions and new topics are found within this time.
        .set("topic.metadata.refresh.interval.ms", "10000")
        .set("reconnect.backoff.max.ms", milliseconds(RECONNECT_WAIT_MAX))
        .set("socket.timeout.ms", milliseconds(SOCKET_TIMEOUT))
        .set("socket.connection.setup.timeout.ms", milliseconds(CONNECTION_TIMEOUT))
        .set("api.version.request.timeout.ms", milliseconds(FIRST_ANSWER_TIMEOUT))
        .set_log_level(RDKafkaLogLevel::Info);
    config
}

/// Sets how long a transaction may take. No request may take longer.
pub(super) fn set_transaction_timeout(config: &mut ClientConfig, timeout: Duration) {
    config.set("transaction.timeout.ms", milliseconds(timeout));
    config.set("socket.timeout.ms", milliseconds(timeout.min(SOCKET_TIMEOUT)));
}

/// Adds the settings of a member of this group, whose offsets the component commits itself, and which reads committed records.
pub(super) fn set_member(config: &mut ClientConfig, group: &str, session_timeout: Duration) {
    let session = milliseconds(session_timeout);
    let heartbeat = (session_timeout / 3).min(HEARTBEAT_INTERVAL_MAX);
    config
        .set("group.id", group)
        .set("partition.assignment.strategy", "cooperative-sticky")
        .set("session.timeout.ms", &session)
        .set("heartbeat.interval.ms", milliseconds(heartbeat))
        // The thread always polls, so a member that is silent for either reason has the same time limit.
        .set("max.poll.interval.ms", &session)
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("check.crcs", "true")
        // The wait before a full queue is checked again. The default of a second delays a fast reader.
        .set("fetch.queue.backoff.ms", "20");
}

/// Formats a duration for librdkafka's settings.
pub(super) fn milliseconds(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// The connection of a component to its brokers, or of one of its clients.
pub(super) struct Connection {
    /// The component, as the user reads it: `source logs`.
    name: String,
    component: Arc<str>,
    /// Which client of the component it is; empty if the component has one at a time. A trouble is open as long as one client has it.
    client: String,
    brokers: String,
    /// What happens to the events while no broker can be reached, for the warning.
    meanwhile: &'static str,
    meter: Arc<Meter>,
    /// Whether `state` has an outage. It is checked before the lock is taken.
    lost: AtomicBool,
    /// Whether the client has to ask a broker something, to see whether it answers.
    idle: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    outage: Option<Outage>,
    reason: Option<Reason>,
    /// A broker has not let the client in.
    refusal: Option<Refusal>,
    silences: Silences,
}

/// Why a broker could not be reached.
struct Reason {
    cause: Cause,
    text: String,
    at: Instant,
    /// How long the client had waited for the broker by then.
    waited: Duration,
}

impl Reason {
    fn new(cause: Cause, text: &str) -> Reason {
        let waited = if cause == Cause::TimedOut { waited(text) } else { Duration::ZERO };
        Reason { cause, text: text.to_owned(), at: Instant::now(), waited }
    }
}

struct Outage {
    since: Instant,
    probed: Instant,
    warned: bool,
}

impl Connection {
    /// Makes the connection of a component, whose troubles with the brokers may be those of a client before.
    pub(super) fn new(
        kind: &str,
        component: &Arc<str>,
        brokers: &[String],
        meanwhile: &'static str,
        meter: &Arc<Meter>,
    ) -> Connection {
        let (name, brokers) = (format!("{kind} {component}"), brokers.join(", "));
        Connection::make(name, component.clone(), String::new(), brokers, meanwhile, meter.clone())
    }

    /// Makes the connection of another client of the component.
    pub(super) fn of_client(&self, client: &str) -> Connection {
        let Connection { name, component, brokers, meanwhile, meter, .. } = self;
        let client = client.to_owned();
        Connection::make(name.clone(), component.clone(), client, brokers.clone(), meanwhile, meter.clone())
    }

    fn make(
        name: String,
        component: Arc<str>,
        client: String,
        brokers: String,
        meanwhile: &'static str,
        meter: Arc<Meter>,
    ) -> Connection {
        let (lost, idle, state) = (AtomicBool::new(false), AtomicBool::new(false), Mutex::default());
        Connection { name, component, client, brokers, meanwhile, meter, lost, idle, state }.go_on()
    }

    /// Goes on with an outage that the client before has left: this one finds the end of it.
    fn go_on(mut self) -> Connection {
        let condition = self.meter.condition();
        let Some(trouble) = condition.troubles().get(BROKERS) else { return self };
        let Some(message) = trouble.message_of(&self.client) else { return self };
        let now = Instant::now();
        let since = now.checked_sub(trouble.began.elapsed()).unwrap_or(now);
        let text = message.strip_prefix(&unreachable(&self.brokers)).unwrap_or(message);
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        state.outage = Some(Outage { since, probed: now, warned: true });
        state.reason = Some(Reason::new(trouble.cause, text));
        *self.lost.get_mut() = true;
        self
    }

    fn is_lost(&self) -> bool {
        self.lost.load(Ordering::Relaxed)
    }

    /// Whether [`Connection::tick`] has something to do.
    pub(super) fn has_to_ask(&self) -> bool {
        self.is_lost() || self.idle.load(Ordering::Relaxed)
    }

    pub(super) fn component(&self) -> &str {
        &self.component
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Handles a line of librdkafka's log.
    pub(super) fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // librdkafka's messages are for its developers. Messages for users are logged elsewhere.
        debug!(component = %self.component, ?level, "librdkafka: {facility}: {message}");
        // It reports that all brokers are down, and says only here that they have not answered.
        if facility == "FAIL" && is_timeout(message) {
            let text = message.split_once("]: ").map_or(message, |(_thread, text)| text);
            self.lock().reason = Some(Reason::new(Cause::TimedOut, text));
        }
    }

    /// Handles an error of the client that concerns no single record or partition.
    pub(super) fn error(&self, code: RDKafkaErrorCode, reason: &str) {
        debug!(component = %self.component, ?code, "librdkafka: {reason}");
        let refusal = Refusal::of(code, reason);
        let cause = refusal.as_ref().map(Refusal::cause).or_else(|| unreachable_cause(code, reason));
        let mut state = self.lock();
        if let Some(cause) = cause {
            let reason = kerberos::outage(reason).unwrap_or_else(|| reason.to_owned());
            state.reason = Some(Reason::new(cause, &reason));
        }
        if let Some(refusal) = refusal {
            state.refusal.get_or_insert(refusal);
        }
        drop(state);
        if code == RDKafkaErrorCode::AllBrokersDown {
            self.lost();
        }
    }

    /// Forgets what brokers have told the client before, so that it is not taken for a refusal of the next one.
    pub(super) fn begin_client(&self) {
        self.lock().refusal = None;
    }

    /// Takes the refusal of a broker that has not let the client in, if there was one.
    pub(super) fn take_refusal(&self) -> Option<Refusal> {
        self.lock().refusal.take()
    }

    fn lost(&self) {
        let now = Instant::now();
        let mut state = self.lock();
        let State { outage, reason, .. } = &mut *state;
        if outage.is_none() {
            *reason = reason.take().filter(|reason| now.duration_since(reason.at) < REASON_KEPT);
            let new = reason.as_ref().filter(|reason| now.duration_since(reason.at) < WARN_AFTER);
            let waited = new.map_or(Duration::ZERO, |reason| reason.waited);
            let since = now.checked_sub(waited).unwrap_or(now);
            *outage = Some(Outage { since, probed: now, warned: false });
        }
        self.lost.store(true, Ordering::Relaxed);
    }

    /// Notes that requests of the polling thread have not been answered for so long. Meanwhile it sees no statistics.
    pub(super) fn unanswered(&self, lasts: Duration) {
        if lasts < SILENCE {
            return;
        }
        let now = Instant::now();
        let mut state = self.lock();
        state.reason = Some(Reason::new(Cause::TimedOut, "a request is not answered"));
        let State { outage, reason, .. } = &mut *state;
        let since = now.checked_sub(lasts).unwrap_or(now);
        let outage = outage.get_or_insert(Outage { since, probed: now, warned: false });
        outage.warned = true;
        self.warn(outage, reason.as_ref());
        self.lost.store(true, Ordering::Relaxed);
    }

    /// Notes that a broker has answered, and logs the end of an outage.
    pub(super) fn answered(&self) {
        if !self.is_lost() {
            return;
        }
        let mut state = self.lock();
        state.outage = None;
        // Before another thread can note the next outage.
        self.lost.store(false, Ordering::Relaxed);
        drop(state);
        if let Some(after) = self.meter.resolve_trouble_of(&self.client, BROKERS) {
            let seconds = after.as_secs();
            info!(component = %self.component, "{}: a broker can be reached again, after {seconds} s", self.name);
        }
    }

    /// Warns of an outage that lasts, and probes the brokers to find its end. The polling thread calls this regularly.
    pub(super) fn tick<C: ClientContext>(&self, client: &Client<C>) {
        if self.idle.load(Ordering::Relaxed) && self.idle.swap(false, Ordering::Relaxed) {
            ask_controller(client, SOCKET_TIMEOUT);
        }
        if !self.is_lost() || !self.should_probe(Instant::now()) {
            return;
        }
        match client.fetch_metadata(None, PROBE_TIMEOUT) {
            Ok(_) => self.answered(),
            Err(_) => add_brokers(client, &self.brokers),
        }
    }

    /// Looks for brokers that let requests wait without a word, by the statistics of the client.
    pub(super) fn look_for_silent(&self, statistics: &Statistics) {
        let mut state = self.lock();
        let shown = state.silences.take(statistics);
        self.idle.store(state.silences.is_idle(), Ordering::Relaxed);
        drop(state);
        let condition = self.meter.condition();
        // The client before this one may have found the trouble.
        let known = condition.troubles().iter().filter_map(|(broker, trouble)| {
            let message = trouble.message_of(&self.client)?;
            (message == silence(broker)).then_some(broker.as_str())
        });
        let known: BTreeSet<&str> = known.collect();
        let is_connected = shown.values().any(|shown| *shown == Shown::Speaks);
        for broker in &known {
            match shown.get(broker) {
                Some(Shown::Silent(_)) => {}
                Some(Shown::Connects) => self.warn_of_silent(broker, Duration::ZERO),
                // A client that has just been made does not know all brokers.
                None if !is_connected => {}
                _ => self.speaks(broker),
            }
        }
        for (broker, shown) in shown {
            if let Shown::Silent(lasts) = shown {
                self.warn_of_silent(broker, lasts);
            }
        }
    }

    /// Notes that a broker is not silent any more.
    fn speaks(&self, broker: &str) {
        let Connection { name, component, meter, client, .. } = self;
        if let Some(after) = meter.resolve_trouble_of(client, broker) {
            let seconds = after.as_secs();
            info!(component = &**component, "{name}: the broker {broker} answers again, after {seconds} s");
        }
    }

    /// Opens the trouble of a silent broker, or notes that it goes on, and logs it now and then.
    fn warn_of_silent(&self, broker: &str, lasts: Duration) {
        let Connection { name, component, meter, client, meanwhile, .. } = self;
        let message = silence(broker);
        let report = TroubleReport {
            subject: broker,
            holder: client,
            cause: Cause::TimedOut,
            message: &message,
            lasts,
        };
        if let Some(reminder) = meter.report_trouble_of(report) {
            warn!(
                component = &**component,
                "{name}: {message}: nothing is lost, {meanwhile}; trying again{reminder}"
            );
        }
    }

    /// Opens the trouble, or notes that it goes on, and logs it now and then.
    fn warn(&self, outage: &Outage, reason: Option<&Reason>) {
        let Connection { name, brokers, meanwhile, client, .. } = self;
        let (cause, reason) =
            reason.map_or((Cause::Unreachable, "no connection"), |reason| (reason.cause, &reason.text));
        let message = format!("{}{reason}", unreachable(brokers));
        let lasts = outage.since.elapsed();
        let report = TroubleReport { subject: BROKERS, holder: client, cause, message: &message, lasts };
        if let Some(reminder) = self.meter.report_trouble_of(report) {
            warn!(
                component = %self.component,
                "{name}: no broker of {brokers} can be reached: nothing is lost, {meanwhile}; trying again ({reason}){reminder}"
            );
        }
    }

    /// Returns whether a probe is due, and warns of an outage that lasts.
    fn should_probe(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let State { outage, reason, .. } = &mut *state;
        let Some(outage) = outage else { return false };
        let due = now - outage.probed >= PROBE_INTERVAL;
        if now - outage.since >= WARN_AFTER && (due || !outage.warned) {
            outage.warned = true;
            self.warn(outage, reason.as_ref());
        }
        if due {
            outage.probed = now;
        }
        due
    }
}

/// The beginning of the message of the trouble while no broker can be reached, before its reason.
fn unreachable(brokers: &str) -> String {
    format!("no broker of {brokers} can be reached: ")
}

/// The message of the trouble while a broker lets requests wait without a word.
fn silence(broker: &str) -> String {
    format!("the broker {broker} does not answer")
}

/// How long a client had waited for a connection, by librdkafka's reason `… (after 8003ms in state CONNECT)`.
fn waited(reason: &str) -> Duration {
    let found = reason.rsplit_once("(after ").and_then(|(_, rest)| rest.split_once("ms in state "));
    let milliseconds = match found {
        // It was in use before.
        Some((_, rest)) if rest.starts_with("UP") => None,
        Some((number, _)) => number.parse().ok(),
        None => None,
    };
    milliseconds.map_or(Duration::ZERO, Duration::from_millis).min(CONNECTION_TIMEOUT)
}

/// Whether a reason says that a broker has not answered in time.
fn is_timeout(reason: &str) -> bool {
    reason.contains("timed out") || reason.contains("Timed out")
}

/// Whether a request has failed because nobody has answered in time.
pub(super) fn is_unanswered(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(code, Some(RDKafkaErrorCode::OperationTimedOut | RDKafkaErrorCode::RequestTimedOut))
}

/// Finds out why a broker can't be reached; none if the error says something else. librdkafka reports refused and silent
/// brokers with the same code.
pub(super) fn unreachable_cause(code: RDKafkaErrorCode, reason: &str) -> Option<Cause> {
    match code {
        RDKafkaErrorCode::Authentication if kerberos::outage(reason).is_some() => Some(Cause::NotAuthorised),
        RDKafkaErrorCode::Resolve => Some(Cause::NoSuchHost),
        // The other end is no broker: the beginning of its answer is taken for a length.
        RDKafkaErrorCode::BadMessage => Some(Cause::Protocol),
        RDKafkaErrorCode::BrokerTransportFailure if reason.contains("Invalid response size") => {
            Some(Cause::Protocol)
        }
        RDKafkaErrorCode::BrokerTransportFailure if reason.contains("Connection refused") => {
            Some(Cause::Refused)
        }
        RDKafkaErrorCode::BrokerTransportFailure if is_timeout(reason) => Some(Cause::TimedOut),
        // A connection that was lost before the client could say who it is.
        RDKafkaErrorCode::Authentication if is_timeout(reason) => Some(Cause::TimedOut),
        RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Authentication => {
            Some(Cause::Unreachable)
        }
        _ => None,
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
