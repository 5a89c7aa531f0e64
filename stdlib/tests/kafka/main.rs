//! The Kafka source and sink against a real broker: the one whose address is in `KAFKA_BOOTSTRAP`,
//! or that of the servers in `WEIR_SERVICES_DIR`, which `tests/run` sets.
//!
//! Each test has topics and a group of its own, so that they may run side by side. The one that
//! stops the broker needs it for itself; it waits for the others (see [`rig::Broker`]).

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]
#![allow(clippy::print_stdout, reason = "how many records came again is worth a look")]

mod durable;
mod headers;
mod outage;
mod rebalance;
mod rig;
mod sink;
mod source;
mod starting;
