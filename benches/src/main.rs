//! Measurements, each beside a bare loop that does the least that could do the same.
//!
//! Both are run in turn, several times, in one process on one machine; what counts is the ratio
//! of each pair, since the machine's speed drifts. `benches/RESULTS.md` keeps what was found.

// A measurement's output is its purpose.
#![allow(clippy::print_stdout)]

mod core;
mod file_channel;
mod files_sink;
mod files_source;
mod files_to_files;
mod kafka;
mod kafka_to_hdfs;
mod pipeline;
mod rounds;
mod tcp_lines;

use clap::{Parser, Subcommand};

type Outcome = Result<(), Box<dyn std::error::Error>>;

/// Measures Weir side by side with bare loops
#[derive(Debug, Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
    /// How many pairs are run, after one that is not counted
    #[arg(long, default_value_t = 5, global = true)]
    rounds: usize,
    /// How many events each run moves
    #[arg(long, global = true)]
    events: Option<u64>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// generate -> memory -> null, against a loop that makes and hashes the same bodies
    Core,
    /// Four sources into a file channel, against a loop that appends and syncs groups of the same size
    FileChannelPut(AtRest),
    /// Four sources into a file channel and a reader that takes it all, against the same loop
    FileChannel(AtRest),
    /// How long a file channel takes to open that holds 1 GiB and one that holds ten times that
    Recovery,
    /// Fills a file channel and ends as after a crash; `recovery` runs it
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
    /// A gibibyte of lines files -> files, through memory and through a file channel, against dd and a loop
    FilesToFiles,
    /// tcp_lines -> memory -> null, against a loop that counts line ends on the same socket
    TcpLines,
    /// Kafka -> memory -> null, against a bare librdkafka consumer; needs KAFKA_BOOTSTRAP
    Kafka,
    /// Kafka -> memory -> HDFS, against a consumer that writes one file; needs KAFKA_BOOTSTRAP and HDFS_URL
    KafkaToHdfs,
}

#[derive(Debug, clap::Args)]
struct AtRest {
    /// The channel is encrypted, and stands against one that is not
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
        What::TcpLines => tcp_lines::measure(rounds, events.unwrap_or(4_000_000)),
        What::FilesSink { only } => files_sink::measure(rounds, events.unwrap_or(3_000_000), only.as_deref()),
        What::Kafka => kafka::measure(rounds, events.unwrap_or(2_000_000)),
        What::KafkaToHdfs => kafka_to_hdfs::measure(rounds, events.unwrap_or(2_000_000)),
    }
}

fn file_channel(rounds: usize, events: Option<u64>, at_rest: &AtRest, taking: file_channel::Take) -> Outcome {
    let events = events.unwrap_or(8_000_000);
    match at_rest.encrypted {
        true => file_channel::measure_encrypted(rounds, events, taking),
        false => file_channel::measure(rounds, events, taking),
    }
}
