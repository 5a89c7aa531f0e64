//! The channels behind a source: what they know is held against what somebody else knows who stores
//! positions of the source, as the consumer group of a Kafka source.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Connection, Given, scope_names};
use crate::batch::Partition;
use crate::channel::Incarnation;
use crate::routing::{Leg, Target};

/// The channels that a source must put into.
#[derive(Clone)]
pub struct Behind {
    component: Arc<str>,
    legs: Arc<[Leg]>,
}

impl Behind {
    pub(super) fn of(connection: &Connection) -> Behind {
        Behind { component: connection.component.clone(), legs: connection.legs.clone() }
    }

    /// Those that are durable and were ever put into, each with its last incarnation: to be stored with what was
    /// delivered to them.
    pub fn incarnations(&self) -> BTreeMap<Arc<str>, Incarnation> {
        let durable =
            self.required().filter_map(|target| Some((target.name.clone(), target.channel.incarnation()?)));
        durable.collect()
    }

    /// Where on this machine each durable one is kept.
    pub fn places(&self) -> BTreeMap<Arc<str>, String> {
        let kept = self.required().filter_map(|target| Some((target.name.clone(), target.channel.place()?)));
        kept.collect()
    }

    /// The names of those that don't know the incarnation that was stored with what was delivered to them: they
    /// were deleted since, or put back from a backup. A channel that the source does not put into any more says
    /// nothing.
    pub fn strangers(&self, stored: &BTreeMap<Arc<str>, Incarnation>) -> Vec<Arc<str>> {
        let forgotten = self.required().filter(|target| {
            let incarnation = stored.get(&target.name);
            incarnation.and_then(|incarnation| target.channel.knows_incarnation(*incarnation)) == Some(false)
        });
        forgotten.map(|target| target.name.clone()).collect()
    }

    /// Through which position of a partition each durable channel has stored everything by now; 0 if nothing.
    pub fn stored_through(&self, partition: &Partition) -> BTreeMap<Arc<str>, u64> {
        let mut least = BTreeMap::new();
        let scopes = scope_names(&self.component, &self.legs);
        let targets = self.legs.iter().flat_map(Leg::targets).zip(scopes);
        for (target, scope) in targets.filter(|(target, _)| !target.optional) {
            if target.channel.place().is_none() {
                continue;
            }
            let stored = target.channel.stored(&scope).unwrap_or_default();
            let through = stored.get(partition).copied().unwrap_or(0);
            let known = least.entry(target.name.clone()).or_insert(through);
            *known = through.min(*known);
        }
        least
    }

    /// For each channel in memory, how far the memories of the sinks behind it are, by the names of its
    /// readers ([`Recovered::mark`](crate::channel::Recovered::mark)); without channels whose sinks have none.
    pub fn marks(&self) -> BTreeMap<Arc<str>, BTreeMap<String, u64>> {
        let marks = self.required().map(|target| (target.name.clone(), target.channel.marks()));
        marks.filter(|(_, marks)| !marks.is_empty()).collect()
    }

    /// What this channel was given, the most of all ways into it, since one of them may be new; `None` if there
    /// is no such channel behind, or it does not know.
    pub fn stored_by(&self, channel: &str) -> Option<Given> {
        let scopes = scope_names(&self.component, &self.legs);
        let targets = self.legs.iter().flat_map(Leg::targets).zip(scopes);
        let ways = targets.filter(|(target, _)| !target.optional && &*target.name == channel);
        let stored = ways.map(|(target, scope)| target.channel.stored(&scope));
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
