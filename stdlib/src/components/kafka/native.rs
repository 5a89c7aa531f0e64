//! Calls of librdkafka that the crate rdkafka does not have. The only unsafe code of the library.

#![allow(
    unsafe_code,
    reason = "the crate lacks calls, and others take 100 ms for each commit or half a microsecond for each record"
)]

mod record_queue;

use std::ffi::{CStr, CString, c_char};
use std::ptr;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::TopicPartitionList;
use rdkafka::bindings::{
    rd_kafka_AdminOptions_destroy, rd_kafka_AdminOptions_new, rd_kafka_AdminOptions_set_request_timeout,
    rd_kafka_AdminOptions_t, rd_kafka_DescribeCluster, rd_kafka_DescribeTopics,
    rd_kafka_DescribeTopics_result_topics, rd_kafka_TopicCollection_destroy,
    rd_kafka_TopicCollection_of_topic_names, rd_kafka_TopicDescription_error, rd_kafka_TopicDescription_name,
    rd_kafka_TopicDescription_t, rd_kafka_TopicDescription_topic_id, rd_kafka_Uuid_least_significant_bits,
    rd_kafka_Uuid_most_significant_bits, rd_kafka_admin_op_t, rd_kafka_brokers_add, rd_kafka_commit_queue,
    rd_kafka_commit_transaction, rd_kafka_consumer_group_metadata, rd_kafka_consumer_group_metadata_destroy,
    rd_kafka_consumer_group_metadata_generation_id, rd_kafka_consumer_group_metadata_group_id,
    rd_kafka_consumer_group_metadata_group_instance_id, rd_kafka_consumer_group_metadata_member_id,
    rd_kafka_consumer_group_metadata_new_with_genid, rd_kafka_error_code, rd_kafka_error_destroy,
    rd_kafka_error_is_retriable, rd_kafka_error_string, rd_kafka_error_t,
    rd_kafka_event_DescribeTopics_result, rd_kafka_event_destroy, rd_kafka_event_error, rd_kafka_event_t,
    rd_kafka_oauthbearer_set_token, rd_kafka_queue_destroy, rd_kafka_queue_new, rd_kafka_queue_poll,
    rd_kafka_queue_t, rd_kafka_send_offsets_to_transaction, rd_kafka_t,
};
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;
use thiserror::Error;

use super::shared_group::Generation;
use super::tokens::{Extension, Token};

pub(super) use record_queue::{RecordQueue, TakenRecord};

/// Why a call of a transaction has failed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{reason} ({code:?})")]
pub(super) struct TransactionError {
    pub(super) code: RDKafkaErrorCode,
    pub(super) reason: String,
    /// The same call may be made again, and goes on where it was.
    pub(super) is_retriable: bool,
}

impl From<KafkaError> for TransactionError {
    fn from(error: KafkaError) -> TransactionError {
        match &error {
            KafkaError::Transaction(inner) => TransactionError {
                code: inner.code(),
                reason: inner.string(),
                is_retriable: inner.is_retriable(),
            },
            _ => TransactionError {
                code: error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown),
                reason: error.to_string(),
                is_retriable: false,
            },
        }
    }
}

/// Sends the last records of a transaction and commits it. Blocks for at most `limit`, while another thread has to poll the
/// producer. `BaseProducer::commit_transaction` would poll it here as well, in slices of 100 ms.
///
/// # Errors
/// When the transaction is not committed, or that is not known. With [`TransactionError::is_retriable`] the call may be repeated.
pub(super) fn commit_transaction<C: ClientContext>(
    client: &Client<C>,
    limit: Duration,
) -> Result<(), TransactionError> {
    let milliseconds = milliseconds(limit);
    // SAFETY: the client is alive as long as it is borrowed. librdkafka's clients may be called by several threads.
    let error = unsafe { rd_kafka_commit_transaction(client.native_ptr(), milliseconds) };
    // SAFETY: librdkafka has just returned it.
    unsafe { taken_error(error) }
}

/// Reads an error object, and destroys it.
///
/// # Safety
/// The error is null, or an error object that the caller owns and that is not yet destroyed.
unsafe fn taken_error(error: *mut rd_kafka_error_t) -> Result<(), TransactionError> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: by the contract of this function. Its text is valid until it is destroyed below. Both are read before that, and
    // nothing else refers to them.
    unsafe {
        let found = TransactionError {
            code: rd_kafka_error_code(error).into(),
            reason: CStr::from_ptr(rd_kafka_error_string(error)).to_string_lossy().into_owned(),
            is_retriable: rd_kafka_error_is_retriable(error) != 0,
        };
        rd_kafka_error_destroy(error);
        Err(found)
    }
}

