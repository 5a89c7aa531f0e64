//! From a program's text to its plan in one call.

use weir_plan::Plan;

use crate::analyse::analyse;
use crate::analysis::Analysis;
use crate::diagnostics::{Diagnostic, Severity};
use crate::files::sources::{Files, SourceFiles};
use crate::lowering::lower;
use crate::options::Options;
use crate::signatures::Library;

/// What became of a program.
#[derive(Debug)]
pub struct Compiled {
    /// The plan, if nothing is wrong; warnings don't count.
    pub plan: Option<Plan>,
    /// Everything that is wrong, sorted by place.
    pub diagnostics: Vec<Diagnostic>,
    /// The files that diagnostics point into.
    pub files: Files,
}

impl Compiled {
    /// Whether there are errors.
    pub fn has_errors(&self) -> bool {
        self.diagnostics.iter().any(|diagnostic| diagnostic.severity() == Severity::Error)
    }
}

/// Compiles the program in a file: [`analyse`], then [`lower`].
pub fn compile(sources: &dyn SourceFiles, entry: &str, library: &Library, options: &Options) -> Compiled {
    let analysis = analyse(sources, entry, library, options);
    let plan = lower(&analysis);
    let Analysis { diagnostics, files, .. } = analysis;
    Compiled { plan, diagnostics, files }
}
