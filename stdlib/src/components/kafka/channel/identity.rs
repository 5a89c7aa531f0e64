//! The events of a record, and the identities by which sinks know them.
//!
//! An event's partition is that of the topic, and its position follows from the offset of its record and its row there. Each record
//! takes as many positions as it may have events.

use rdkafka::message::{BorrowedMessage, Message};
use weir_runtime::batch::{Batch, Identities, Partition};
use weir_runtime::channel::encoding::{Decoder, ROWS_MAX};

use super::error::ChannelError;
use super::topic::Topic;

/// Decodes the events of a record, with the identities by which sinks know them.
pub(super) fn decode(
    decoder: &mut Decoder,
    topic: &Topic,
    message: &BorrowedMessage<'_>,
) -> Result<Batch, ChannelError> {
    let (name, partition, offset) = (topic.name.clone(), message.partition(), message.offset());
    let bytes = message.payload().unwrap_or_default().to_vec();
    let batch = decoder.decode(bytes).map_err(|source| ChannelError::Undecodable {
        topic: name.clone(),
        partition,
        offset,
        source,
    })?;
    let first = first_position(u64::try_from(offset).unwrap_or(0));
    let identities = Identities::counting(Partition::new(topic.partition_name(partition)), first);
    let misfit = |what: String| ChannelError::Misfit { topic: name, partition, offset, what };
    batch.with_identities(identities).map_err(|error| misfit(error.to_string()))
}

/// The position of the first event of a record.
fn first_position(offset: u64) -> u64 {
    through_position(offset) + 1
}

/// The position through which the events of all records before this offset are.
pub(super) fn through_position(offset: u64) -> u64 {
    offset.saturating_mul(ROWS_MAX as u64)
}

/// The offset of the record of a position.
pub(super) fn offset_of(position: u64) -> u64 {
    position.saturating_sub(1) / ROWS_MAX as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_of_records_do_not_overlap() {
        for offset in [0, 1, 7, 1 << 40] {
            let (first, last) = (first_position(offset), through_position(offset + 1));
            assert_eq!(last - first + 1, ROWS_MAX as u64);
            assert_eq!((offset_of(first), offset_of(last)), (offset, offset));
            assert_eq!(first_position(offset + 1), last + 1);
        }
    }
}
