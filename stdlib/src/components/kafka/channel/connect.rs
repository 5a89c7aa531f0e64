//! `weir check --connect`: asks the brokers for the topic of a channel, and the group of a reader.

use weir_runtime::channel::encoding::Encoder;
use weir_runtime::{ConnectFailure, Context};

use super::error::ChannelError;
use super::settings::KafkaChannelSettings;
use super::topic;
use crate::components::kafka::asking::{Question, Reads, ask};
use crate::components::kafka::source::Partitions;

/// Asks the brokers whether they are there, whether the topic is one that a channel can use, and whether the group of a reader may
/// read it. A topic that the channel makes may be missing. Changes nothing.
pub(super) async fn connect(
    settings: &KafkaChannelSettings,
    context: &Context,
    group: Option<String>,
) -> Vec<ConnectFailure> {
    let KafkaChannelSettings { brokers, security, topic: name, create, partitions, put_size, .. } = settings;
    // Without a topic, only the brokers are asked.
    let mut question = Question {
        brokers: brokers.clone(),
        security: security.clone(),
        setting: "topic",
        topics: Vec::new(),
        reads: None,
    };
    let failures = ask(question.clone()).await;
    if !failures.is_empty() {
        return failures;
    }
    let (Ok(config), Ok(encoder)) = (settings.protected_config(), Encoder::new(&context.schema)) else {
        // The check of the security has said why.
        return Vec::new();
    };
    let sizes = [*put_size, encoder.bytes_max(*put_size)];
    match topic::find(&config, name, None, sizes, &context.component).await {
        Ok(_) => {}
        Err(ChannelError::NoTopic { .. }) if create.is_some() => return Vec::new(),
        Err(error) => {
            let setting = if matches!(error, ChannelError::TooSmall { .. }) { "put_size" } else { "topic" };
            return vec![ConnectFailure { setting: Some(setting), failure: error.into_failure() }];
        }
    }
    let numbers = match partitions {
        Partitions::Only { numbers } => numbers.iter().filter_map(|n| i32::try_from(*n).ok()).collect(),
        Partitions::Group | Partitions::All => Vec::new(),
    };
    question.topics = vec![name.clone()];
    question.reads = group.map(|group| Reads { group, pattern: None, partitions: numbers });
    ask(question).await
}
