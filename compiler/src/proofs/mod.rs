//! Checks properties of a complete program: exclusive values, promises and limits. The checks use only the resolved
//! graph.

mod amounts;
mod delivery;
mod resources;

use crate::analysis::graph::Graph;
use crate::diagnostics::Diagnostic;
use crate::signatures::Library;

/// Returns the diagnostics about the complete program.
pub(crate) fn check(graph: &Graph, library: &Library) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    resources::check(graph, &mut diagnostics);
    delivery::check(graph, library, &mut diagnostics);
    amounts::side_by_side(graph, library, &mut diagnostics);
    amounts::answers_in_time(graph, library, &mut diagnostics);
    diagnostics
}
