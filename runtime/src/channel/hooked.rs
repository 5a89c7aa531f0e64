//! A channel whose calls tests can intercept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use super::{
    Channel, Demand, Fill, Incarnation, Limits, Overflow, PutTransaction, Reader, Recovered, ReserveError,
};
use crate::batch::Partition;
use crate::failure::Failure;
use crate::observability::meter::Reading;

/// Decides whether a call is passed on to the channel or fails.
type Hook<Refusal> = Box<dyn Fn() -> Result<(), Refusal> + Send + Sync>;

/// A channel that calls hooks before some operations, and passes the operations on to the channel that it wraps.
pub struct HookedChannel {
    channel: Arc<dyn Channel>,
    before_open: Hook<Failure>,
    before_reserve: Hook<ReserveError>,
    failure: Hook<Failure>,
    before_shut: Hook<Failure>,
    /// The limits that all but the first caller see, if they differ.
    later: Option<(AtomicBool, Limits)>,
}

impl HookedChannel {
    /// Wraps a channel, without hooks.
    pub fn new(channel: Arc<dyn Channel>) -> HookedChannel {
        HookedChannel {
            channel,
            before_open: Box::new(|| Ok(())),
            before_reserve: Box::new(|| Ok(())),
            failure: Box::new(|| Ok(())),
            before_shut: Box::new(|| Ok(())),
            later: None,
        }
    }

    /// Reports other limits from the second call on, as if steps had made the events larger.
    pub fn later_within(self, limits: Limits) -> HookedChannel {
        HookedChannel { later: Some((AtomicBool::new(false), limits)), ..self }
    }

    /// Calls `hook` before the channel is opened.
    pub fn before_open(
        self,
        hook: impl Fn() -> Result<(), Failure> + Send + Sync + 'static,
    ) -> HookedChannel {
        HookedChannel { before_open: Box::new(hook), ..self }
    }

    /// Calls `hook` before each put that may wait for space.
    pub fn before_reserve(
        self,
        hook: impl Fn() -> Result<(), ReserveError> + Send + Sync + 'static,
    ) -> HookedChannel {
        HookedChannel { before_reserve: Box::new(hook), ..self }
    }

    /// Makes the channel fail as soon as it is open.
    pub fn failing(self, failure: impl Fn() -> Failure + Send + Sync + 'static) -> HookedChannel {
        HookedChannel { failure: Box::new(move || Err(failure())), ..self }
    }

    /// Calls `hook` before the channel is shut down.
    pub fn before_shut(
        self,
        hook: impl Fn() -> Result<(), Failure> + Send + Sync + 'static,
    ) -> HookedChannel {
        HookedChannel { before_shut: Box::new(hook), ..self }
    }
}

#[async_trait]
impl Channel for HookedChannel {
    fn limits(&self) -> Limits {
        match &self.later {
            Some((asked, limits)) if asked.swap(true, Ordering::Relaxed) => *limits,
            _ => self.channel.limits(),
        }
    }

    async fn probe(&self) -> Vec<Failure> {
        self.channel.probe().await
    }

    async fn open(&self) -> Result<(), Failure> {
        (self.before_open)()?;
        self.channel.open().await
    }

    async fn failed(&self) -> Failure {
        match (self.failure)() {
            Ok(()) => self.channel.failed().await,
            Err(failure) => failure,
        }
    }

    async fn shut(&self) -> Result<(), Failure> {
        (self.before_shut)()?;
        self.channel.shut().await
    }

    fn is_durable(&self) -> bool {
        self.channel.is_durable()
    }

    fn knows_positions(&self) -> bool {
        self.channel.knows_positions()
    }

    fn remember(&self, scope: &str, prefix: &str, stored: BTreeMap<Partition, u64>) {
        self.channel.remember(scope, prefix, stored);
    }

    fn forget(&self, scope: &str, partition: &Partition) {
        self.channel.forget(scope, partition);
    }

    fn stored(&self, scope: &str) -> Option<BTreeMap<Partition, u64>> {
        self.channel.stored(scope)
    }

    fn scopes(&self) -> BTreeSet<String> {
        self.channel.scopes()
    }

    fn partition(&self) -> Option<Partition> {
        self.channel.partition()
    }

    fn place(&self) -> Option<String> {
        self.channel.place()
    }

    fn incarnation(&self) -> Option<Incarnation> {
        self.channel.incarnation()
    }

    fn knows_incarnation(&self, incarnation: Incarnation) -> Option<bool> {
        self.channel.knows_incarnation(incarnation)
    }

    fn marks(&self) -> BTreeMap<String, u64> {
        self.channel.marks()
    }

    fn check_recovered(&self, reader: &str, recovered: &Recovered) -> Result<(), Failure> {
        self.channel.check_recovered(reader, recovered)
    }

    fn accepts_loss(&self, reader: &str, recovered: &Recovered) -> Option<u64> {
        self.channel.accepts_loss(reader, recovered)
    }

    async fn reserve(&self, amount: Fill) -> Result<Box<dyn PutTransaction>, ReserveError> {
        (self.before_reserve)()?;
        self.channel.reserve(amount).await
    }

    fn try_reserve(&self, amount: Fill) -> Option<Box<dyn PutTransaction>> {
        self.channel.try_reserve(amount)
    }

    fn overflow(&self) -> Overflow {
        self.channel.overflow()
    }

    fn displace(&self, amount: Fill) -> (Option<Box<dyn PutTransaction>>, Reading) {
        self.channel.displace(amount)
    }

    fn reader(&self, name: &str, demand: Demand) -> Box<dyn Reader> {
        self.channel.reader(name, demand)
    }

    fn close(&self) {
        self.channel.close();
    }

    fn fill(&self) -> Fill {
        self.channel.fill()
    }

    fn bounds(&self) -> Fill {
        self.channel.bounds()
    }

    fn has_unread(&self) -> bool {
        self.channel.has_unread()
    }
}
