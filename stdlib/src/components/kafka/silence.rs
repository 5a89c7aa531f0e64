//! Which brokers let requests wait without a word, by the statistics of a client: on a connection that is stalled, or whose other end is
//! gone, librdkafka reports no error as long as requests may take.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::statistics::{Broker, Statistics};

/// How long a broker may let requests wait without a word. A request for records, which waits for new ones, takes half a second.
pub(super) const SILENCE: Duration = Duration::from_secs(3);

/// How long nothing must have come before a client that waits for nothing asks a broker something, to see whether it answers.
const IDLE: Duration = Duration::from_millis(500);

/// What the statistics show of a broker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shown {
    /// It has let requests wait without a word for so long.
    Silent(Duration),
    /// It has sent something.
    Speaks,
    /// The client tries to connect to it.
    Connects,
    /// No request waits for it.
    Unused,
}

/// The silences of the brokers of a client.
#[derive(Debug, Default)]
pub(super) struct Silences {
    /// For each connection with waiting requests, the time since which nothing has come, in microseconds of the client's clock.
    waiting: BTreeMap<String, i64>,
    /// The same of each broker that was found silent, until it sends something.
    silent: BTreeMap<String, i64>,
    is_idle: bool,
}

impl Silences {
    /// Takes the next statistics of the client. Returns what they show of each broker, by its address. A client may have several
    /// connections to the same broker.
    pub(super) fn take<'s>(&mut self, statistics: &'s Statistics) -> BTreeMap<&'s str, Shown> {
        let (now, before) = (statistics.ts, std::mem::take(&mut self.waiting));
        let mut shown: BTreeMap<&str, Shown> = BTreeMap::new();
        let answers_at_once = coordinator_answers_at_once(statistics);
        let brokers = || {
            statistics.brokers.values().filter(|broker| match &*broker.source {
                "internal" => false,
                "logical" => answers_at_once,
                _ => true,
            })
        };
        let is_connected = brokers().any(is_up);
        self.is_idle = is_connected && brokers().filter(|broker| is_up(broker)).all(is_idle);
        for broker in brokers() {
            let found = match &*broker.state {
                _ if is_up(broker) => self.look_at(broker, now, before.get(&broker.name).copied()),
                // The client does not need the broker.
                "INIT" => Shown::Unused,
                "DOWN" | "TRY_CONNECT" => Shown::Connects,
                // One of several brokers may be away for long, and the others have its partitions.
                _ if is_connected => Shown::Connects,
                _ => self.look_at_new(broker, now),
            };
            let known = shown.entry(&broker.nodename).or_insert(found);
            *known = more_telling(*known, found);
        }
        self.silent
            .retain(|address, _| matches!(shown.get(&**address), Some(Shown::Silent(_) | Shown::Connects)));
        shown
    }

    /// Whether the client has a connection, and no broker has anything to answer.
    pub(super) fn is_idle(&self) -> bool {
        self.is_idle
    }

    /// Looks at one connection, on which nothing had come since `before` at the last statistics.
    fn look_at(&mut self, broker: &Broker, now: i64, before: Option<i64>) -> Shown {
        let word = now - broker.rxidle.max(0);
        if broker.waitresp_cnt == 0 {
            let silent = self.silent.get(&broker.nodename);
            return if silent.is_none_or(|since| *since < word) { Shown::Speaks } else { Shown::Unused };
        }
        // The last request was sent then, and others may wait for longer: if one has waited at the last statistics and nothing has
        // come since, it still waits.
        let sent = now - broker.txidle.max(0);
        let since = before.filter(|since| *since >= word).unwrap_or_else(|| word.max(sent));
        self.waiting.insert(broker.name.clone(), since);
        self.since(broker, since, now).unwrap_or(Shown::Speaks)
    }

    /// Looks at a connection that is being made, if the client has no other one.
    fn look_at_new(&mut self, broker: &Broker, now: i64) -> Shown {
        self.since(broker, now - broker.stateage, now).unwrap_or(Shown::Connects)
    }

    /// Notes that nothing has come from a broker since then; none if that is not long ago.
    fn since(&mut self, broker: &Broker, since: i64, now: i64) -> Option<Shown> {
        let lasts = Duration::from_micros(u64::try_from(now - since).unwrap_or(0));
        if lasts < SILENCE {
            return None;
        }
        self.silent.entry(broker.nodename.clone()).or_insert(since);
        Some(Shown::Silent(lasts))
    }
}

