//! The records of a group of puts on their way to the brokers.

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::sleep;
use weir_runtime::Acknowledgement;
use weir_runtime::batch::Partition;

use super::error::{ChannelError, is_refusal};
use super::topic::{Topic, failure};
use super::writer::Callbacks;
use crate::components::kafka::positions::{PARTITION, PositionRecord};

/// The most puts that are written together.
const GROUP_PUTS_MAX: usize = 1_000;

/// A group of puts with this many bytes of records takes no further put. It has to be written within the timeouts of records and
/// transactions, also over a slow connection.
const GROUP_BYTES_MAX: usize = 4 << 20;

/// The wait for space in the producer's queue.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(5);

/// The header of a record that was written in a transaction, whose end takes an offset behind it.
pub(super) const TRANSACTION_HEADER: &str = "weir-transaction";

/// A put that is to be written.
pub(super) struct Submitted {
    /// The record; none if the channel has all events already, or there are none.
    pub(super) record: Option<Vec<u8>>,
    /// The positions that the channel has with this put, each under the name of the scope and of the partition.
    pub(super) positions: Vec<(Partition, u64)>,
    pub(super) acknowledgement: Acknowledgement,
    /// The space of the put, which is given back at its end.
    pub(super) space: Option<OwnedSemaphorePermit>,
}

/// What the attempts to write a group of puts have reached.
#[derive(Default)]
pub(super) struct Progress {
    /// The number of their commit, with transactions.
    pub(super) number: Option<u64>,
    /// The puts that are written for good, by their places in the group. Another attempt leaves them out.
    pub(super) written: BTreeSet<usize>,
}

/// A record that was passed to the producer.
pub(super) struct Report {
    /// The place of its put in the group; none if it has a position.
    put: Option<usize>,
    delivery: DeliveryFuture,
    bytes: usize,
}

/// Returns the puts that are written together with the first one.
pub(super) fn group_of(first: Submitted, queue: &mut mpsc::UnboundedReceiver<Submitted>) -> Vec<Submitted> {
    let bytes_of = |put: &Submitted| put.record.as_ref().map_or(0, Vec::len);
    let mut bytes = bytes_of(&first);
    let mut group = vec![first];
    while group.len() < GROUP_PUTS_MAX
        && bytes < GROUP_BYTES_MAX
        && let Ok(next) = queue.try_recv()
    {
        bytes += bytes_of(&next);
        group.push(next);
    }
    group
}

/// Passes the records of puts to the producer, to all partitions in turn.
pub(super) async fn send_puts(
    producer: &FutureProducer<Callbacks>,
    topic: &Topic,
    partition: &mut i32,
    records: impl Iterator<Item = (usize, &[u8])>,
    in_transaction: bool,
    reports: &mut Vec<Report>,
) -> Result<(), ChannelError> {
    let mark = Header { key: TRANSACTION_HEADER, value: None::<&[u8]> };
    let headers = in_transaction.then(|| OwnedHeaders::new().insert(mark));
    for (put, record) in records {
        *partition = (*partition + 1) % topic.partitions.max(1);
        let to = *partition;
        let send = || {
            let record = FutureRecord::<(), [u8]>::to(&topic.name).partition(to).payload(record);
            FutureRecord { headers: headers.clone(), ..record }
        };
        let sent = send_record(producer, send).await;
        let delivery = sent.map_err(|error| refused(&topic.name, error, record.len()))?;
        reports.push(Report { put: Some(put), delivery, bytes: record.len() });
    }
    Ok(())
}

/// Passes records to the producer that say how far the channel has sources' events.
pub(super) async fn send_positions(
    producer: &FutureProducer<Callbacks>,
    topic: &str,
    records: &[PositionRecord],
    reports: &mut Vec<Report>,
) -> Result<(), ChannelError> {
    for PositionRecord { key, value } in records {
        let send = || {
            let record = FutureRecord { payload: value.as_deref(), ..FutureRecord::to(topic) };
            record.partition(PARTITION).key(key.as_str())
        };
        let sent = send_record(producer, send).await;
        let delivery = sent.map_err(|source| failure("writing positions", topic, source))?;
        reports.push(Report { put: None, delivery, bytes: key.len() });
    }
    Ok(())
}

/// Passes a record to the producer. Waits while its queue is full.
async fn send_record<'r, K, P>(
    producer: &FutureProducer<Callbacks>,
    record: impl Fn() -> FutureRecord<'r, K, P>,
) -> Result<DeliveryFuture, KafkaError>
where
    K: rdkafka::message::ToBytes + ?Sized + 'r,
    P: rdkafka::message::ToBytes + ?Sized + 'r,
{
    loop {
        match producer.send_result(record()) {
            Ok(report) => return Ok(report),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), _)) => {
                sleep(QUEUE_FULL_PAUSE).await
            }
            Err((error, _)) => return Err(error),
        }
    }
}

/// Waits until all records are written. With `written`, waits for the others after a failure as well, and adds the puts that are
/// written; in a transaction, none of them would count.
///
/// # Errors
/// The first error, with the size of its record.
pub(super) async fn await_reports(
    reports: Vec<Report>,
    mut written: Option<&mut BTreeSet<usize>>,
) -> Result<(), (KafkaError, usize)> {
    let mut ended = Ok(());
    for Report { put, delivery, bytes } in reports {
        let error = match delivery.await {
            Ok(Ok(_)) => {
                written.iter_mut().for_each(|written| written.extend(put));
                continue;
            }
            Ok(Err((error, _))) => error,
            Err(_canceled) => KafkaError::Canceled,
        };
        if written.is_none() {
            return Err((error, bytes));
        }
        ended = ended.and(Err((error, bytes)));
    }
    ended
}

/// Makes the error of a record of this size that was not written.
pub(super) fn refused(topic: &str, error: KafkaError, bytes: usize) -> ChannelError {
    match error.rdkafka_error_code() {
        Some(code) if code == RDKafkaErrorCode::MessageSizeTooLarge || is_refusal(code) => {
            ChannelError::Refused { topic: topic.to_owned(), bytes, code }
        }
        _ => failure("writing a put", topic, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_of_puts_is_bounded_by_its_bytes() {
        let put = |bytes: usize| Submitted {
            record: Some(vec![0; bytes]),
            positions: Vec::new(),
            acknowledgement: Acknowledgement::calling(|_| ()),
            space: None,
        };
        let (sender, mut queue) = mpsc::unbounded_channel();
        let puts = [GROUP_BYTES_MAX / 2 - 1, 1, 2 * GROUP_BYTES_MAX, 5, 1, 1];
        puts.into_iter().for_each(|bytes| sender.send(put(bytes)).expect("it is open"));
        let mut sizes = Vec::new();
        while let Ok(first) = queue.try_recv() {
            sizes.push(group_of(first, &mut queue).len());
        }
        assert_eq!(sizes, [3, 3]);
        assert_eq!(group_of(put(GROUP_BYTES_MAX), &mut queue).len(), 1);
    }
}
