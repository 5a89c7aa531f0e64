//! The downstream channels of a source. A source that stores positions outside, as in the consumer group of Kafka,
//! compares the positions with the knowledge of these channels.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Given, SourceWiring, scope_names};
use crate::batch::Partition;
use crate::channel::Incarnation;
use crate::routing::{Leg, Target};

/// The required channels that a source puts into.
#[derive(Clone)]
pub struct DownstreamChannels {
    component: Arc<str>,
    legs: Arc<[Leg]>,
}

impl DownstreamChannels {
    pub(super) fn of(wiring: &SourceWiring) -> DownstreamChannels {
        DownstreamChannels::new(&wiring.component, &wiring.legs)
    }

    /// The channels that the source of this name puts into along these legs.
    pub(crate) fn new(component: &Arc<str>, legs: &Arc<[Leg]>) -> DownstreamChannels {
        DownstreamChannels { component: component.clone(), legs: legs.clone() }
    }

    /// The last incarnation of each durable channel that has numbered events. A source stores the incarnations with the
    /// delivered positions.
    pub fn incarnations(&self) -> BTreeMap<Arc<str>, Incarnation> {
        let durable =
            self.required().filter_map(|target| Some((target.name.clone(), target.channel.incarnation()?)));
        durable.collect()
    }

    /// The absolute path of each durable channel on this machine.
    pub fn paths(&self) -> BTreeMap<Arc<str>, String> {
        let durable =
            self.required().filter_map(|target| Some((target.name.clone(), target.channel.place()?)));
        durable.collect()
    }

    /// The names of the channels that don't know their stored incarnation: they were deleted, or restored from a
    /// backup, since the incarnations were stored. Channels that the source no longer puts into are ignored.
    pub fn with_unknown_incarnation(&self, stored: &BTreeMap<Arc<str>, Incarnation>) -> Vec<Arc<str>> {
        let unknown = self.required().filter(|target| {
            let incarnation = stored.get(&target.name);
            incarnation.and_then(|incarnation| target.channel.knows_incarnation(*incarnation)) == Some(false)
        });
        unknown.map(|target| target.name.clone()).collect()
    }

    /// The position through which each durable channel has stored the partition; 0 if it has stored nothing.
    pub fn stored_through(&self, partition: &Partition) -> BTreeMap<Arc<str>, u64> {
        let mut least = BTreeMap::new();
        let scopes = scope_names(&self.component, &self.legs);
        let targets = self.legs.iter().flat_map(Leg::targets).zip(scopes);
        for (target, scope) in targets.filter(|(target, _)| !target.optional) {
            if target.channel.place().is_none() {
                continue;
            }
            let Some(stored) = target.stored(&scope) else { continue };
            let through = stored.get(partition).copied().unwrap_or(0);
            let known = least.entry(target.name.clone()).or_insert(through);
            *known = through.min(*known);
        }
        least
    }

    /// For each memory channel, the marks of its sinks' ledgers by reader name
    /// ([`Recovered::mark`](crate::channel::Recovered::mark)). Channels whose sinks have no ledger are left out.
    pub fn marks(&self) -> BTreeMap<Arc<str>, BTreeMap<String, u64>> {
        let marks = self.required().map(|target| (target.name.clone(), target.channel.marks()));
        marks.filter(|(_, marks)| !marks.is_empty()).collect()
    }

    /// The positions that this channel was given. If several legs lead into it, the largest position of each partition
    /// counts, since a leg may be new. `None` if the source does not put into the channel, or the channel does not know
    /// positions.
    pub fn stored_by(&self, channel: &str) -> Option<Given> {
        let scopes = scope_names(&self.component, &self.legs);
        let targets = self.legs.iter().flat_map(Leg::targets).zip(scopes);
        let scopes = targets.filter(|(target, _)| !target.optional && &*target.name == channel);
        let stored = scopes.map(|(target, scope)| target.stored(&scope));
        let most: Option<BTreeMap<Partition, u64>> = stored.fold(None, |most, stored| {
            let mut most = most.unwrap_or_default();
            for (partition, through) in stored? {
                let known = most.entry(partition).or_default();
                *known = through.max(*known);
            }
            Some(most)
        });
        most.map(Given::from)
    }

    fn required(&self) -> impl Iterator<Item = &Target> {
        self.legs.iter().flat_map(Leg::targets).filter(|target| !target.optional)
    }
}
