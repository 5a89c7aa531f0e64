//! Random small pipelines: their parts as data.

use weir_plan::Delivery;

/// A pipeline. Parts that no chain reaches are not in its text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Pipeline {
    pub(super) sources: Vec<Source>,
    pub(super) channels: Vec<Channel>,
    pub(super) sinks: Vec<SinkKind>,
    pub(super) flows: Vec<Flow>,
}

/// A source and the chain behind it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Source {
    pub(super) kind: SourceKind,
    pub(super) flow: usize,
    pub(super) chain: Chain,
}

/// A channel and the chain behind it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Channel {
    pub(super) kind: ChannelKind,
    pub(super) flow: usize,
    pub(super) chain: Chain,
}

/// A flow, with the chain of its rejects, which is used if a step or a sink rejects.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Flow {
    pub(super) promise: Delivery,
    pub(super) rejects: Chain,
}

/// Steps and where they lead.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Chain {
    pub(super) steps: Vec<Step>,
    pub(super) to: To,
}

/// Where a chain leads; channels and sinks by their index.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum To {
    Sink(usize),
    Channel(usize),
    /// Each branch with whether it is optional.
    Copy(Vec<(bool, Chain)>),
    /// The cases, and the chain of all other events.
    Match(Vec<(Condition, Chain)>, Box<Chain>),
    Balance(Vec<Chain>),
    BalanceBy(Key, Vec<Chain>),
    Failover(Vec<Chain>),
}

/// The kinds of sources, with the settings that matter for delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SourceKind {
    Files,
    /// With `decompress` and without `positions`.
    CompressedFiles,
    Generate,
    Hdfs,
    Http,
    /// All partitions of the topic.
    Kafka,
    /// The partitions that a group gives to it.
    KafkaGroup,
    Stdin,
    Syslog,
    TcpLines,
}

pub(super) const SOURCES: [SourceKind; 10] = [
    SourceKind::Files,
    SourceKind::CompressedFiles,
    SourceKind::Generate,
    SourceKind::Hdfs,
    SourceKind::Http,
    SourceKind::Kafka,
    SourceKind::KafkaGroup,
    SourceKind::Stdin,
    SourceKind::Syslog,
    SourceKind::TcpLines,
];

/// The kinds of channels, with the settings that matter for delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ChannelKind {
    Memory(Overflow),
    File(Overflow),
    /// A topic that no other agent reads.
    Kafka,
}

/// What a full channel does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Overflow {
    Wait,
    DropNewest,
    DropOldest,
}

/// The kinds of sinks, with the settings that matter for delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SinkKind {
    Files,
    /// Files in the directory of the event's `@file`.
    FilesByFile,
    /// Files in a directory for each element of an `explode`.
    FilesByPart,
    Hdfs,
    Kafka,
    /// A topic with the events' `key` as the key of the records.
    KafkaByKey,
    /// A topic, with `delivery: at_least_once`.
    LooseKafka,
    Null,
    Stdout,
}

/// The columns that a pipeline may spread events by, or order them by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// The field `key`, which a step sets.
    Field,
    /// The header of a source `kafka`.
    Header,
    /// A function of the body.
    Body,
    /// A number that a step draws.
    Dice,
}

/// Steps. The events have a body like `n=17 k=2 …`; some have none of that form.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Step {
    Keep(Condition),
    Drop(Condition),
    Reject(Condition),
    /// `check`: rejects the events for which the condition is false.
    Check(Condition),
    /// Parses the body; a malformed one is rejected, or else dropped.
    Parse {
        rejects: bool,
    },
    /// Sets `key` by the body.
    SetKey,
    /// Sets the header `@key`, which a source `kafka` gives.
    SetHeader,
    /// Renames `key`.
    Rename,
    /// Sets `stamp` to the present time.
    SetStamp,
    /// Sets `dice` to a random number.
    SetDice,
    /// Makes two events of each.
    Explode,
    Sample,
    Throttle,
    /// Drops events whose `n` has passed; no two events of a source have the same.
    DedupeAll,
    /// Drops events whose key has passed.
    DedupeByKey,
}

