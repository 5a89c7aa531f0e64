//! The Kafka source and sink against a real broker, whose address is in `KAFKA_BOOTSTRAP`.
//!
//! Each test has topics and a group of its own, so that they may run side by side. The one that
//! stops the broker needs it for itself; it waits for the others (see [`rig::Broker`]).

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]
#![allow(clippy::print_stdout, reason = "how many records came again is worth a look")]

mod outage;
mod rebalance;
mod rig;
mod sink;
mod source;
mod starting;
