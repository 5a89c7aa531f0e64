//! Random small pipelines from a seed.

use weir_plan::Delivery;
use weir_runtime::SeededRandom;

use super::pipeline::{
    Chain, Channel, ChannelKind, Condition, Flow, Key, Overflow, Pipeline, SOURCES, SinkKind, Source,
    SourceKind, Step, To,
};

/// The most chains within each other.
const DEPTH_MAX: usize = 2;

/// What is known of the events at a place.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// The kind of the only source.
    source: SourceKind,
    parsed: bool,
    exploded: bool,
    key: bool,
    dice: bool,
    behind_channel: bool,
    /// Whether the chain is a branch of a fork that may not fork again.
    branch: bool,
}

impl Known {
    /// Whether the events have just the columns of their source.
    fn is_plain(self) -> bool {
        !(self.parsed || self.exploded || self.key || self.dice)
    }
}

struct Generator {
    random: SeededRandom,
    pipeline: Pipeline,
    /// The channels that events with the columns of their source alone reach.
    plain: Vec<usize>,
    /// The sinks that events of a source reach.
    sinks: Vec<usize>,
}

/// Returns a random pipeline.
pub(super) fn pipeline(seed: u64) -> Pipeline {
    let empty = Pipeline { sources: Vec::new(), channels: Vec::new(), sinks: Vec::new(), flows: Vec::new() };
    let random = SeededRandom::new(seed ^ 0x70_0F);
    let mut generator = Generator { random, pipeline: empty, plain: Vec::new(), sinks: Vec::new() };
    generator.flows();
    generator.sources();
    generator.pipeline
}

/// Gives branches without steps to the same place a step, since a program may not name a place twice.
fn apart<'c>(branches: impl Iterator<Item = &'c mut Chain>) {
    let mut bare: Vec<To> = Vec::new();
    for branch in branches.filter(|branch| branch.steps.is_empty()) {
        if bare.contains(&branch.to) {
            branch.steps.push(Step::SetStamp);
        }
        bare.push(branch.to.clone());
    }
}

impl Generator {
    fn flows(&mut self) {
        let promises =
            [Delivery::BestEffort, Delivery::AtMostOnce, Delivery::AtLeastOnce, Delivery::ExactlyOnce];
        let common = self.random.among(&promises);
        for _ in 0..=self.random.below(2) {
            let promise = if self.random.one_in(6) { self.random.among(&promises) } else { common };
            let rejects = self.rejects();
            self.pipeline.flows.push(Flow { promise, rejects });
        }
    }

    fn rejects(&mut self) -> Chain {
        let dead = |generator: &mut Generator| {
            let kinds = [SinkKind::Files, SinkKind::Files, SinkKind::Stdout, SinkKind::Hdfs];
            Chain { steps: Vec::new(), to: To::Sink(generator.new_sink(&kinds)) }
        };
        let to = match self.random.below(6) {
            0 => To::Copy(vec![(false, dead(self)), (false, dead(self))]),
            1..=3 => {
                let chain = dead(self);
                let kind = self.channel_kind();
                self.pipeline.channels.push(Channel { kind, flow: self.pipeline.flows.len(), chain });
                To::Channel(self.pipeline.channels.len() - 1)
            }
            _ => return dead(self),
        };
        Chain { steps: Vec::new(), to }
    }

    fn sources(&mut self) {
        for _ in 0..=u64::from(self.random.one_in(4)) {
            let kind = self.random.among(&SOURCES);
            let has_stdin = self.pipeline.sources.iter().any(|source| source.kind == SourceKind::Stdin);
            let kind = if has_stdin && kind == SourceKind::Stdin { SourceKind::Generate } else { kind };
            let known = Known {
                source: kind,
                parsed: false,
                exploded: false,
                key: false,
                dice: false,
                behind_channel: false,
                branch: false,
            };
            let flow = self.flow();
            let chain = self.chain(known, 0);
            self.pipeline.sources.push(Source { kind, flow, chain });
        }
    }