/// Returns the present generation of the member that a consumer is; none while it has not joined its group, since offsets without a
/// generation are taken from anybody. Does not wait for brokers.
pub(super) fn generation<C: ClientContext>(client: &Client<C>) -> Option<Generation> {
    // SAFETY: the client is alive as long as it is borrowed, and may be called by several threads. The metadata that it returns belongs
    // to the caller. What is read from it is copied before it is destroyed, once, after its last use.
    unsafe {
        let metadata = rd_kafka_consumer_group_metadata(client.native_ptr());
        if metadata.is_null() {
            return None;
        }
        let text = |pointer: *const c_char| {
            (!pointer.is_null()).then(|| CStr::from_ptr(pointer).to_string_lossy().into_owned())
        };
        let generation = Generation {
            group: text(rd_kafka_consumer_group_metadata_group_id(metadata)).unwrap_or_default(),
            number: rd_kafka_consumer_group_metadata_generation_id(metadata),
            member: text(rd_kafka_consumer_group_metadata_member_id(metadata)).unwrap_or_default(),
            instance: text(rd_kafka_consumer_group_metadata_group_instance_id(metadata)),
        };
        rd_kafka_consumer_group_metadata_destroy(metadata);
        (generation.number >= 0 && !generation.member.is_empty()).then_some(generation)
    }
}

/// Adds offsets of a group to the open transaction of a producer. Blocks for at most about `limit`.
///
/// # Errors
/// When the brokers don't take them: the transaction can only be aborted, unless [`TransactionError::is_retriable`].
pub(super) fn send_offsets<C: ClientContext>(
    client: &Client<C>,
    offsets: &TopicPartitionList,
    generation: &Generation,
    limit: Duration,
) -> Result<(), TransactionError> {
    let milliseconds = milliseconds(limit);
    let text = |text: &str| CString::new(text).unwrap_or_default();
    let (group, member) = (text(&generation.group), text(&generation.member));
    let instance = generation.instance.as_deref().map(text);
    let instance = instance.as_ref().map_or(ptr::null(), |instance| instance.as_ptr());
    // SAFETY: the client and the list are alive as long as they are borrowed, and librdkafka copies the list and the texts, which end
    // with a NUL. The metadata belongs to the caller, and is destroyed once, after its last use.
    unsafe {
        let metadata = rd_kafka_consumer_group_metadata_new_with_genid(
            group.as_ptr(),
            generation.number,
            member.as_ptr(),
            instance,
        );
        let error =
            rd_kafka_send_offsets_to_transaction(client.native_ptr(), offsets.ptr(), metadata, milliseconds);
        rd_kafka_consumer_group_metadata_destroy(metadata);
        taken_error(error)
    }
}

/// Commits offsets of the group of a consumer, and waits for the answer for at most about `limit`. The crate's call waits as long as
/// requests may take. A commit that is not answered in time may take effect later.
///
/// # Errors
/// The code of the broker or of librdkafka.
pub(super) fn commit_within<C: ClientContext>(
    client: &Client<C>,
    offsets: &TopicPartitionList,
    limit: Duration,
) -> Result<(), RDKafkaErrorCode> {
    let milliseconds = milliseconds(limit);
    let handle = client.native_ptr();
    // SAFETY: the client and the list are alive as long as they are borrowed, and librdkafka copies the list. The queue and the event are
    // destroyed here once, after their last use. The queue gets the answer even after the time is over, and frees it with itself.
    // There is no callback.
    let code = unsafe {
        let queue = rd_kafka_queue_new(handle);
        let mut code = rd_kafka_commit_queue(handle, offsets.ptr(), queue, None, ptr::null_mut());
        if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            let event = rd_kafka_queue_poll(queue, milliseconds);
            code = match event.is_null() {
                true => RDKafkaRespErr::RD_KAFKA_RESP_ERR__TIMED_OUT,
                false => rd_kafka_event_error(event),
            };
            rd_kafka_event_destroy(event);
        }
        rd_kafka_queue_destroy(queue);
        code
    };
    match code {
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(code.into()),
    }
}

