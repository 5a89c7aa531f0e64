//! The Weir compiler: names, types, checks, diagnostics and lowering to a plan.
//!
//! [`analyse`] takes a program's text and the library's signatures and gives back an [`analysis`]: everything that the
//! compiler knows of the program, with every mistake that the program has. [`lower`] makes the plan of an analysis.
//!
//! This crate must not know any component by name, nor how plans are run. It opens no file and no
//! connection: text arrives through [`SourceFiles`], the library as an argument.

mod analyse;
pub mod analysis;
mod checker;
pub mod diagnostics;
mod expressions;
mod files;
mod fixes;
mod flows;
mod format;
mod library;
mod lowering;
mod names;
mod options;
mod plans;
mod program_tests;
mod proofs;
pub mod render;
mod signatures;
mod spelling;
mod steps;
mod types;
mod typing;
mod values;

pub use analyse::analyse;
pub use analysis::Analysis;
pub use diagnostics::{Diagnostic, Severity};
pub use files::modules::normalized as normalized_path;
pub use files::sources::{Files, Position, SourceFile, SourceFiles};
pub use fixes::{Change, Fixed, fix};
pub use format::{Unreadable, format};
pub use library::LibraryError;
pub use lowering::lower;
pub use options::Options;
pub use signatures::Library;
