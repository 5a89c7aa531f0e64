//! The Kafka source and sink against a real broker, whose address is in `KAFKA_BOOTSTRAP`.
//!
//! Each test has topics and a group of its own, so that they may run side by side. The one that
//! stops the broker needs it for itself; it waits for the others (see [`rig::Broker`]).

mod outage;
mod rebalance;
mod rig;
mod sink;
mod source;
mod starting;
