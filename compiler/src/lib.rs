//! The Weir compiler: names, types, checks, diagnostics and lowering to a plan.
//!
//! [`compile`] takes a program's text and the library's signatures and gives back a plan, or every
//! mistake that the program has, in one run.
//!
//! This crate must not know any component by name, nor how plans are run. It opens no file and no
//! connection: text arrives through [`SourceFiles`], the library as an argument.

mod amounts;
mod bodies;
mod checker;
mod classes;
mod columns;
mod compile;
mod components;
mod cycles;
pub mod diagnostics;
mod expressions;
mod fixes;
mod flows;
mod fold;
mod format;
mod functions;
mod graph;
mod library;
mod literals;
mod lower;
mod modules;
mod names;
mod operators;
mod options;
mod params;
mod plans;
mod promises;
mod regexes;
mod rehearsals;
mod requirements;
mod resources;
mod schemas;
mod scopes;
mod settings;
mod signatures;
mod sources;
mod steps;
mod syntax;
mod templates;
mod texts;
mod types;
mod unread;
mod uses;
mod values;
mod visit;

pub mod render;

pub use compile::{Compiled, compile};
pub use diagnostics::{Diagnostic, Severity};
pub use fixes::{Change, Fixed, fix};
pub use format::{Unreadable, format};
pub use library::LibraryError;
pub use modules::normalized as normalized_path;
pub use options::Options;
pub use signatures::Library;
pub use sources::{Files, Position, SourceFile, SourceFiles};
