//! Where sensitive columns and secrets go, and what components expose to the network.

mod held;
mod leaks;
mod links;
mod reading;
mod taint;

use weir_grammar::FileId;

use crate::analysis::expressions::UseList;
use crate::analysis::graph::Graph;
use crate::analysis::proofs::SecurityProof;
use crate::diagnostics::Diagnostic;
use crate::files::sources::Files;
use crate::signatures::Library;

/// What the analysis reads.
pub(super) struct Input<'a> {
    pub(super) graph: &'a Graph,
    pub(super) library: &'a Library,
    pub(super) files: &'a Files,
    pub(super) uses: &'a UseList,
    pub(super) entry: Option<FileId>,
}

/// Returns what leaves the agent by permission, and reports what does so without.
pub(super) fn check(input: &Input<'_>, diagnostics: &mut Vec<Diagnostic>) -> SecurityProof {
    let allowed = leaks::check(input, diagnostics);
    SecurityProof { allowed, links: links::check(input, diagnostics) }
}
