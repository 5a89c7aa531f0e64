//! The library: components, the functions of the language, and the signatures of both.
//!
//! | folder | |
//! | --- | --- |
//! | `components/` | sources, channels and sinks: a folder for each, signature (`.flow`) beside Rust |
//! | `tools/` | what several components share: writing files, listening, lines, buffers, secrets, templates |
//! | `formats/` | encoders of events, and codecs |
//! | `language/` | functions, parsers, interceptors and types |
//!
//! This crate must not know the compiler: it hands out its signatures as text.

mod components;
mod formats;
mod language;
mod library;
mod state_directory;
#[cfg(test)]
mod tests;
mod tools;

pub use components::files::sink::repair_ledger;
#[cfg(feature = "hdfs")]
pub use components::hdfs::repair::{HdfsAccess, repair_hdfs_ledger};
#[cfg(feature = "kafka")]
pub use components::kafka;
pub use library::library_sources;
pub use state_directory::{place_state, show_state};
pub use tools::file_writer::{LedgerRepair, LedgerRepairError};
use weir_runtime::Registry;

/// Every component of the library, by the kind that a program names it with, every function and every parser.
pub fn registry() -> Registry {
    let registry = Registry::default().events_as_json(formats::json::events);
    let registry = tools::template::register(components::register(registry));
    language::parsers::register(language::functions::register(registry))
}
