//! A channel in memory that now and then refuses a put, so that the source fails and is run again: behind what
//! the channel was given, long before that is delivered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use weir_runtime::batch::Partition;
use weir_runtime::channel::{Channel, Demand, Fill, Limits, PutTransaction, Reader, Recovered, ReserveError};
use weir_runtime::{Chance, Failure};

/// One put in so many is refused.
const REFUSED_ONE_IN: u64 = 60;

pub(super) struct Refusing {
    pub(super) channel: Arc<dyn Channel>,
    pub(super) chance: Arc<Mutex<Chance>>,
}

#[async_trait]
impl Channel for Refusing {
    fn limits(&self) -> Limits {
        self.channel.limits()
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

    fn marks(&self) -> BTreeMap<String, u64> {
        self.channel.marks()
    }

    fn hold_against(&self, reader: &str, recovered: &Recovered) -> Result<(), Failure> {
        self.channel.hold_against(reader, recovered)
    }

    async fn reserve(&self, room: Fill) -> Result<Box<dyn PutTransaction>, ReserveError> {
        if self.chance.lock().unwrap().one_in(REFUSED_ONE_IN) {
            return Err(ReserveError::Closed);
        }
        self.channel.reserve(room).await
    }

    fn try_reserve(&self, room: Fill) -> Option<Box<dyn PutTransaction>> {
        self.channel.try_reserve(room)
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

    fn has_waiting(&self) -> bool {
        self.channel.has_waiting()
    }
}