/// Whether the coordinator of a client does not let it wait for others: that of transactions never does, and that of a group does while the
/// member joins.
fn coordinator_answers_at_once(statistics: &Statistics) -> bool {
    let member = statistics.cgrp.as_ref();
    statistics.client_type == "producer" || member.is_some_and(|member| member.join_state == "steady")
}

fn is_up(broker: &Broker) -> bool {
    matches!(&*broker.state, "UP" | "REAUTH")
}

/// Whether nothing is asked of a broker, which does not matter of a coordinator that lets the client wait.
fn is_idle(broker: &Broker) -> bool {
    let silence = Duration::from_micros(u64::try_from(broker.rxidle).unwrap_or(0));
    broker.source == "logical" || broker.waitresp_cnt == 0 && silence >= IDLE
}

/// Returns which of two connections to the same broker says more about it.
fn more_telling(one: Shown, other: Shown) -> Shown {
    use Shown::{Connects, Silent, Speaks, Unused};
    match (one, other) {
        (Silent(one), Silent(other)) => Silent(one.max(other)),
        (silent @ Silent(_), _) | (_, silent @ Silent(_)) => silent,
        (Speaks, _) | (_, Speaks) => Speaks,
        (Connects, _) | (_, Connects) => Connects,
        (Unused, Unused) => Unused,
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::statistics::ConsumerGroup;

    use super::*;

    const SECOND: i64 = 1_000_000;

    /// A connection to `b:9092`.
    fn connection(name: &str, state: &str, waitresp_cnt: i64, rxidle: i64, txidle: i64) -> Broker {
        let (name, nodename) = (format!("b:9092/{name}"), "b:9092".to_owned());
        let (state, source) = (state.to_owned(), "learned".to_owned());
        Broker { name, nodename, source, state, waitresp_cnt, rxidle, txidle, ..Broker::default() }
    }

    fn at(ts: i64, brokers: Vec<Broker>) -> Statistics {
        let brokers = brokers.into_iter().map(|broker| (broker.name.clone(), broker)).collect();
        Statistics { ts, brokers, ..Statistics::default() }
    }

    fn shown(silences: &mut Silences, ts: i64, brokers: Vec<Broker>) -> Option<Shown> {
        silences.take(&at(ts, brokers)).get("b:9092").copied()
    }

    #[test]
    fn further_requests_do_not_hide_one_that_waits() {
        let mut silences = Silences::default();
        // Each second another request is sent, and nothing comes since the first second.
        for second in 1..=9 {
            let silence = (second - 1) * SECOND;
            let found =
                shown(&mut silences, second * SECOND, vec![connection("1", "UP", second, silence, 0)]);
            let expected = match second {
                1..=3 => Shown::Speaks,
                _ => Shown::Silent(Duration::from_micros(silence.unsigned_abs())),
            };
            assert_eq!(found, Some(expected), "{second}");
        }
    }

    #[test]
    fn a_request_after_a_long_pause_is_no_silence() {
        let mut silences = Silences::default();
        let connected = |rxidle, txidle| vec![connection("1", "UP", 1, rxidle, txidle)];
        assert_eq!(shown(&mut silences, 70 * SECOND, connected(60 * SECOND, 1)), Some(Shown::Speaks));
        // It was answered, and another one waits.
        assert_eq!(shown(&mut silences, 76 * SECOND, connected(2 * SECOND, 2 * SECOND)), Some(Shown::Speaks));
        let found = shown(&mut silences, 77 * SECOND, connected(3 * SECOND, 3 * SECOND));
        assert_eq!(found, Some(Shown::Silent(SILENCE)));
    }

    #[test]
    fn a_silent_broker_is_silent_until_it_sends_something() {
        let mut silences = Silences::default();
        let silent = || connection("1", "UP", 1, 5 * SECOND, 5 * SECOND);
        let unused = || connection("bootstrap", "UP", 0, 60 * SECOND, 60 * SECOND);
        let found = shown(&mut silences, 100 * SECOND, vec![silent(), unused()]);
        assert_eq!(found, Some(Shown::Silent(Duration::from_secs(5))));
        // librdkafka has closed the connection, and the broker does not answer on the next one.
        for (second, state) in
            [(120, "DOWN"), (121, "TRY_CONNECT"), (122, "CONNECT"), (125, "APIVERSION_QUERY")]
        {
            let idle = (second - 40) * SECOND;
            let other = connection("bootstrap", "UP", 0, idle, idle);
            let found = shown(&mut silences, second * SECOND, vec![connection("1", state, 0, -1, -1), other]);
            assert_eq!(found, Some(Shown::Connects), "{state}");
        }
        let found = shown(&mut silences, 130 * SECOND, vec![connection("1", "UP", 0, 1, 1), unused()]);
        assert_eq!(found, Some(Shown::Speaks));
        assert!(silences.silent.is_empty());
    }

    #[test]
    fn a_broker_that_does_not_answer_a_new_connection_is_silent_if_no_other_one_speaks() {
        let new = |state: &str, stateage| Broker { stateage, ..connection("1", state, 0, -1, -1) };
        let mut silences = Silences::default();
        for state in ["CONNECT", "SSL_HANDSHAKE", "APIVERSION_QUERY"] {
            assert_eq!(shown(&mut silences, 8 * SECOND, vec![new(state, SECOND)]), Some(Shown::Connects));
            let found = shown(&mut silences, 8 * SECOND, vec![new(state, 3 * SECOND)]);
            assert_eq!(found, Some(Shown::Silent(SILENCE)), "{state}");
            let mut other = connection("2", "UP", 0, SECOND, SECOND);
            other.nodename = "c:9092".to_owned();
            let found = shown(&mut silences, 8 * SECOND, vec![new(state, 3 * SECOND), other]);
            assert_eq!(found, Some(Shown::Connects), "{state}");
            assert_eq!(
                shown(&mut silences, 9 * SECOND, vec![new("DOWN", 9 * SECOND)]),
                Some(Shown::Connects)
            );
        }
    }

    #[test]
    fn a_coordinator_is_silent_unless_its_member_joins_the_group() {
        let coordinator = || Broker {
            source: "logical".to_owned(),
            ..connection("GroupCoordinator", "UP", 1, 5 * SECOND, 5 * SECOND)
        };
        let of = |client_type: &str, join_state: &str| Statistics {
            client_type: client_type.to_owned(),
            cgrp: Some(ConsumerGroup { join_state: join_state.to_owned(), ..ConsumerGroup::default() }),
            ..at(9 * SECOND, vec![coordinator()])
        };
        for (client_type, join_state, expected) in
            [("consumer", "wait-join", false), ("consumer", "steady", true), ("producer", "", true)]
        {
            let statistics = of(client_type, join_state);
            let mut silences = Silences::default();
            let shown = silences.take(&statistics);
            let silent = Shown::Silent(Duration::from_secs(5));
            assert_eq!(shown.get("b:9092"), expected.then_some(&silent), "{client_type} {join_state}");
        }
    }

    #[test]
    fn librdkafkas_own_connection_is_none_to_a_broker() {
        let own = Broker { source: "internal".to_owned(), ..connection("internal", "UP", 0, -1, -1) };
        let new = Broker { stateage: 4 * SECOND, ..connection("1", "CONNECT", 0, -1, -1) };
        let found = shown(&mut Silences::default(), 4 * SECOND, vec![own, new]);
        assert_eq!(found, Some(Shown::Silent(Duration::from_secs(4))));
    }

    #[test]
    fn a_client_that_waits_for_nothing_is_idle() {
        let mut silences = Silences::default();
        let mut is_idle = |brokers| {
            silences.take(&at(9 * SECOND, brokers));
            silences.is_idle()
        };
        let quiet = |name: &str| connection(name, "UP", 0, SECOND, SECOND);
        assert!(is_idle(vec![quiet("1"), quiet("2")]));
        assert!(!is_idle(vec![quiet("1"), connection("2", "UP", 1, SECOND, SECOND)]));
        assert!(!is_idle(vec![quiet("1"), connection("2", "UP", 0, SECOND / 10, SECOND)]));
        assert!(!is_idle(vec![connection("1", "CONNECT", 0, -1, -1)]));
    }

    #[test]
    fn a_broker_that_nobody_asks_any_more_is_not_silent() {
        let mut silences = Silences::default();
        let silent = connection("1", "UP", 1, 5 * SECOND, 5 * SECOND);
        shown(&mut silences, 100 * SECOND, vec![silent]);
        let found = shown(&mut silences, 120 * SECOND, vec![connection("1", "INIT", 0, -1, -1)]);
        assert_eq!(found, Some(Shown::Unused));
        assert!(silences.silent.is_empty() && silences.waiting.is_empty());
    }
}
