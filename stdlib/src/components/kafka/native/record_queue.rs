//! Takes many records at once from a consumer. The crate takes them one by one, and each costs an event, two looks at a clock and
//! two reference counts.
//!
//! ```text
//! partition ─┐
//! partition ─┼─► queue of records ─► RecordQueue::fill
//! partition ─┘
//! the group, statistics, errors ───► BaseConsumer::poll
//! ```

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

use rdkafka::bindings::{
    rd_kafka_consume_batch_queue, rd_kafka_header_get_all, rd_kafka_headers_t, rd_kafka_message_destroy,
    rd_kafka_message_headers, rd_kafka_message_t, rd_kafka_message_timestamp, rd_kafka_queue_destroy,
    rd_kafka_queue_forward, rd_kafka_queue_get_consumer, rd_kafka_queue_get_partition, rd_kafka_queue_length,
    rd_kafka_queue_new, rd_kafka_queue_t, rd_kafka_topic_name,
};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::types::RDKafkaRespErr;

/// The most records that one call takes.
const TAKEN_MAX: usize = 1024;

/// A consumer, and the queue to which the partitions that it [takes over](RecordQueue::take_over) pass their records.
///
/// Records of other partitions come from [`BaseConsumer::poll`], which also has to be called for everything else.
pub(in super::super) struct RecordQueue<C: ConsumerContext + 'static> {
    queue: NonNull<rd_kafka_queue_t>,
    /// The consumer's own queue, from which `BaseConsumer::poll` takes.
    events: NonNull<rd_kafka_queue_t>,
    /// The records that were taken. Those before `next` are destroyed.
    taken: Vec<*mut rd_kafka_message_t>,
    next: usize,
    /// Dropped after the records and both queues, which [`RecordQueue::drop`] destroys.
    consumer: BaseConsumer<C>,
}

// SAFETY: librdkafka's queues and messages belong to no thread, and the pointers are used through `&self` and `&mut self` only.
unsafe impl<C: ConsumerContext + 'static> Send for RecordQueue<C> {}

impl<C: ConsumerContext + 'static> RecordQueue<C> {
    /// Returns `None` if the consumer is in no group.
    pub(in super::super) fn new(consumer: BaseConsumer<C>) -> Option<RecordQueue<C>> {
        let handle = consumer.client().native_ptr();
        // SAFETY: the client is alive as long as `consumer`, which is dropped after both queues. They belong to the caller.
        let queues =
            unsafe { (NonNull::new(rd_kafka_queue_new(handle)), rd_kafka_queue_get_consumer(handle)) };
        let (queue, events) = (queues.0?, queues.1);
        let Some(events) = NonNull::new(events) else {
            // SAFETY: it was made above, and nothing refers to it.
            unsafe { rd_kafka_queue_destroy(queue.as_ptr()) };
            return None;
        };
        Some(RecordQueue { queue, events, taken: Vec::with_capacity(TAKEN_MAX), next: 0, consumer })
    }

    pub(in super::super) fn consumer(&self) -> &BaseConsumer<C> {
        &self.consumer
    }

    /// Makes a partition pass its records to the queue of records. Has to be called after each assignment: librdkafka forgets it when
    /// the partition is revoked, and passes the records to no queue until then if it was called once.
    ///
    /// Records that the partition has passed to the consumer's queue before stay there, so that queue has to be
    /// [empty](RecordQueue::has_events) before the next record is taken from here.
    pub(in super::super) fn take_over(&self, topic: &str, partition: i32) {
        let Ok(topic) = CString::new(topic) else { return };
        // SAFETY: the client and the text are alive during the calls. The partition's queue is a reference that belongs to the caller,
        // and is destroyed once. The partition keeps a reference of its own to the queue of records.
        unsafe {
            let from =
                rd_kafka_queue_get_partition(self.consumer.client().native_ptr(), topic.as_ptr(), partition);
            if !from.is_null() {
                rd_kafka_queue_forward(from, self.queue.as_ptr());
                rd_kafka_queue_destroy(from);
            }
        }
    }

    /// Whether [`BaseConsumer::poll`] has something to do.
    pub(in super::super) fn has_events(&self) -> bool {
        // SAFETY: the queue is alive until `self` is dropped.
        unsafe { rd_kafka_queue_length(self.events.as_ptr()) > 0 }
    }

    /// Takes at most `most` records for [`RecordQueue::next`], if there are none. Waits for the first one, and for no other. Returns whether
    /// there are any now.
    ///
    /// All others stay in the queue, where librdkafka counts them: it fetches no more than its queues may hold.
    pub(in super::super) fn fill(&mut self, most: usize, wait: Duration) -> bool {
        if self.next == self.taken.len() {
            self.taken.clear();
            self.next = 0;
            self.take(most, Duration::ZERO);
            // With a time to wait, librdkafka would wait until it has all.
            if self.taken.is_empty() && !wait.is_zero() {
                self.take(1, wait);
            }
        }
        !self.taken.is_empty()
    }

    fn take(&mut self, most: usize, wait: Duration) {
        let milliseconds = i32::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(i32::MAX);
        self.taken.resize(most.clamp(1, TAKEN_MAX), ptr::null_mut());
        // SAFETY: the queue is alive until `self` is dropped, and `taken` has room for as many pointers as it is long.
        let count = unsafe {
            rd_kafka_consume_batch_queue(
                self.queue.as_ptr(),
                milliseconds,
                self.taken.as_mut_ptr(),
                self.taken.len(),
            )
        };
        self.taken.truncate(usize::try_from(count).unwrap_or(0));
    }

    /// Returns the next record that was taken.
    pub(in super::super) fn next(&mut self) -> Option<TakenRecord<'_>> {
        let message = *self.taken.get(self.next)?;
        self.next += 1;
        // SAFETY: librdkafka has returned the record, which belongs to the caller. `next` goes past it, so nothing else destroys it.
        Some(TakenRecord(unsafe { &mut *message }))
    }

    /// Drops the records of a partition that were taken and not yet returned.
    pub(in super::super) fn forget(&mut self, topic: &str, partition: i32) {
        let rest = self.taken.split_off(self.next);
        self.taken.clear();
        self.next = 0;
        for message in rest {
            // SAFETY: as in `next`: the record is dropped here, or put back.
            let record = TakenRecord(unsafe { &mut *message });
            if record.partition() == partition && record.topic() == topic {
                drop(record);
            } else {
                std::mem::forget(record);
                self.taken.push(message);
            }
        }
    }

    /// Drops the records that were taken and not yet returned.
    pub(in super::super) fn clear(&mut self) {
        while self.next().is_some() {}
    }
}

