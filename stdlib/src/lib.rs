//! The component library: a folder for each component, its signature in the language (`.flow`)
//! beside its Rust. This page is the one list of them.
//!
//! This crate must not know the compiler: it hands out its signatures as text.

mod library;
mod memory;

pub use library::library_sources;
use weir_runtime::Registry;

/// Every component of the library, by the kind that a program names it with.
pub fn registry() -> Registry {
    Registry::default().channel("memory", memory::make)
}
