//! Apache Kafka: a source that is a member of a consumer group, a channel in a topic, and a sink.
//!
//! Each consists of a librdkafka client, which is polled by a separate thread, and of an asynchronous part that is
//! connected to the runtime. The code that both need for a client is in `connection`.

mod asking;
mod certificates;
mod channel;
mod connection;
mod http;
mod kerberos;
mod native;
mod positions;
mod protected;
mod refusal;
mod registry;
mod security;
mod shared_group;
mod silence;
mod sink;
mod source;
mod tokens;
mod transaction_calls;

pub(crate) use channel::make_channel;
pub use sink::make_sink;
pub(crate) use sink::writes;
pub use source::make_source;
pub(crate) use source::make_untraced_source;