/// Conditions about events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// The number ends with an odd digit.
    Odd,
    /// The number ends with 0 or 5.
    Fifth,
    /// A random number is small.
    Random,
    /// The field `dice` is small.
    Dice,
    /// The present second is even.
    Now,
    /// The second of the header `@timestamp` is even.
    Timestamp,
    /// The header `@file` has another name.
    File,
    /// The number is a key of a lookup table, which another process changes.
    Lookup,
}

impl Step {
    /// Whether the step may reject events.
    pub(super) fn rejects(&self) -> bool {
        matches!(self, Step::Reject(_) | Step::Check(_) | Step::Parse { rejects: true })
    }
}

impl SourceKind {
    /// The library's name of the kind.
    pub(super) fn name(self) -> &'static str {
        match self {
            SourceKind::Files | SourceKind::CompressedFiles => "files",
            SourceKind::Generate => "generate",
            SourceKind::Hdfs => "hdfs",
            SourceKind::Http => "http",
            SourceKind::Kafka | SourceKind::KafkaGroup => "kafka",
            SourceKind::Stdin => "stdin",
            SourceKind::Syslog => "syslog",
            SourceKind::TcpLines => "tcp_lines",
        }
    }
}

impl SinkKind {
    /// Whether the sink rejects events that it can never write.
    pub(super) fn rejects(self) -> bool {
        matches!(self, SinkKind::Kafka | SinkKind::KafkaByKey | SinkKind::LooseKafka)
    }
}

impl To {
    /// The chains of a fork.
    pub(super) fn chains(&self) -> Vec<&Chain> {
        match self {
            To::Sink(_) | To::Channel(_) => Vec::new(),
            To::Copy(branches) => branches.iter().map(|(_, chain)| chain).collect(),
            To::Match(cases, last) => cases.iter().map(|(_, chain)| chain).chain([&**last]).collect(),
            To::Balance(chains) | To::BalanceBy(_, chains) | To::Failover(chains) => chains.iter().collect(),
        }
    }

    /// The chains of a fork, to be changed.
    pub(super) fn chains_mut(&mut self) -> Vec<&mut Chain> {
        match self {
            To::Sink(_) | To::Channel(_) => Vec::new(),
            To::Copy(branches) => branches.iter_mut().map(|(_, chain)| chain).collect(),
            To::Match(cases, last) => cases.iter_mut().map(|(_, chain)| chain).chain([&mut **last]).collect(),
            To::Balance(chains) | To::BalanceBy(_, chains) | To::Failover(chains) => {
                chains.iter_mut().collect()
            }
        }
    }
}

/// The parts of a pipeline that its chains reach.
#[derive(Debug, Clone)]
pub(super) struct Reached {
    pub(super) channels: Vec<bool>,
    pub(super) sinks: Vec<bool>,
    /// The flows whose rejects are used.
    pub(super) rejects: Vec<bool>,
}

impl Pipeline {
    /// Finds the parts that chains reach.
    pub(super) fn reached(&self) -> Reached {
        let mut reached = Reached {
            channels: vec![false; self.channels.len()],
            sinks: vec![false; self.sinks.len()],
            rejects: vec![false; self.flows.len()],
        };
        for source in &self.sources {
            self.reach(source.flow, &source.chain, true, &mut reached);
        }
        reached
    }

    fn reach(&self, flow: usize, chain: &Chain, may_reject: bool, reached: &mut Reached) {
        let mut rejects = chain.steps.iter().any(Step::rejects);
        match &chain.to {
            To::Sink(sink) => {
                reached.sinks[*sink] = true;
                rejects |= self.sinks[*sink].rejects();
            }
            To::Channel(channel) => {
                if !std::mem::replace(&mut reached.channels[*channel], true) {
                    let Channel { flow, chain, .. } = &self.channels[*channel];
                    self.reach(*flow, chain, may_reject, reached);
                }
            }
            to => to.chains().into_iter().for_each(|chain| self.reach(flow, chain, may_reject, reached)),
        }
        if rejects && may_reject && !std::mem::replace(&mut reached.rejects[flow], true) {
            self.reach(flow, &self.flows[flow].rejects, false, reached);
        }
    }
}
