//! A channel of which tests change some calls.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;

use super::{
    Channel, Demand, Fill, Incarnation, Limits, Overflow, PutTransaction, Reader, Recovered, ReserveError,
};
use crate::batch::Partition;
use crate::failure::Failure;
use crate::observability::meter::Reading;

/// What becomes of a call: it goes on to the channel, or fails.
type Hook<Refusal> = Box<dyn Fn() -> Result<(), Refusal> + Send + Sync>;

/// A channel that asks hooks before some calls. Everything else goes to the channel that it wraps.
pub struct Hooked {
    channel: Arc<dyn Channel>,
    before_open: Hook<Failure>,
    before_reserve: Hook<ReserveError>,
    failure: Hook<Failure>,
    before_shut: Hook<Failure>,
    /// What its limits are once they were asked for, if they change.
    later: Option<(AtomicBool, Limits)>,
}

impl Hooked {
    /// This channel, still without hooks.
    pub fn new(channel: Arc<dyn Channel>) -> Hooked {
        Hooked {
            channel,
            before_open: Box::new(|| Ok(())),
            before_reserve: Box::new(|| Ok(())),
            failure: Box::new(|| Ok(())),
            before_shut: Box::new(|| Ok(())),
            later: None,
        }
    }

    /// Takes less than it says when it is asked for the first time: as if steps had made events larger.
    pub fn later_within(self, limits: Limits) -> Hooked {
        Hooked { later: Some((AtomicBool::new(false), limits)), ..self }
    }

    /// Asks before each attempt to open it.
    pub fn before_open(self, hook: impl Fn() -> Result<(), Failure> + Send + Sync + 'static) -> Hooked {
        Hooked { before_open: Box::new(hook), ..self }
    }

    /// Asks before each put that may wait for room.
    pub fn before_reserve(
        self,
        hook: impl Fn() -> Result<(), ReserveError> + Send + Sync + 'static,
    ) -> Hooked {
        Hooked { before_reserve: Box::new(hook), ..self }
    }

    /// Fails with this as soon as it is open.
    pub fn failing(self, failure: impl Fn() -> Failure + Send + Sync + 'static) -> Hooked {
        Hooked { failure: Box::new(move || Err(failure())), ..self }
    }

    /// Asks before it is shut.
    pub fn before_shut(self, hook: impl Fn() -> Result<(), Failure> + Send + Sync + 'static) -> Hooked {
        Hooked { before_shut: Box::new(hook), ..self }
    }
}

#[async_trait]
impl Channel for Hooked {
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

    fn stored(&self, scope: &str) -> Option<BTreeMap<Partition, u64>> {
        self.channel.stored(scope)
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

    fn knows(&self, incarnation: Incarnation) -> Option<bool> {
        self.channel.knows(incarnation)
    }

    fn marks(&self) -> BTreeMap<String, u64> {
        self.channel.marks()
    }

    fn hold_against(&self, reader: &str, recovered: &Recovered) -> Result<(), Failure> {
        self.channel.hold_against(reader, recovered)
    }

    fn accepts(&self, reader: &str, recovered: &Recovered) -> bool {
        self.channel.accepts(reader, recovered)
    }

    async fn reserve(&self, room: Fill) -> Result<Box<dyn PutTransaction>, ReserveError> {
        (self.before_reserve)()?;
        self.channel.reserve(room).await
    }

    fn try_reserve(&self, room: Fill) -> Option<Box<dyn PutTransaction>> {
        self.channel.try_reserve(room)
    }

    fn overflow(&self) -> Overflow {
        self.channel.overflow()
    }

    fn displace(&self, room: Fill) -> (Option<Box<dyn PutTransaction>>, Reading) {
        self.channel.displace(room)
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

    fn has_waiting(&self) -> bool {
        self.channel.has_waiting()
    }
}
