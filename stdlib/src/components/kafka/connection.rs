//! Shared by the source and the sink: librdkafka's settings and log, and the log messages when no broker can be
//! reached and when one can be reached again.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::Client;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::statistics::{Broker, Statistics};
use rdkafka::{ClientConfig, ClientContext};
use tracing::{debug, info, warn};
use weir_runtime::{Cause, Meter};

/// The subject of the trouble while no broker can be reached.
const BROKERS: &str = "brokers";

use super::kerberos;
use super::native::add_brokers;
use super::security::Refusal;

/// How long no broker must be reachable before a warning is logged. A broker that closes an idle connection can be
/// reached again at once.
const WARN_AFTER: Duration = Duration::from_secs(1);

/// The longest time between two heartbeats. A member learns of a rebalance from the answer to a heartbeat, and a
/// rebalance waits until all members know of it.
const HEARTBEAT_INTERVAL_MAX: Duration = Duration::from_secs(1);

/// The time between two probes of the brokers during an outage.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// The timeout of a probe, which blocks the polling thread.
pub(super) const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

/// How long a broker may let requests wait without a word. A request for records, which waits for new ones, takes half a second.
const SILENCE: Duration = Duration::from_secs(3);

/// How long a request may take before librdkafka closes the connection, and asks on another one.
const SOCKET_TIMEOUT: Duration = Duration::from_secs(20);

/// The time between two statistics of a client, from which the lag is read, and which brokers are silent.
pub(super) const STATISTICS_INTERVAL: Duration = Duration::from_secs(2);

/// Returns the settings that every client of these brokers has, without its security.
pub(super) fn client_config(brokers: &[String]) -> ClientConfig {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers.join(","))
        .set("client.id", "weir")
        // New partitions and new topics are found within this time.
        .set("topic.metadata.refresh.interval.ms", "10000")
        .set("reconnect.backoff.max.ms", "2000")
        .set("socket.timeout.ms", milliseconds(SOCKET_TIMEOUT))
        // A broker that does not answer at all is known within seconds.
        .set("socket.connection.setup.timeout.ms", "8000")
        .set("api.version.request.timeout.ms", "5000")
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

