//! The promise `exactly_once`: the components that have to support it, and the recovery when an agent starts.
//!
//! A sink stores the identities of events with its data. After a durable channel, the identities are the channel's
//! numbers, since the channel knows its sources' positions and takes no event twice. After a volatile channel, the
//! identities are the sources' positions: each source goes on after the positions that all its sinks have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_plan::{Flow, Leg as PlannedLeg, Origin, Plan, Route};

use super::handover::HandedOver;
use super::starting::{AfterFailure, Attempts, NotStarted};
use super::{Agent, BuiltChannel, BuiltSink, BuiltSource, Leg, Stop, Target};
use crate::batch::Partition;
use crate::channel::{Acceptance, LedgerLoss, Recovered};
use crate::failure::Failure;
use crate::source::{DownstreamChannels, Progress, least_of, scope_names};

/// The components that have to support the promise.
#[derive(Default)]
pub(super) struct ExactlyOnce {
    pub(super) sources: BTreeSet<String>,
    /// The channels, without the channels of optional branches.
    pub(super) channels: BTreeSet<String>,
    /// The sinks, without the sinks of optional branches.
    pub(super) sinks: BTreeSet<String>,
}

impl ExactlyOnce {
    pub(super) fn of(plan: &Plan) -> ExactlyOnce {
        let mut all = ExactlyOnce::default();
        let promising = |flow: &&Flow| flow.delivers.never_repeats();
        for path in plan.flows.iter().filter(promising).flat_map(|flow| &flow.paths) {
            if let Origin::Source(name) = &path.from {
                all.sources.insert(name.clone());
            }
            all.follow(&path.leg);
        }
        all
    }

    fn follow(&mut self, leg: &PlannedLeg) {
        match &leg.to {
            Route::Sink(name) => drop(self.sinks.insert(name.clone())),
            Route::Channel(name) => drop(self.channels.insert(name.clone())),
            _ => {}
        }
        leg.to.required_legs().into_iter().for_each(|leg| self.follow(leg));
    }
}

impl BuiltSource {
    /// The partitions of which durable channels have positions.
    fn durably_stored(&self) -> BTreeSet<Partition> {
        let targets = self.legs.iter().flat_map(Leg::targets).zip(scope_names(&self.name, &self.legs));
        let durable = targets.filter(|(target, _)| target.channel.is_durable() && !target.optional);
        durable
            .filter_map(|(target, scope)| target.channel.stored(&scope))
            .flat_map(BTreeMap::into_keys)
            .collect()
    }

    /// The required volatile channels that the source puts into. Each has the source's scope in it, and the prefix of
    /// the source's partition names after it.
    fn volatile_targets(&self) -> Vec<(&Target, Arc<str>, String)> {
        let targets = self.legs.iter().flat_map(Leg::targets);
        let targets = targets.zip(scope_names(&self.name, &self.legs));
        let volatile = targets.filter(|(target, _)| !target.channel.is_durable() && !target.optional);
        let prefixed = volatile.map(|(target, scope)| {
            let prefix = format!("{}/{scope}/", target.name);
            (target, scope, prefix)
        });
        prefixed.collect()
    }
}

/// The progress of the sources that put into this channel, if it is volatile, each with the prefix of its partition
/// names after the channel.
pub(super) fn progress_into(channel: &str, sources: &[BuiltSource]) -> Vec<(String, Arc<Progress>)> {
    let mut found = Vec::new();
    for source in sources {
        let Some(progress) = &source.progress else { continue };
        let targets = source.volatile_targets().into_iter();
        let matching = targets.filter(|(target, ..)| &*target.name == channel);
        found.extend(matching.map(|(_, _, prefix)| (prefix, progress.clone())));
    }
    found
}

type Positions = BTreeMap<Partition, u64>;

impl Agent {
    /// Lets sinks recover, and tells volatile channels the positions that their sinks have.
    ///
    /// # Errors
    /// When a required sink can't recover, or the agent is told to stop.
    pub(super) async fn recover(&mut self, stop: &Stop) -> Result<(), NotStarted> {
        let mut recovered = Vec::new();
        let mut sinks = Vec::with_capacity(self.sinks.len());
        for mut sink in std::mem::take(&mut self.sinks) {
            if sink.exactly_once {
                let mut attempts = Attempts::new(&sink.name, &sink.meter, sink.optional, stop);
                let found = loop {
                    let failure = match sink.recover(&self.channels).await {
                        Ok(found) => {
                            attempts.succeeded();
                            break Some(found);
                        }
                        Err(failure) => failure,
                    };
                    let failure = self.with_refusals_of_sources(failure);
                    if let AfterFailure::Skip = attempts.failed(failure).await? {
                        break None;
                    }
                };
                let Some(found) = found else { continue };
                recovered.push((sink.required_channels.clone(), found.settled));
            }
            sinks.push(sink);
        }
        self.sinks = sinks;
        let rejected: BTreeSet<Partition> =
            self.sinks.iter().flat_map(|sink| sink.port.rejected_partitions()).collect();
        for source in self.sources.iter().filter(|source| source.progress.is_some()) {
            let (mut everywhere, mut of_sinks): (Option<Positions>, BTreeSet<Partition>) = Default::default();
            let targets = source.volatile_targets().into_iter().map(|(target, scope, prefix)| {
                let sinks = recovered.iter().filter(|(channels, _)| channels.contains(&*target.name));
                let stored = sinks.map(|(_, positions)| without_prefix(positions, &prefix));
                let stored: Vec<Positions> = stored.collect();
                of_sinks.extend(stored.iter().flat_map(BTreeMap::keys).cloned());
                let stored =
                    stored.into_iter().reduce(|left, right| least_of(left, &right)).unwrap_or_default();
                (target, scope, prefix, stored)
            });
            let mut targets: Vec<_> = targets.collect();
            // A partition of which a channel or a sink was given nothing, such as no rejected event or no event of its branch, is
            // known all the same: the source begins it again under the same name, so that the other sinks know its events.
            let rejected = targets.iter().flat_map(|(.., prefix, _)| {
                let names = rejected
                    .iter()
                    .filter_map(move |partition| partition.name().strip_prefix(prefix.as_str()));
                names.map(Partition::new)
            });
            let known: BTreeSet<Partition> =
                of_sinks.into_iter().chain(rejected).chain(source.durably_stored()).collect();
            for (.., stored) in &mut targets {
                for partition in &known {
                    stored.entry(partition.clone()).or_default();
                }
            }
            for (target, scope, prefix, stored) in targets {
                target.channel.remember(&scope, &prefix, stored.clone());
                everywhere =
                    Some(everywhere.map_or_else(|| stored.clone(), |before| least_of(before, &stored)));
            }
            if let (Some(progress), Some(settled)) = (&source.progress, everywhere) {
                progress.settle_through(settled);
            }
        }
        Ok(())
    }
}