    fn flow(&mut self) -> usize {
        self.random.below(self.pipeline.flows.len() as u64) as usize
    }

    fn chain(&mut self, mut known: Known, depth: usize) -> Chain {
        let mut steps = Vec::new();
        let count = self.random.among(&[0, 0, 0, 1, 1, 2]);
        for _ in 0..count {
            let step = self.step(known);
            known.parsed |= matches!(step, Step::Parse { .. });
            known.exploded |= step == Step::Explode;
            known.dice |= step == Step::SetDice;
            known.key = (known.key || step == Step::SetKey) && step != Step::Rename;
            steps.push(step);
        }
        Chain { steps, to: self.to(known, depth) }
    }

    fn step(&mut self, known: Known) -> Step {
        match self.random.below(18) {
            0 => Step::Keep(self.condition(known)),
            1 => Step::Drop(self.condition(known)),
            2 | 3 => Step::Reject(self.condition(known)),
            4 => Step::Check(self.condition(known)),
            5 if !known.parsed => Step::Parse { rejects: self.random.one_in(2) },
            6 if known.source.name() == "kafka" && !known.behind_channel => Step::SetHeader,
            7 if known.key => Step::Rename,
            8 => Step::SetStamp,
            9 => Step::SetDice,
            10 | 11 if !known.exploded => Step::Explode,
            12 => Step::Sample,
            13 => Step::Throttle,
            14 => Step::DedupeAll,
            15 => Step::DedupeByKey,
            _ => Step::SetKey,
        }
    }

    fn condition(&mut self, known: Known) -> Condition {
        match self.random.below(10) {
            0 | 1 => Condition::Odd,
            2 => Condition::Fifth,
            3 => Condition::Random,
            4 if known.dice => Condition::Dice,
            5 => Condition::Now,
            6 => Condition::Timestamp,
            7 if matches!(known.source, SourceKind::Files | SourceKind::CompressedFiles) => Condition::File,
            8 => Condition::Lookup,
            _ => Condition::Odd,
        }
    }

    fn key(&mut self, known: Known) -> Key {
        match self.random.below(4) {
            0 if known.source.name() == "kafka" => Key::Header,
            1 if known.dice => Key::Dice,
            _ if known.key => Key::Field,
            _ if known.parsed => Key::Dice,
            _ => Key::Body,
        }
    }

    fn to(&mut self, known: Known, depth: usize) -> To {
        let forks = !known.branch && depth < DEPTH_MAX;
        match self.random.below(16) {
            0 | 1 if forks => {
                let branch = |generator: &mut Generator| {
                    let optional = generator.random.one_in(5);
                    (optional, generator.chain(known, depth + 1))
                };
                let count = 2 + usize::from(self.random.one_in(4));
                let mut branches: Vec<_> = (0..count).map(|_| branch(self)).collect();
                branches[0].0 = false;
                apart(branches.iter_mut().map(|(_, chain)| chain));
                To::Copy(branches)
            }
            2 | 3 if forks => {
                let case = |generator: &mut Generator| {
                    (generator.condition(known), generator.chain(known, depth + 1))
                };
                let count = 1 + usize::from(self.random.one_in(4));
                let cases = (0..count).map(|_| case(self)).collect();
                To::Match(cases, Box::new(self.chain(known, depth + 1)))
            }
            4 if forks => To::Balance(self.branches(known)),
            5 if forks => To::BalanceBy(self.key_of(known), self.branches(known)),
            6 if forks => {
                let mut branches = self.branches(known);
                // This version carries out no such step there.
                let rejects =
                    |step: &Step| matches!(step, Step::Reject(_) | Step::Check(_) | Step::Parse { .. });
                let drops = |step: &Step| {
                    matches!(step, Step::Sample | Step::Throttle | Step::DedupeAll | Step::DedupeByKey)
                };
                let stays = |step: &Step| !rejects(step) && !drops(step);
                branches.iter_mut().for_each(|branch| branch.steps.retain(stays));
                apart(branches.iter_mut());
                To::Failover(branches)
            }
            7.. if !known.behind_channel => self.random_channel(known, depth),
            _ => self.random_sink(known),
        }
    }