impl<C: ConsumerContext + 'static> Drop for RecordQueue<C> {
    fn drop(&mut self) {
        self.clear();
        // SAFETY: both belong to `self`, and are not used again. Partitions that still pass records to the queue keep it alive, and
        // librdkafka drops what they pass.
        unsafe {
            rd_kafka_queue_destroy(self.queue.as_ptr());
            rd_kafka_queue_destroy(self.events.as_ptr());
        }
    }
}

/// A record, or the error of a partition.
pub(in super::super) struct TakenRecord<'a>(&'a mut rd_kafka_message_t);

impl Drop for TakenRecord<'_> {
    fn drop(&mut self) {
        // SAFETY: the record belongs to `self`, and nothing that refers to it outlives `self`.
        unsafe { rd_kafka_message_destroy(self.0) };
    }
}

impl TakenRecord<'_> {
    /// The error that the partition has, instead of a record. If it has an offset, librdkafka takes the record at that offset for read.
    pub(in super::super) fn error(&self) -> Option<RDKafkaErrorCode> {
        (self.0.err != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| self.0.err.into())
    }

    /// Identifies the topic as long as a record of it exists.
    pub(in super::super) fn topic_address(&self) -> usize {
        self.0.rkt as usize
    }

    /// Brokers accept letters, digits, `.`, `_` and `-` in names of topics only.
    pub(in super::super) fn topic(&self) -> &str {
        if self.0.rkt.is_null() {
            return "";
        }
        // SAFETY: the record holds a reference to its topic, whose name ends with a NUL and never changes.
        unsafe { CStr::from_ptr(rd_kafka_topic_name(self.0.rkt)) }.to_str().unwrap_or_default()
    }

    pub(in super::super) fn partition(&self) -> i32 {
        self.0.partition
    }

    pub(in super::super) fn offset(&self) -> i64 {
        self.0.offset
    }

    /// Milliseconds since 1970-01-01T00:00:00Z; none if the record has no time.
    pub(in super::super) fn time(&self) -> Option<i64> {
        // SAFETY: the record is alive, and the kind of its time is not asked for.
        let time = unsafe { rd_kafka_message_timestamp(self.0, ptr::null_mut()) };
        (time != -1).then_some(time)
    }

    pub(in super::super) fn key(&self) -> Option<&[u8]> {
        self.bytes(self.0.key, self.0.key_len)
    }

    /// The value; none of a tombstone.
    pub(in super::super) fn body(&self) -> Option<&[u8]> {
        self.bytes(self.0.payload, self.0.len)
    }

    /// A null pointer is no value, and a value of no bytes is an empty one.
    fn bytes(&self, start: *const c_void, length: usize) -> Option<&[u8]> {
        // SAFETY: librdkafka's pointers and lengths describe memory that belongs to the record.
        (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast(), length) })
    }

    /// The headers in their order: names, and values that may be missing.
    pub(in super::super) fn headers(&self) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let mut headers: *mut rd_kafka_headers_t = ptr::null_mut();
        // SAFETY: the record is alive. Its headers belong to it.
        let found = unsafe { rd_kafka_message_headers(self.0, &raw mut headers) };
        let any = found == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && !headers.is_null();
        (0..).map_while(move |index| if any { self.header(headers, index) } else { None })
    }

    fn header(&self, headers: *const rd_kafka_headers_t, index: usize) -> Option<(&[u8], Option<&[u8]>)> {
        let (mut name, mut value, mut length) = (ptr::null::<c_char>(), ptr::null::<c_void>(), 0);
        // SAFETY: the headers belong to the record, which is alive. The name ends with a NUL, and both belong to the record.
        unsafe {
            let found =
                rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut length);
            let exists = found == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && !name.is_null();
            exists.then(|| (CStr::from_ptr(name).to_bytes(), self.bytes(value, length)))
        }
    }
}

#[cfg(test)]
mod tests;
