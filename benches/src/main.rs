//! Benchmarks. Each compares Weir with a loop that does the minimal work for the same result.
//!
//! Both run alternately, several times, in one process on one machine. The result is the ratio
//! of each pair, since the machine's speed drifts. `benches/RESULTS.md` has the results.

// The benchmarks print their results.
#![allow(clippy::print_stdout)]

mod core;
mod file_channel;
mod files_sink;
mod files_source;
mod files_to_files;
mod followed_files;
mod kafka;
mod kafka_to_hdfs;
mod kafka_writing;
mod latencies;
mod parsers;
mod peers;
mod pipeline;
mod pipelines;
mod rounds;
mod steps;
mod tcp_lines;

use std::time::Duration;

use clap::{Parser, Subcommand};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Measures Weir side by side with bare loops
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
    /// The number of pairs of runs, after a warm-up pair
    #[arg(long, default_value_t = 5, global = true)]
    rounds: usize,
    /// The number of events of each run
    #[arg(long, global = true)]
    events: Option<u64>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// generate -> memory -> null, against a loop that generates and hashes the same bodies
    Core,
    /// Four sources into a file channel, against a loop that appends and syncs groups of the same size
    FileChannelPut(AtRest),
    /// Four sources into a file channel with a reader, against the same loop
    FileChannel(AtRest),
    /// The time to open a file channel with 1 GiB of events, and one with 10 GiB
    Recovery,
    /// Fills a file channel and ends without closing it; used by `recovery`
    #[command(hide = true)]
    Fill { path: std::path::PathBuf, gib: u64 },
    /// files -> memory -> null, against a loop that counts line ends
    FilesSource,
    /// generate -> memory -> files, as Parquet and text, against loops with the same crates on prepared events
    FilesSink {
        /// Only `parquet`, or text in this codec: `none`, `gzip`, `zstd`
        #[arg(long)]
        only: Option<String>,
    },
    /// files -> files with a gibibyte of lines, through a memory channel and a file channel, against dd and a loop
    FilesToFiles,
    /// files that are followed -> memory -> stdout, with the binary `weir` beside this one: idle cost and latency of appends
    FollowedFiles {
        /// The numbers of files
        #[arg(long, value_delimiter = ',', default_values_t = [10, 10_000])]
        files: Vec<usize>,
        /// How long the idle cost is measured, in seconds
        #[arg(long, default_value_t = 60)]
        idle: u64,
    },
    /// Weir beside Flume, rsyslog and syslog-ng: HTTP, acknowledged lines, syslog; needs the variables that `benches/peers/fetch`
    /// prints, and the binary `weir` beside this one
    Peers {
        /// Only these kinds of work
        #[arg(long, value_delimiter = ',')]
        only: Vec<peers::Kind>,
        /// How long each row is measured, and warmed up before, in seconds
        #[arg(long, default_value_t = 3)]
        seconds: u64,
    },
    /// tcp_lines -> memory -> null, against a loop that counts line ends on the same socket
    TcpLines,
    /// The parser `json`, against sonic-rs, simd-json, serde_json and arrow-json
    ParseJson,
    /// The parser `access_log`, against loops with memchr and with a regular expression
    ParseAccessLog,
    /// The parser `regex`, against a loop with the same pattern
    ParseRegex,
    /// Whole pipelines with steps, from files, against the same pipelines without these steps
    Pipelines {
        /// Only the pipelines whose names contain this
        #[arg(long)]
        only: Option<String>,
    },
    /// The time that each step of the language takes for an event
    Steps {
        /// Only the steps whose names contain this
        #[arg(long)]
        only: Option<String>,
    },
    /// Kafka -> memory -> null, against a bare librdkafka consumer; needs KAFKA_BOOTSTRAP
    Kafka,
    /// generate -> memory -> Kafka, against a bare librdkafka producer; needs KAFKA_BOOTSTRAP
    KafkaWriting,
    /// generate -> memory -> Kafka in transactions, against at least once; needs KAFKA_BOOTSTRAP
    KafkaTransactions,
    /// Kafka -> memory -> HDFS, against a consumer that writes one file, or Flume; needs KAFKA_BOOTSTRAP and HDFS_URL
    KafkaToHdfs {
        /// Compare with Flume, which benches/peers/fetch downloads
        #[arg(long)]
        flume: bool,
    },
}

#[derive(Debug, clap::Args)]
struct AtRest {
    /// Compare an encrypted channel with a plain one
    #[arg(long)]
    encrypted: bool,
}

fn main() -> Outcome {
    let Arguments { what, rounds, events } = Arguments::parse();
    match what {
        What::Core => core::measure(rounds, events.unwrap_or(20_000_000)),
        What::FileChannelPut(at_rest) => file_channel(rounds, events, &at_rest, file_channel::Take::Nothing),
        What::FileChannel(at_rest) => file_channel(rounds, events, &at_rest, file_channel::Take::All),
        What::Recovery => file_channel::measure_recovery(rounds),
        What::Fill { path, gib } => file_channel::fill_and_end(&path, gib),
        What::FilesSource => files_source::measure(rounds, events.unwrap_or(10_737_418)),
        What::FilesToFiles => files_to_files::measure(rounds, events.unwrap_or(1 << 30)),
        What::FollowedFiles { files, idle } => {
            followed_files::measure(&files, events.unwrap_or(2_000), Duration::from_secs(idle))
        }
        What::Peers { only, seconds } => {
            peers::measure(&only, Duration::from_secs(seconds), events.unwrap_or(1_000_000))
        }
        What::TcpLines => tcp_lines::measure(rounds, events.unwrap_or(4_000_000)),
        What::FilesSink { only } => files_sink::measure(rounds, events.unwrap_or(3_000_000), only.as_deref()),
        What::ParseJson => parsers::measure_json(rounds, events.unwrap_or(2_097_152)),
        What::ParseAccessLog => parsers::measure_access_log(rounds, events.unwrap_or(5_242_880)),
        What::ParseRegex => parsers::measure_regex(rounds, events.unwrap_or(5_242_880)),
        What::Pipelines { only } => pipelines::measure(rounds, events.unwrap_or(1 << 30), only.as_deref()),
        What::Steps { only } => steps::measure(rounds, events.unwrap_or(1_000_000), only.as_deref()),
        What::Kafka => kafka::measure(rounds, events.unwrap_or(2_000_000)),
        What::KafkaWriting => kafka_writing::measure(rounds, events.unwrap_or(2_000_000)),
        What::KafkaTransactions => kafka_writing::measure_transactions(rounds, events.unwrap_or(1_000_000)),
        What::KafkaToHdfs { flume } => kafka_to_hdfs::measure(rounds, events.unwrap_or(2_000_000), flume),
    }
}

fn file_channel(rounds: usize, events: Option<u64>, at_rest: &AtRest, taking: file_channel::Take) -> Outcome {
    let events = events.unwrap_or(8_000_000);
    match at_rest.encrypted {
        true => file_channel::measure_encrypted(rounds, events, taking),
        false => file_channel::measure(rounds, events, taking),
    }
}