/// Tells the client its brokers again, separated by commas. Those that it knows stay as they are.
///
/// A broker that is just starting may answer with an empty list of brokers. librdkafka then forgets all brokers, those of
/// `bootstrap.servers` too, and never connects again (<https://github.com/confluentinc/librdkafka/issues/5301>).
pub(super) fn add_brokers<C: ClientContext>(client: &Client<C>, brokers: &str) {
    let Ok(brokers) = CString::new(brokers) else { return };
    // SAFETY: the client is alive as long as it is borrowed, and copies the text, which ends with a NUL.
    unsafe { rd_kafka_brokers_add(client.native_ptr(), brokers.as_ptr()) };
}

/// Asks the broker that controls the cluster for its brokers, and waits for no answer, which nobody reads: the statistics show whether there
/// is one.
pub(super) fn ask_controller<C: ClientContext>(client: &Client<C>, limit: Duration) {
    let operation = rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER;
    // SAFETY: the client, the options and the queue are valid during the call. The request holds a reference to the queue, with which the
    // answer is freed.
    administrate(client, operation, milliseconds(limit), |handle, options, queue| unsafe {
        rd_kafka_DescribeCluster(handle, options, queue);
    });
}

/// Makes the options and the queue of a request to the brokers, and destroys both after the call. The request copies the options, and
/// holds a reference to the queue.
fn administrate<C: ClientContext, R>(
    client: &Client<C>,
    operation: rd_kafka_admin_op_t,
    limit_ms: i32,
    call: impl FnOnce(*mut rd_kafka_t, *const rd_kafka_AdminOptions_t, *mut rd_kafka_queue_t) -> R,
) -> R {
    let handle = client.native_ptr();
    // SAFETY: the client is alive as long as it is borrowed, and may be called by several threads. Each object that is made here is
    // destroyed here once, after its last use.
    unsafe {
        let queue = rd_kafka_queue_new(handle);
        let options = rd_kafka_AdminOptions_new(handle, operation);
        // Only a time out of range is refused; the default is taken then.
        rd_kafka_AdminOptions_set_request_timeout(options, limit_ms, ptr::null_mut(), 0);
        let result = call(handle, options, queue);
        rd_kafka_AdminOptions_destroy(options);
        rd_kafka_queue_destroy(queue);
        result
    }
}

fn milliseconds(limit: Duration) -> i32 {
    i32::try_from(limit.as_millis()).unwrap_or(i32::MAX)
}

/// The length of librdkafka's buffers for the text of an error.
const ERROR_TEXT_BYTES: usize = 512;

/// Gives a client the token that it shows brokers from now on. Does not block. `ClientContext::generate_oauth_token` is called only for
/// clients that are polled, and knows no extensions.
///
/// # Errors
/// The reason why librdkafka does not take it: it has expired, or an extension can't be sent.
pub(super) fn give_token<C: ClientContext>(
    client: &Client<C>,
    token: &Token,
    extensions: &[Extension],
) -> Result<(), String> {
    let with_nul = |_| "it contains a NUL".to_owned();
    let text = CString::new(token.text()).map_err(with_nul)?;
    let principal = CString::new(token.principal()).map_err(with_nul)?;
    let pairs = extensions.iter().flat_map(|Extension { name, value }| [name, value]);
    let pairs: Result<Vec<CString>, _> = pairs.map(|text| CString::new(text.as_str())).collect();
    let pairs = pairs.map_err(with_nul)?;
    let mut pointers: Vec<_> = pairs.iter().map(|text| text.as_ptr()).collect();
    let mut reason = [0; ERROR_TEXT_BYTES];
    // SAFETY: the client is alive as long as it is borrowed, and may be called by several threads. librdkafka copies the texts, which
    // end with a NUL, and writes at most the given number of bytes into the buffer, the last of them a NUL.
    let code = unsafe {
        rd_kafka_oauthbearer_set_token(
            client.native_ptr(),
            text.as_ptr(),
            token.expires_ms(),
            principal.as_ptr(),
            pointers.as_mut_ptr(),
            pointers.len(),
            reason.as_mut_ptr(),
            reason.len(),
        )
    };
    if code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
        return Ok(());
    }
    // SAFETY: the buffer ends with a NUL: it was filled with zeros, and librdkafka has written a text into it.
    let reason = unsafe { CStr::from_ptr(reason.as_ptr()) };
    Err(reason.to_string_lossy().into_owned())
}

/// The identity that a topic has from when it is made until it is deleted. A topic that is made again with the same name has
/// another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TopicId(pub(super) u128);

