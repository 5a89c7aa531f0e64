//! What a program as a whole must keep, and how it is shown that it does. The proofs read the resolved graph alone.

mod amounts;
mod delivery;
mod resources;

use crate::analysis::graph::Graph;
use crate::diagnostics::Diagnostic;
use crate::signatures::Library;

/// Everything that the program as a whole does not keep.
pub(crate) fn check(graph: &Graph, library: &Library) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    resources::check(graph, &mut diagnostics);
    delivery::check(graph, library, &mut diagnostics);
    amounts::side_by_side(graph, library, &mut diagnostics);
    amounts::answers_in_time(graph, library, &mut diagnostics);
    diagnostics
}
