//! End-to-end tests with the real binary, a real Kafka and a real HDFS.
//!
//! `tests/run` starts the servers and runs the tests. Each test leaves its logs and files in `target/tmp/NAME`.

mod answers;
mod chaos;
mod connect;
mod done_directories;
mod durable_channel;
mod durable_pipe;
mod emptied_topic;
mod exactly_once;
mod exactly_once_in_kafka;
mod exactly_once_on_hdfs;
mod examples;
mod fed;
mod flood;
mod followed_files;
mod foreign_readers;
mod generate_to_kafka;
mod harness;
mod hdfs_ledger;
mod hdfs_source;
mod idle_connections;
mod injected_errors;
mod kafka_channel;
mod kafka_records;
mod kafka_to_hdfs;
mod kerberos;
mod limits;
mod local_files;
mod main_job;
mod memory_bounds;
mod name_service;
mod outages;
mod parsers;
mod pipe;
mod quickstart;
mod rejects;
mod restored_backups;
mod samples;
mod schema_registry;
mod shared_group;
mod stopping;
mod stored_formats;
mod topics_made_again;
mod transfer;
mod troubles;
