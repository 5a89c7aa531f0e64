//! Calls of librdkafka that the crate rdkafka does not have. The only unsafe code of the library.

#![allow(unsafe_code, reason = "the crate lacks a call, and another one takes 100 ms for each commit")]

use std::ffi::{CStr, CString};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::bindings::{
    rd_kafka_brokers_add, rd_kafka_commit_transaction, rd_kafka_error_code, rd_kafka_error_destroy,
    rd_kafka_error_is_retriable, rd_kafka_error_string,
};
use rdkafka::client::Client;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use thiserror::Error;

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
    let milliseconds = i32::try_from(limit.as_millis()).unwrap_or(i32::MAX);
    // SAFETY: the client is alive as long as it is borrowed. librdkafka's clients may be called by several threads.
    let error = unsafe { rd_kafka_commit_transaction(client.native_ptr(), milliseconds) };
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: a pointer that is not null is an error object that the caller owns, and its text is valid until it is destroyed
    // below. Both are read before that, and nothing else refers to them.
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

/// Tells the client its brokers again, separated by commas. Those that it knows stay as they are.
///
/// A broker that is just starting may answer with an empty list of brokers. librdkafka then forgets all brokers, those of
/// `bootstrap.servers` too, and never connects again (<https://github.com/confluentinc/librdkafka/issues/5301>).
pub(super) fn add_brokers<C: ClientContext>(client: &Client<C>, brokers: &str) {
    let Ok(brokers) = CString::new(brokers) else { return };
    // SAFETY: the client is alive as long as it is borrowed, and copies the text, which ends with a NUL.
    unsafe { rd_kafka_brokers_add(client.native_ptr(), brokers.as_ptr()) };
}
