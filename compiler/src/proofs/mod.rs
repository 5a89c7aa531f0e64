//! Checks properties of a complete program: exclusive values, promises and limits. The checks use only the resolved
//! graph.

mod amounts;
mod delivery;
mod entries;
mod own_outputs;
pub(crate) mod resources;
mod security;

use weir_grammar::FileId;

use crate::analysis::expressions::UseList;
use crate::analysis::graph::Graph;
use crate::analysis::proofs::Proofs;
use crate::analysis::settings::Settings;
use crate::diagnostics::Diagnostic;
use crate::files::sources::Files;
use crate::signatures::Library;

/// Returns what was derived about the complete program, and the diagnostics about it. `entry` is the program's first file.
pub(crate) fn check(
    graph: &Graph,
    library: &Library,
    files: &Files,
    uses: &UseList,
    entry: Option<FileId>,
    agent: Option<&Settings>,
) -> (Proofs, Vec<Diagnostic>) {
    let mut diagnostics = Vec::new();
    resources::exclusive(graph, &mut diagnostics);
    let mut proofs = delivery::check(graph, library, files, uses, entry, &mut diagnostics);
    proofs.resources = resources::check(graph, library, agent, &mut diagnostics);
    own_outputs::check(graph, &proofs, &mut diagnostics);
    amounts::side_by_side(graph, library, &mut diagnostics);
    amounts::answers_in_time(graph, library, &mut diagnostics);
    let input = security::Input { graph, library, files, uses, entry };
    proofs.security = security::check(&input, &mut diagnostics);
    (proofs, diagnostics)
}
