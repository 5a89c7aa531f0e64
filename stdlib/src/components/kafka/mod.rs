//! Apache Kafka: a source that is a member of a consumer group, and a sink.
//!
//! Both are made of librdkafka's client, which polls on a thread of its own, and of an
//! asynchronous part that is connected to the core. What both need of a client is in
//! `connection`.

mod connection;
mod sink;
mod source;

pub use sink::make_sink;
pub use source::make_source;
