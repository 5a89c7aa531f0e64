//! The component library: a folder for each component, its signature in the language (`.flow`)
//! beside its Rust. This page is the one list of them.
//!
//! This crate must not know the compiler: it hands out its signatures as text.

#[cfg(feature = "kafka")]
pub mod kafka;
mod memory;
mod template;

use weir_runtime::Registry;

/// Every component of the library, by the kind that a program names it with.
pub fn registry() -> Registry {
    let registry = Registry::default().channel("memory", memory::make);
    #[cfg(feature = "kafka")]
    let registry = registry.source("kafka", kafka::make_source).sink("kafka", kafka::make_sink);
    registry
}
