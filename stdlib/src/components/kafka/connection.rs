//! What the source and the sink share: librdkafka's settings and log, and whether the brokers
//! can be reached, told once when they are lost and once when they are back.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::RDKafkaErrorCode;
use serde::Deserialize;
use tracing::{debug, info, warn};

/// How long the brokers may be away before it is worth a warning: a broker that closes an idle
/// connection is back at once.
const GRACE: Duration = Duration::from_secs(1);

/// How often it is asked whether they are back.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// How long such a question may take. It is asked on the polling thread.
pub(super) const PROBE_TIMEOUT: Duration = Duration::from_millis(500);

/// The one kind of protection that this version carries out.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Security {
    Plaintext,
}

/// The settings of every client of these brokers.
pub(super) fn client_config(brokers: &[String], security: Security) -> ClientConfig {
    let protocol = match security {
        Security::Plaintext => "plaintext",
    };
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", brokers.join(","))
        .set("client.id", "weir")
        .set("security.protocol", protocol)
        // New partitions, and topics that did not exist, are found within this time.
        .set("topic.metadata.refresh.interval.ms", "10000")
        .set("reconnect.backoff.max.ms", "2000")
        .set_log_level(RDKafkaLogLevel::Info);
    config
}

/// A duration as librdkafka's settings want it.
pub(super) fn milliseconds(duration: Duration) -> String {
    duration.as_millis().to_string()
}

/// A component's connection to its brokers.
pub(super) struct Connection {
    /// The component, as the user reads it: `source logs`.
    name: String,
    component: Arc<str>,
    brokers: String,
    /// What becomes of the events while no broker can be reached.
    meanwhile: &'static str,
    /// Whether there is an outage in `state`; a cheap look before the lock.
    lost: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    outage: Option<Outage>,
    /// The last reason why a broker could not be reached.
    reason: String,
}

struct Outage {
    since: Instant,
    probed: Instant,
    warned: bool,
}

impl Connection {
    pub(super) fn new(
        kind: &str,
        component: &Arc<str>,
        brokers: &[String],
        meanwhile: &'static str,
    ) -> Connection {
        Connection {
            name: format!("{kind} {component}"),
            component: component.clone(),
            brokers: brokers.join(", "),
            meanwhile,
            lost: AtomicBool::new(false),
            state: Mutex::default(),
        }
    }

    pub(super) fn component(&self) -> &str {
        &self.component
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line of librdkafka's log.
    pub(super) fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        // Its own levels are for its developers: what a user has to know is said in our words.
        debug!(component = %self.component, ?level, "librdkafka: {facility}: {message}");
    }

    /// Takes an error of the client as a whole.
    pub(super) fn error(&self, code: RDKafkaErrorCode, reason: &str) {
        debug!(component = %self.component, ?code, "librdkafka: {reason}");
        match code {
            RDKafkaErrorCode::AllBrokersDown => self.lost(),
            RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::Resolve => {
                self.lock().reason = reason.to_string();
            }
            _ => {}
        }
    }

    fn lost(&self) {
        let now = Instant::now();
        let mut state = self.lock();
        state.outage.get_or_insert(Outage { since: now, probed: now, warned: false });
        self.lost.store(true, Ordering::Relaxed);
    }

    /// A broker has answered.
    pub(super) fn alive(&self) {
        if !self.lost.load(Ordering::Relaxed) {
            return;
        }
        let outage = self.lock().outage.take();
        self.lost.store(false, Ordering::Relaxed);
        if let Some(outage) = outage.filter(|outage| outage.warned) {
            let seconds = outage.since.elapsed().as_secs();
            info!(component = %self.component, "{}: a broker can be reached again, after {seconds} s", self.name);
        }
    }

    /// Called again and again by the polling thread: warns of an outage that lasts, and uses
    /// `probe` to find its end where nothing else would show it.
    pub(super) fn tick(&self, probe: impl FnOnce(Duration) -> bool) {
        if !self.lost.load(Ordering::Relaxed) {
            return;
        }
        if self.watch(Instant::now()) && probe(PROBE_TIMEOUT) {
            self.alive();
        }
    }

    /// Whether it is time for a probe.
    fn watch(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let State { outage, reason } = &mut *state;
        let Some(outage) = outage else { return false };
        if !outage.warned && now - outage.since >= GRACE {
            outage.warned = true;
            let (name, brokers, meanwhile) = (&self.name, &self.brokers, self.meanwhile);
            let reason = if reason.is_empty() { "no connection" } else { reason };
            warn!(
                component = %self.component,
                "{name}: no broker of {brokers} can be reached: nothing is lost, {meanwhile}; trying again ({reason})"
            );
        }
        let due = now - outage.probed >= PROBE_INTERVAL;
        if due {
            outage.probed = now;
        }
        due
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("name", &self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection() -> Connection {
        Connection::new("source", &"logs".into(), &["b:9092".to_string()], "it waits")
    }

    #[test]
    fn a_short_interruption_is_not_worth_a_warning() {
        let connection = connection();
        connection.error(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        assert!(!connection.watch(Instant::now()));
        assert!(connection.lock().outage.as_ref().is_some_and(|outage| !outage.warned));
        connection.alive();
        assert!(connection.lock().outage.is_none());
    }

    #[test]
    fn an_outage_is_told_once_and_probed_until_it_ends() {
        let connection = connection();
        connection.error(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        let later = Instant::now() + GRACE;
        assert!(!connection.watch(later));
        assert!(connection.lock().outage.as_ref().is_some_and(|outage| outage.warned));
        assert!(connection.watch(later + PROBE_INTERVAL));
        assert!(!connection.watch(later + PROBE_INTERVAL));
        connection.error(RDKafkaErrorCode::AllBrokersDown, "1/1 brokers are down");
        assert!(connection.lock().outage.as_ref().is_some_and(|outage| outage.warned));
        connection.alive();
        assert!(!connection.lost.load(Ordering::Relaxed));
    }
}
