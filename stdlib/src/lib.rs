//! The component library: a folder for each component, its signature in the language (`.flow`)
//! beside its Rust. This page is the one list of them.
//!
//! This crate must not know the compiler: it hands out its signatures as text.

mod buffers;
mod due;
mod file_channel;
mod file_sink;
mod files;
mod formats;
mod functions;
mod generate;
#[cfg(feature = "hdfs")]
mod hdfs;
#[cfg(test)]
mod hostile_plans;
mod http;
#[cfg(feature = "kafka")]
pub mod kafka;
mod library;
mod lines;
mod listening;
mod memory;
mod null;
mod secrets;
mod stdin;
mod stdout;
mod syslog;
mod tcp_lines;
mod template;
#[cfg(test)]
mod trial;
mod types;

pub use file_sink::{LedgerRepair, LedgerRepairError};
pub use files::sink::repair_ledger;
pub use library::library_sources;
use weir_runtime::Registry;

/// Every component of the library, by the kind that a program names it with, and every function.
pub fn registry() -> Registry {
    let registry = Registry::default()
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
        .sink("stdout", stdout::make);
    #[cfg(feature = "hdfs")]
    let registry = registry.sink("hdfs", hdfs::sink::make);
    #[cfg(feature = "kafka")]
    let registry = registry.source("kafka", kafka::make_source).sink("kafka", kafka::make_sink);
    functions::register(registry)
}