/// 32 hexadecimal digits.
impl std::fmt::Display for TopicId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// The identity of a topic; none if the brokers give their topics none, as those before Kafka 2.8. Or the code of the broker:
/// [`RDKafkaErrorCode::UnknownTopicOrPartition`] if there is no such topic.
type Described = Result<Option<TopicId>, RDKafkaErrorCode>;

/// Asks the brokers for the identities of topics, by one request. Blocks for at most about `limit`. Returns the topics of which
/// the answer says something.
///
/// # Errors
/// The code of the broker or of librdkafka.
pub(super) fn topic_ids<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    limit: Duration,
) -> Result<Vec<(String, Described)>, RDKafkaErrorCode> {
    let names: Result<Vec<CString>, _> = topics.iter().map(|topic| CString::new(*topic)).collect();
    let names = names.map_err(|_| RDKafkaErrorCode::InvalidTopic)?;
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    let (operation, limit_ms) = (rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, milliseconds(limit));
    // SAFETY: the client, the options and the queue are valid during the call, and so are the names, which the request copies. The
    // objects that are made here are destroyed here once, after their last use. The queue gets the answer even after the time is over, and
    // frees it with itself.
    administrate(client, operation, limit_ms, |handle, options, queue| unsafe {
        let topics = rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
        rd_kafka_DescribeTopics(handle, topics, options, queue);
        let event = rd_kafka_queue_poll(queue, limit_ms);
        let found = described_ids(event);
        rd_kafka_event_destroy(event);
        rd_kafka_TopicCollection_destroy(topics);
        found
    })
}

/// Asks the brokers for the identity of a topic; none as well if the brokers don't know the request. Blocks for at most about
/// `limit`.
///
/// # Errors
/// The code of the broker or of librdkafka: [`RDKafkaErrorCode::UnknownTopicOrPartition`] if there is no such topic.
pub(super) fn known_id<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    limit: Duration,
) -> Result<Option<TopicId>, RDKafkaErrorCode> {
    match topic_ids(client, &[topic], limit).map(|found| found.into_iter().next()) {
        Err(RDKafkaErrorCode::UnsupportedFeature | RDKafkaErrorCode::UnsupportedVersion) => Ok(None),
        Err(code) => Err(code),
        Ok(Some((_, described))) => described,
        Ok(None) => Err(RDKafkaErrorCode::UnknownTopicOrPartition),
    }
}

/// Reads the identities of the topics in the answer to a request.
///
/// # Safety
/// The event is null, or the answer to `rd_kafka_DescribeTopics` that is not yet destroyed.
unsafe fn described_ids(event: *mut rd_kafka_event_t) -> Result<Vec<(String, Described)>, RDKafkaErrorCode> {
    if event.is_null() {
        return Err(RDKafkaErrorCode::OperationTimedOut);
    }
    // SAFETY: by the contract of this function. What is read belongs to the event, and is copied before the caller destroys it.
    unsafe {
        let code = rd_kafka_event_error(event);
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(code.into());
        }
        let result = rd_kafka_event_DescribeTopics_result(event);
        if result.is_null() {
            return Err(RDKafkaErrorCode::Unknown);
        }
        let mut count = 0;
        let topics = rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if topics.is_null() {
            return Ok(Vec::new());
        }
        let described = |topic: &*const rd_kafka_TopicDescription_t| {
            let name = CStr::from_ptr(rd_kafka_TopicDescription_name(*topic));
            (name.to_string_lossy().into_owned(), described_id(*topic))
        };
        Ok(std::slice::from_raw_parts(topics, count).iter().map(described).collect())
    }
}

/// Reads the identity of a topic.
///
/// # Safety
/// The description is not null, and its answer is not yet destroyed.
unsafe fn described_id(topic: *const rd_kafka_TopicDescription_t) -> Described {
    // SAFETY: by the contract of this function. What is read belongs to the answer, and is copied.
    unsafe {
        let error = rd_kafka_TopicDescription_error(topic);
        if !error.is_null() && rd_kafka_error_code(error) != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(rd_kafka_error_code(error).into());
        }
        let id = rd_kafka_TopicDescription_topic_id(topic);
        if id.is_null() {
            return Ok(None);
        }
        let high = rd_kafka_Uuid_most_significant_bits(id) as u64;
        let low = rd_kafka_Uuid_least_significant_bits(id) as u64;
        let id = u128::from(high) << 64 | u128::from(low);
        Ok((id != 0).then_some(TopicId(id)))
    }
}
