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

use weir_runtime::Registry;

use crate::tools;

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
        .writes("files", tools::file_writer::writes)
        .writes("stdout", stdout::writes);
    #[cfg(feature = "hdfs")]
    let registry = registry
        .source("hdfs", hdfs::source::make)
        .sink("hdfs", hdfs::sink::make)
        .writes("hdfs", hdfs::sink::writes);
    #[cfg(feature = "kafka")]
    let registry = registry
        .source("kafka", kafka::make_source)
        .channel("kafka", kafka::make_channel)
        .sink("kafka", kafka::make_sink)
        .writes("kafka", kafka::writes);
    registry
}
