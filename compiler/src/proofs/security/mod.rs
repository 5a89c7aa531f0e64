//! Where sensitive columns and secrets go, and what components expose to the network.

mod held;
mod leaks;
mod links;
mod reading;
mod taint;

use weir_grammar::{FileId, Span};

use crate::analysis::expressions::UseList;
use crate::analysis::graph::{Graph, Step};
use crate::analysis::proofs::SecurityProof;
use crate::diagnostics::Diagnostic;
use crate::files::sources::Files;
use crate::signatures::Library;

/// The graph of a program, with the tables to look up its places.
pub(super) struct Input<'a> {
    pub(super) graph: &'a Graph,
    pub(super) library: &'a Library,
    pub(super) files: &'a Files,
    pub(super) uses: &'a UseList,
    pub(super) entry: Option<FileId>,
}

impl Input<'_> {
    /// Returns the place of a step in the program's own text.
    fn place(&self, step: &Step) -> Span {
        self.uses.place(self.entry, step.span, step.used)
    }
}

/// Returns what leaves the agent by permission, and reports what does so without.
pub(super) fn check(input: &Input<'_>, diagnostics: &mut Vec<Diagnostic>) -> SecurityProof {
    let allowed = leaks::check(input, diagnostics);
    SecurityProof { allowed, links: links::check(input, diagnostics) }
}
