//! The Weir compiler: names, types, checks, diagnostics and lowering to a plan.
//!
//! [`analyse`] takes a program's text and the library's signatures and returns an [`analysis`]: the names, types and
//! graph of the program, and all diagnostics. [`lower`] makes the plan of an analysis.
//!
//! This crate must not depend on the name of any component or on the execution of plans. It opens no file and no
//! connection: it gets text through [`SourceFiles`], and the library as an argument.

mod access;
mod analyse;
pub mod analysis;
mod checker;
mod completion;
pub mod diagnostics;
mod differences;
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
mod unsupported;
mod values;

pub use access::{Access, AccessKind, AgentPlaces, access};
pub use analyse::analyse;
pub use analysis::Analysis;
pub use completion::{Candidate, CandidateKind, Completions, Part, Place, complete};
pub use diagnostics::{Diagnostic, Severity};
pub use differences::{Difference, Effect, PlanChange, differences};
pub use files::modules::normalized as normalized_path;
pub use files::sources::{Files, Position, SourceFile, SourceFiles};
pub use fixes::{Change, Fixed, fix, fix_certain};
pub use format::{Unreadable, format};
pub use library::LibraryError;
pub use lowering::{ALONE, ALONE_NAMES, PathPlaces, lower, lower_alone, lower_with_unread, places};
pub use names::definitions::styled_name;
pub use options::Options;
pub use signatures::Library;
pub use types::is_built_in_type;
