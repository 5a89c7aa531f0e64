//! Tests of the Kafka source and sink with a real broker: the one whose address is in `KAFKA_BOOTSTRAP`, or the one of
//! the servers in `WEIR_SERVICES_DIR`, which `tests/run` sets.
//!
//! Each test has its own topics and group, so tests may run in parallel. The test that stops the broker waits for the
//! other tests (see [`harness::Broker`]).

#![allow(clippy::unwrap_used, reason = "a test that can't go on has failed")]
#![allow(clippy::print_stdout, reason = "how many records came again is worth a look")]

mod durable;
mod exactly_once;
mod harness;
mod headers;
mod outage;
mod rebalance;
mod security;
mod selection;
mod sink;
mod source;
mod starting;
mod tokens;
