//! The Weir compiler: names, types, checks, diagnostics and lowering to a plan.
//!
//! [`compile`] takes a program's text and the library's signatures and gives back a plan, or every
//! mistake that the program has, in one run.
//!
//! This crate must not know any component by name, nor how plans are run. It opens no file and no
//! connection: text arrives through [`SourceFiles`], the library as an argument.

mod columns;
mod compile;
mod condition;
mod constants;
pub mod diagnostics;
mod flows;
mod graph;
mod library;
mod lower;
mod names;
mod promises;
mod requirements;
mod settings;
mod sources;
mod syntax;
mod templates;
mod texts;
mod types;
mod values;

pub mod render;

pub use compile::{Compiled, Options, compile};
pub use diagnostics::{Diagnostic, Severity};
pub use library::{Library, LibraryError};
pub use sources::{Files, Position, SourceFile, SourceFiles};