/// A component's connection to its brokers.
pub(super) struct Connection {
    /// The component, as the user reads it: `source logs`.
    name: String,
    component: Arc<str>,
    brokers: String,
    /// What happens to the events while no broker can be reached, for the warning.
    meanwhile: &'static str,
    meter: Arc<Meter>,
    /// Whether `state` has an outage. It is checked before the lock is taken.
    lost: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    outage: Option<Outage>,
    /// The last reason why a broker could not be reached.
    reason: Option<(Cause, String)>,
    /// A broker has not let the client in.
    refusal: Option<Refusal>,
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
        let (brokers, mut state) = (brokers.join(", "), State::default());
        // The client before may have lost the brokers: this one finds the end of it.
        if let Some(trouble) = meter.condition().troubles().get(BROKERS) {
            let now = Instant::now();
            state.outage = Some(Outage { since: now, probed: now, warned: true });
            let reason = trouble.message.strip_prefix(&unreachable(&brokers)).unwrap_or(&trouble.message);
            state.reason = Some((trouble.cause, reason.to_owned()));
        }
        Connection {
            name: format!("{kind} {component}"),
            component: component.clone(),
            brokers,
            meanwhile,
            meter: meter.clone(),
            lost: AtomicBool::new(state.outage.is_some()),
            state: Mutex::new(state),
        }
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
    }

    /// Handles an error of the client that concerns no single record or partition.
    pub(super) fn error(&self, code: RDKafkaErrorCode, reason: &str) {
        debug!(component = %self.component, ?code, "librdkafka: {reason}");
        let refusal = Refusal::of(code, reason);
        let cause = refusal.as_ref().map(Refusal::cause).or_else(|| unreachable_cause(code, reason));
        let mut state = self.lock();
        if let Some(cause) = cause {
            state.reason = Some((cause, kerberos::outage(reason).unwrap_or_else(|| reason.to_owned())));
        }
        if let Some(refusal) = refusal {
            state.refusal.get_or_insert(refusal);
        }
        drop(state);
        if code == RDKafkaErrorCode::AllBrokersDown {
            self.lost();
        }
    }

    /// Takes the refusal of a broker that has not let the client in, if there was one.
    pub(super) fn take_refusal(&self) -> Option<Refusal> {
        self.lock().refusal.take()
    }

    fn lost(&self) {
        let now = Instant::now();
        let mut state = self.lock();
        state.outage.get_or_insert(Outage { since: now, probed: now, warned: false });
        self.lost.store(true, Ordering::Relaxed);
    }

    /// Notes that a broker has answered, and logs the end of an outage.
    pub(super) fn answered(&self) {
        if !self.lost.load(Ordering::Relaxed) {
            return;
        }
        self.lock().outage = None;
        self.lost.store(false, Ordering::Relaxed);
        if let Some(after) = self.meter.resolve_trouble(BROKERS) {
            let seconds = after.as_secs();
            info!(component = %self.component, "{}: a broker can be reached again, after {seconds} s", self.name);
        }
    }

    /// Warns of an outage that lasts, and probes the brokers to find its end. The polling thread calls this regularly.
    pub(super) fn tick<C: ClientContext>(&self, client: &Client<C>) {
        if !self.lost.load(Ordering::Relaxed) || !self.should_probe(Instant::now()) {
            return;
        }
        match client.fetch_metadata(None, PROBE_TIMEOUT) {
            Ok(_) => self.answered(),
            Err(_) => add_brokers(client, &self.brokers),
        }
    }

    /// Looks for brokers that let requests wait without a word, by the statistics of a client: on a connection that is stalled, or whose
    /// other end is gone, librdkafka reports no error as long as requests may take.
    pub(super) fn look_for_silent(&self, statistics: &Statistics) {
        let condition = self.meter.condition();
        // The client before this one may have found the trouble, and its broker may be gone.
        let known =
            condition.troubles().iter().filter(|(broker, trouble)| trouble.message == silence(broker));
        let known: BTreeSet<&str> = known.map(|(broker, _)| broker.as_str()).collect();
        // A coordinator lets members wait for others.
        let brokers = statistics.brokers.values().filter(|broker| broker.source != "logical");
        let silent = brokers.filter(|broker| is_silent(broker, known.contains(&*broker.nodename)));
        let silent: BTreeSet<&str> = silent.map(|broker| broker.nodename.as_str()).collect();
        let Connection { name, component, meter, meanwhile, .. } = self;
        for broker in known.difference(&silent) {
            if let Some(after) = meter.resolve_trouble(broker) {
                let seconds = after.as_secs();
                info!(
                    component = &**component,
                    "{name}: the broker {broker} answers again, after {seconds} s"
                );
            }
        }
        for broker in silent {
            let trouble = silence(broker);
            if let Some(reminder) = meter.report_trouble(broker, Cause::TimedOut, trouble.clone()) {
                warn!(
                    component = &**component,
                    "{name}: {trouble}: nothing is lost, {meanwhile}; trying again{reminder}"
                );
            }
        }
    }

    /// Opens the trouble, or notes that it goes on, and logs it now and then.
    fn warn(&self, reason: Option<&(Cause, String)>) {
        let Connection { name, brokers, meanwhile, .. } = self;
        let (cause, reason) =
            reason.map_or((Cause::Unreachable, "no connection"), |(cause, reason)| (*cause, reason));
        let trouble = format!("{}{reason}", unreachable(brokers));
        if let Some(reminder) = self.meter.report_trouble(BROKERS, cause, trouble) {
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
            self.warn(reason.as_ref());
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

/// Whether a broker lets requests wait without a word. One that was silent before stays so until it says something: further requests
/// change nothing.
fn is_silent(broker: &Broker, was_silent: bool) -> bool {
    let is_long =
        |microseconds: i64| u128::try_from(microseconds).is_ok_and(|idle| idle >= SILENCE.as_micros());
    let is_waiting = broker.state == "UP" && broker.waitresp_cnt > 0;
    is_waiting && is_long(broker.rxidle) && (was_silent || is_long(broker.txidle))
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
        RDKafkaErrorCode::BrokerTransportFailure if reason.contains("timed out") => Some(Cause::TimedOut),
        RDKafkaErrorCode::BrokerTransportFailure => Some(Cause::Unreachable),
        _ => None,
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use weir_runtime::Trouble;

    use super::*;

    fn connection() -> Connection {
        Connection::new("source", &"logs".into(), &["b:9092".to_string()], "it waits", &Arc::default())
    }

    #[test]
    fn a_peer_that_is_no_broker_is_told_from_one_that_is_away() {
        let transport = RDKafkaErrorCode::BrokerTransportFailure;
        let size = "Receive failed: Invalid response size 1213486160 (0..100000000)";
        for (code, reason, cause) in [
            (transport, size, Cause::Protocol),
            (RDKafkaErrorCode::BadMessage, "Protocol parse failure", Cause::Protocol),
            (transport, "Connect failed: Connection refused", Cause::Refused),
            (transport, "Disconnected", Cause::Unreachable),
        ] {
            assert_eq!(unreachable_cause(code, reason), Some(cause), "{reason}");
        }
    }

    /// The statistics of a client that has a connection to a broker, and one to the coordinator of its group.
    fn statistics(waitresp_cnt: i64, rxidle: i64, txidle: i64) -> Statistics {
        let broker = |source: &str, nodename: &str, waitresp_cnt| Broker {
            source: source.to_owned(),
            nodename: nodename.to_owned(),
            state: "UP".to_owned(),
            waitresp_cnt,
            rxidle,
            txidle,
            ..Broker::default()
        };
        let brokers = [broker("learned", "b:9092", waitresp_cnt), broker("logical", "c:9092", 1)];
        let brokers = brokers.into_iter().map(|broker| (broker.nodename.clone(), broker)).collect();
        Statistics { brokers, ..Statistics::default() }
    }

    #[test]
    fn a_broker_that_lets_requests_wait_without_a_word_is_a_trouble() {
        const SECOND: i64 = 1_000_000;
        let connection = connection();
        for (waiting, rxidle, txidle, expected) in [
            (1, SECOND / 2, SECOND / 2, false),
            (0, 60 * SECOND, 60 * SECOND, false),
            (1, 60 * SECOND, 1_000, false),
            (1, 65 * SECOND, 4 * SECOND, true),
            (2, 70 * SECOND, 1_000, true),
            (1, SECOND / 10, SECOND / 5, false),
        ] {
            connection.look_for_silent(&statistics(waiting, rxidle, txidle));
            let condition = connection.meter.condition();
            let found = condition.troubles().get("b:9092").map(|trouble| (trouble.cause, &*trouble.message));
            let trouble = (Cause::TimedOut, "the broker b:9092 does not answer");
            assert_eq!(found, expected.then_some(trouble), "{waiting} {rxidle} {txidle}");
            assert_eq!(condition.troubles().len(), usize::from(expected));
        }
    }

    #[test]
    fn a_short_outage_causes_no_warning() {
        let connection = connection();
        connection.error(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        assert!(!connection.should_probe(Instant::now()));
        assert!(connection.lock().outage.as_ref().is_some_and(|outage| !outage.warned));
        connection.answered();
        assert!(connection.lock().outage.is_none());
    }

    #[test]
    fn an_outage_is_warned_of_once_and_probed_until_it_ends() {
        let connection = connection();
        connection.error(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        let later = Instant::now() + WARN_AFTER;
        assert!(!connection.should_probe(later));
        assert!(connection.lock().outage.as_ref().is_some_and(|outage| outage.warned));
        assert!(connection.should_probe(later + PROBE_INTERVAL));
        assert!(!connection.should_probe(later + PROBE_INTERVAL));
        connection.error(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        assert!(connection.lock().outage.as_ref().is_some_and(|outage| outage.warned));
        assert_eq!(connection.meter.condition().troubles()[BROKERS].cause, Cause::Unreachable);
        connection.error(RDKafkaErrorCode::BrokerTransportFailure, "Connect failed: Connection refused");
        assert!(connection.should_probe(later + 2 * PROBE_INTERVAL));
        assert_eq!(connection.meter.condition().troubles()[BROKERS].cause, Cause::Refused);
        connection.answered();
        assert!(connection.meter.condition().troubles().is_empty());
        assert!(!connection.lost.load(Ordering::Relaxed));
    }

    #[test]
    fn troubles_of_a_client_are_over_when_the_next_one_gets_answers() {
        let before = connection();
        before.error(RDKafkaErrorCode::Authentication, "the token has expired");
        before.error(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        assert!(!before.should_probe(Instant::now() + WARN_AFTER));
        before.look_for_silent(&statistics(1, 60_000_000, 60_000_000));
        let meter = before.meter.clone();
        assert_eq!(meter.condition().troubles().len(), 2);
        drop(before);
        let next = Connection::new("source", &"logs".into(), &["b:9092".to_string()], "it waits", &meter);
        assert!(next.should_probe(Instant::now() + PROBE_INTERVAL));
        let condition = meter.condition();
        let Trouble { cause, message, .. } = &condition.troubles()[BROKERS];
        assert_eq!(*cause, Cause::NotAuthorised);
        assert_eq!(message, "no broker of b:9092 can be reached: the token has expired");
        next.look_for_silent(&Statistics::default());
        next.answered();
        assert!(meter.condition().troubles().is_empty());
    }
}
