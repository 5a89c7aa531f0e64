//! The metric of the lag: the puts that the topic has and that are not delivered, for each reader's group and partition.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use weir_runtime::Meter;

/// The lags of all readers of a channel, which share its meter.
#[derive(Debug, Default)]
pub(super) struct Lags(Mutex<BTreeMap<(String, i32), u64>>);

impl Lags {
    /// Sets the lags of the partitions that the reader of this group takes from now.
    pub(super) fn set(&self, meter: &Meter, group: &str, lag: impl Iterator<Item = (i32, u64)>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(of, _), _| of != group);
        all.extend(lag.map(|(partition, lag)| ((group.to_owned(), partition), lag)));
        let named = all.iter().map(|((group, partition), lag)| (format!("{group}/{partition}"), *lag));
        meter.set_partition_gauge("lag_puts", named.collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reader_replaces_its_own_lags() {
        let (lags, meter) = (Lags::default(), Meter::default());
        lags.set(&meter, "tier.one", [(0, 7), (1, 2)].into_iter());
        lags.set(&meter, "tier.two", [(0, 9)].into_iter());
        lags.set(&meter, "tier.one", [(1, 3)].into_iter());
        let expected = [("tier.one/1".to_owned(), 3), ("tier.two/0".to_owned(), 9)];
        assert_eq!(meter.partition_gauges()["lag_puts"], BTreeMap::from(expected));
    }
}