impl Agent {
    /// Adds to a permanent failure of a sink why sources would refuse to start as well, so that the operator learns of all
    /// at once.
    fn with_refusals_of_sources(&self, failure: Failure) -> Failure {
        if !failure.is_permanent() {
            return failure;
        }
        let refused = self.sources.iter().filter_map(|BuiltSource { name, source, legs, .. }| {
            Some(format!(
                "source {name} refuses as well: {}",
                source.refuses(&DownstreamChannels::new(name, legs))?
            ))
        });
        let all: Vec<String> = std::iter::once(failure.to_string()).chain(refused).collect();
        if all.len() == 1 { failure } else { Failure::permanent(all.join(". Besides, ")) }
    }
}

/// Returns the positions of the partitions with this prefix, named without it as their source names them.
fn without_prefix(positions: &Positions, prefix: &str) -> Positions {
    let named = positions.iter().filter_map(|(partition, through)| {
        Some((Partition::new(partition.name().strip_prefix(prefix)?), *through))
    });
    named.collect()
}

impl BuiltSink {
    /// Lets the sink recover, and lets its channels compare the recovered positions with their own.
    ///
    /// # Errors
    /// When the sink can't recover, or it and a channel contradict each other.
    async fn recover(&mut self, channels: &BTreeMap<String, BuiltChannel>) -> Result<Recovered, Failure> {
        let found = self.sink.recover().await?;
        let read = self.readers.iter().filter_map(|(channel, reader)| {
            let channel = &channels.get(channel)?.channel;
            Some((channel, reader, channel.partition()))
        });
        let read: Vec<_> = read.collect();
        for (channel, reader, own) in &read {
            let mut known = found.clone();
            known.reached.retain(|partition, _| {
                let is_read = read.iter().any(|(_, _, of_channel)| of_channel.as_ref() == Some(partition));
                !is_read || own.as_ref() == Some(partition)
            });
            channel.check_recovered(reader, &known)?;
        }
        let accepted =
            read.iter().filter_map(|(channel, reader, _)| channel.accepts_loss(reader, &found)).max();
        match (accepted, &found.ledger_loss) {
            (Some(mark), _) => {
                let channels = read.into_iter().filter_map(|(_, _, own)| own).collect();
                self.sink.accept_loss(&Acceptance { channels, mark }).await?;
            }
            (None, Some(LedgerLoss { what, remedy })) => {
                return Err(Failure::permanent(format!("{what}. {remedy}")));
            }
            (None, None) => {}
        }
        Ok(found)
    }

    /// Why the sink does not support the promise; none if it does.
    pub(super) fn unsupported_promise(&self) -> Option<String> {
        let unsupported = self.exactly_once && !self.sink.keeps_exactly_once();
        unsupported.then(|| unsupported_promise("sink", &self.name, &self.kind))
    }
}

impl BuiltSource {
    /// Why the source does not support the promise; none if it does.
    pub(super) fn unsupported_promise(&self, handed: &HandedOver) -> Option<String> {
        let handed = handed.get(&self.name);
        let supported = self.source.keeps_exactly_once() || handed.is_some_and(Result::is_ok);
        let unsupported = self.progress.is_some() && !supported;
        unsupported.then(|| {
            let why = unsupported_promise("source", &self.name, &self.kind);
            let lacking = self.source.exactly_once_lacks().map(str::to_owned);
            let no_sink = handed.and_then(|handed| handed.as_ref().err());
            let no_sink =
                no_sink.map(|no_sink| format!("and no sink can commit its positions, since {no_sink}"));
            let lacking: Vec<String> = lacking.into_iter().chain(no_sink).collect();
            if lacking.is_empty() { why } else { format!("{why} like this: {}", lacking.join("; ")) }
        })
    }
}

fn unsupported_promise(role: &str, name: &str, kind: &str) -> String {
    format!(
        "{role} {name}: this version can't carry out the promise `exactly_once` with a {role} of the kind `{kind}`"
    )
}
