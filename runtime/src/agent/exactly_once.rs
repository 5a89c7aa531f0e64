//! What a promise of `exactly_once` asks of the components, and how an agent that keeps one begins.
//!
//! The end that stores the data stores with it which events they are. Behind a durable channel these are
//! the channel's own numbers, since the channel knows the positions of its sources and takes nothing
//! twice. Behind a volatile channel they are the sources' positions: each source goes on behind what all
//! the ends have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use weir_plan::{Delivery, Flow, Leg as PlannedLeg, Origin, Plan, Route};

use super::starting::{Attempts, NotStarted, Then};
use super::{Agent, BuiltChannel, BuiltSink, BuiltSource, Leg, Stop, Target};
use crate::batch::Partition;
use crate::channel::{LedgerLoss, Recovered};
use crate::failure::Failure;
use crate::source::{Progress, least_of, scope_names};

/// The components that have to keep their part of the promise.
#[derive(Default)]
pub(super) struct ExactlyOnce {
    pub(super) sources: BTreeSet<String>,
    /// Without those that may fail.
    pub(super) sinks: BTreeSet<String>,
}

impl ExactlyOnce {
    pub(super) fn of(plan: &Plan) -> ExactlyOnce {
        let mut all = ExactlyOnce::default();
        let promising = |flow: &&Flow| flow.delivers == Delivery::ExactlyOnce;
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
            Route::Channel(_) => {}
            Route::Sink(name) => {
                self.sinks.insert(name.clone());
            }
            Route::Copy(branches) => {
                let required = branches.iter().filter(|branch| !branch.optional);
                required.for_each(|branch| self.follow(&branch.leg));
            }
            Route::Match(cases) => cases.iter().for_each(|case| self.follow(&case.leg)),
            Route::Balance { legs, .. } | Route::Failover(legs) => {
                legs.iter().for_each(|leg| self.follow(leg));
            }
        }
    }
}

impl BuiltSource {
    /// The volatile channels that the source puts into, each with the scope that knows it there, and
    /// what the names of its partitions begin with behind it.
    fn volatile_ways(&self) -> Vec<(&Target, Arc<str>, String)> {
        let targets = self.legs.iter().flat_map(Leg::targets);
        let ways = targets.zip(scope_names(&self.name, &self.legs));
        let volatile = ways.filter(|(target, _)| !target.channel.is_durable() && !target.optional);
        let prefixed = volatile.map(|(target, scope)| {
            let prefix = format!("{}/{scope}/", target.name);
            (target, scope, prefix)
        });
        prefixed.collect()
    }
}

/// How far the sources are that put into this channel, if it is volatile, each with what the names of
/// its partitions begin with behind it.
pub(super) fn progress_into(channel: &str, sources: &[BuiltSource]) -> Vec<(String, Arc<Progress>)> {
    let mut found = Vec::new();
    for source in sources {
        let Some(progress) = &source.progress else { continue };
        let ways = source.volatile_ways().into_iter();
        let here = ways.filter(|(target, ..)| &*target.name == channel);
        found.extend(here.map(|(_, _, prefix)| (prefix, progress.clone())));
    }
    found
}

type Positions = BTreeMap<Partition, u64>;

impl Agent {
    /// Has sinks recover, and tells volatile channels what the sinks behind them have.
    pub(super) async fn recover(&mut self, stop: &Stop) -> Result<(), NotStarted> {
        let mut recovered = Vec::new();
        let mut sinks = Vec::with_capacity(self.sinks.len());
        for mut sink in std::mem::take(&mut self.sinks) {
            if sink.exactly_once {
                let mut attempts = Attempts::new(&sink.name, &sink.meter, sink.optional, stop);
                let found = loop {
                    let failure = match sink.recover(&self.channels).await {
                        Ok(found) => break Some(found),
                        Err(failure) => failure,
                    };
                    if let Then::Without = attempts.after(failure).await? {
                        break None;
                    }
                };
                // It is left out.
                let Some(found) = found else { continue };
                recovered.push((sink.required_channels.clone(), found.settled));
            }
            sinks.push(sink);
        }
        self.sinks = sinks;
        for source in self.sources.iter().filter(|source| source.progress.is_some()) {
            let mut everywhere: Option<Positions> = None;
            for (target, scope, prefix) in source.volatile_ways() {
                let ends = recovered.iter().filter(|(channels, _)| channels.contains(&*target.name));
                let ends = ends.map(|(_, positions)| below(positions, &prefix));
                let stored = ends.reduce(|one, other| least_of(one, &other)).unwrap_or_default();
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

/// The positions of the partitions with this prefix, under the names that their source knows.
fn below(positions: &Positions, prefix: &str) -> Positions {
    let named = positions.iter().filter_map(|(partition, through)| {
        Some((Partition::new(partition.name().strip_prefix(prefix)?), *through))
    });
    named.collect()
}

impl BuiltSink {
    /// Has the sink recover, and its channels compare what it has with what they know.
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
        if let Some(LedgerLoss { what, remedy }) = &found.forgotten {
            let accepted = read.iter().any(|(channel, reader, _)| channel.accepts_loss(reader, &found));
            match accepted {
                true => self.sink.accept_forgotten().await?,
                false => return Err(Failure::permanent(format!("{what}. {remedy}"))),
            }
        }
        Ok(found)
    }

    /// Why the sink can't keep the promise, if it can't.
    pub(super) fn falls_short(&self) -> Option<String> {
        let short = self.exactly_once && !self.sink.keeps_exactly_once();
        short.then(|| falls_short("sink", &self.name, &self.kind))
    }
}

impl BuiltSource {
    /// Why the source can't keep the promise, if it can't.
    pub(super) fn falls_short(&self) -> Option<String> {
        let short = self.progress.is_some() && !self.source.keeps_exactly_once();
        short.then(|| {
            let why = falls_short("source", &self.name, &self.kind);
            match self.source.exactly_once_lacks() {
                Some(lacking) => format!("{why} like this: {lacking}"),
                None => why,
            }
        })
    }
}

fn falls_short(role: &str, name: &str, kind: &str) -> String {
    format!(
        "{role} {name}: this version can't carry out the promise `exactly_once` with a {role} of the kind `{kind}`"
    )
}
