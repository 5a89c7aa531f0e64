//! End-to-end tests: the real binary, a real Kafka, a real HDFS.
//!
//! `tests/run` runs them with everything that they need. Each leaves its logs and files in `target/tmp/NAME`.

mod answers;
mod durable_channel;
mod exactly_once;
mod flood;
mod followed_files;
mod foreign_readers;
mod generate_to_kafka;
mod idle_connections;
mod injected_errors;
mod kafka_to_hdfs;
mod limits;
mod local_files;
mod outages;
mod put_back;
mod quickstart;
mod rig;
mod stopping;
mod transfer;
