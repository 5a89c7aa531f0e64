//! The components: a folder for each, with its signature in the language (`.flow`) beside its Rust, and the list of
//! all components.

mod file_channel;
pub(crate) mod files;
mod generate;
#[cfg(feature = "hdfs")]
pub(crate) mod hdfs;
mod http;
#[cfg(feature = "kafka")]
pub mod kafka;
mod memory;
mod null;
mod stdin;
mod stdout;
mod syslog;
mod tcp_lines;

use weir_runtime::{Registry, Untraced};

use crate::tools;

/// Why a source that peers send to gives no sample.
const PEERS: &str =
    "its peers would take the events for delivered, and an agent that runs listens at its address";
/// Why standard input gives no sample.
const ONCE: &str = "standard input can be read only once; without `--sample`, `weir try` takes its lines";

/// Registers every component under the kind by which programs name it.
pub(crate) fn register(registry: Registry) -> Registry {
    let registry = registry
        .source("files", files::source::make)
        .source("generate", generate::make)
        .source("http", http::make)
        .source("stdin", stdin::make)
        .source("syslog", syslog::make)
        .source("tcp_lines", tcp_lines::make)
        .channel("file", file_channel::make)
        .channel("memory", memory::make)
        .sink("files", files::sink::make)
        .sink("null", null::make)
        .sink("stdout", stdout::make)
        .events_of_lines("files", files::source::events_of_lines)
        .untraced("files", Untraced::By(files::source::make_untraced))
        .untraced("generate", Untraced::By(generate::make))
        .untraced("http", Untraced::Never(PEERS))
        .untraced("stdin", Untraced::Never(ONCE))
        .untraced("syslog", Untraced::Never(PEERS))
        .untraced("tcp_lines", Untraced::Never(PEERS))
        .writes("files", tools::file_writer::writes)
        .writes("stdout", stdout::writes);
    #[cfg(feature = "hdfs")]
    let registry = registry
        .source("hdfs", hdfs::source::make)
        .untraced("hdfs", Untraced::By(hdfs::source::make_untraced))
        .sink("hdfs", hdfs::sink::make)
        .writes("hdfs", hdfs::sink::writes);
    #[cfg(feature = "kafka")]
    let registry = registry
        .source("kafka", kafka::make_source)
        .untraced("kafka", Untraced::By(kafka::make_untraced_source))
        .channel("kafka", kafka::make_channel)
        .sink("kafka", kafka::make_sink)
        .writes("kafka", kafka::writes);
    registry
}