    fn key_of(&mut self, known: Known) -> Key {
        let key = self.key(known);
        // There is no other key without a body.
        if key == Key::Dice && !known.dice { Key::Field } else { key }
    }

    /// The branches of a `balance` or a `failover`: to channels, or to sinks behind one channel.
    fn branches(&mut self, known: Known) -> Vec<Chain> {
        let known = Known { branch: true, ..known };
        let into_channels = !known.behind_channel && self.random.one_in(2);
        let branch = |generator: &mut Generator| {
            let steps = match generator.random.one_in(4) {
                true => vec![generator.step(known)],
                false => Vec::new(),
            };
            let known = Known { key: known.key && !steps.contains(&Step::Rename), ..known };
            let to = match into_channels {
                true => generator.random_channel(known, DEPTH_MAX),
                false => generator.random_sink(known),
            };
            Chain { steps, to }
        };
        let mut branches: Vec<Chain> = (0..2).map(|_| branch(self)).collect();
        apart(branches.iter_mut());
        branches
    }

    fn random_channel(&mut self, known: Known, depth: usize) -> To {
        if known.is_plain() && !self.plain.is_empty() && self.random.one_in(3) {
            let plain = self.plain.clone();
            return To::Channel(self.random.among(&plain));
        }
        let kind = self.channel_kind();
        let behind = Known { behind_channel: true, branch: false, ..known };
        let chain = self.chain(behind, depth);
        let flow = self.flow();
        self.pipeline.channels.push(Channel { kind, flow, chain });
        let channel = self.pipeline.channels.len() - 1;
        if known.is_plain() {
            self.plain.push(channel);
        }
        To::Channel(channel)
    }

    fn channel_kind(&mut self) -> ChannelKind {
        match self.random.below(12) {
            0 => ChannelKind::Memory(Overflow::DropNewest),
            1 => ChannelKind::Memory(Overflow::DropOldest),
            2 => ChannelKind::File(Overflow::DropNewest),
            3 => ChannelKind::Kafka,
            4..=7 => ChannelKind::File(Overflow::Wait),
            _ => ChannelKind::Memory(Overflow::Wait),
        }
    }

    fn random_sink(&mut self, known: Known) -> To {
        if !self.sinks.is_empty() && self.random.one_in(8) {
            let sinks = self.sinks.clone();
            let sink = self.random.among(&sinks);
            let fits = match self.pipeline.sinks[sink] {
                SinkKind::FilesByPart => known.exploded,
                SinkKind::FilesByFile => known.source.name() == "files",
                SinkKind::KafkaByKey => known.key,
                _ => true,
            };
            if fits {
                return To::Sink(sink);
            }
        }
        let kinds: &[SinkKind] = match (known.key, known.source) {
            _ if known.exploded => &[SinkKind::FilesByPart, SinkKind::Files, SinkKind::Kafka],
            (true, _) => &[SinkKind::KafkaByKey, SinkKind::Files, SinkKind::Kafka],
            (_, SourceKind::Files | SourceKind::CompressedFiles) => {
                &[SinkKind::FilesByFile, SinkKind::Files, SinkKind::Files, SinkKind::Kafka]
            }
            _ => &[
                SinkKind::Files,
                SinkKind::Files,
                SinkKind::Files,
                SinkKind::Hdfs,
                SinkKind::Kafka,
                SinkKind::LooseKafka,
                SinkKind::Null,
                SinkKind::Stdout,
            ],
        };
        let sink = self.new_sink(kinds);
        self.sinks.push(sink);
        To::Sink(sink)
    }

    fn new_sink(&mut self, kinds: &[SinkKind]) -> usize {
        let kind = self.random.among(kinds);
        self.pipeline.sinks.push(kind);
        self.pipeline.sinks.len() - 1
    }
}
