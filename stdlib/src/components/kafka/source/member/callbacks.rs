//! The calls of librdkafka, on the polling thread.

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, TopicPartitionList};
use tracing::debug;

use super::Member;

impl ClientContext for Member {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.connection.log(level, facility, message);
        // With events, librdkafka reports the failure of an asynchronous commit only in its log.
        if facility == "COMMITFAIL" {
            self.commit_failed(message);
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        if code == RDKafkaErrorCode::UnknownTopicOrPartition {
            self.note_missing_topics(reason);
        }
        self.connection.error(code, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.connection.look_for_silent(&statistics);
        self.set_lag(&statistics);
    }
}

impl ConsumerContext for Member {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Member>,
        code: RDKafkaRespErr,
        list: &mut TopicPartitionList,
    ) {
        match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                if let Err(error) = self.assign(consumer, list) {
                    // The group waits for an answer, and this member can't go on.
                    let _ending_anyway = consumer.unassign();
                    self.fail(error);
                }
            }
            _ => {
                if let Err(error) = self.revoke(consumer, list) {
                    debug!(component = %self.connection.component(), "giving partitions back: {error}");
                }
            }
        }
    }
}
