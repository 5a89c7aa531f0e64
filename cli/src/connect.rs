//! `weir check --connect`: lets the components of a program ask the systems that they need.

use std::sync::Arc;

use tokio::runtime::Builder;
use weir_compiler::{Analysis, lower};
use weir_runtime::agent::Agent;
use weir_runtime::{ConnectFailure, SystemClock};

/// Adds a diagnostic for each system that a component can't use. A program with errors, or one that this version does not
/// carry out, has no components that could ask.
pub(crate) fn check(analysis: &mut Analysis) {
    let Some(plan) = lower(analysis).filter(|_| analysis.not_carried_out().is_empty()) else { return };
    let agent = Agent::build(&plan, &weir_stdlib::registry(), Arc::new(SystemClock));
    let runtime = Builder::new_multi_thread().enable_all().worker_threads(2).build();
    let found: Vec<(String, Option<&str>, String)> = match (agent, runtime) {
        (Ok(mut agent), Ok(runtime)) => runtime.block_on(async {
            let local = agent.probe().await.into_iter();
            let local =
                local.map(|problem| (problem.component.to_string(), None, problem.failure.to_string()));
            let mut found: Vec<_> = local.collect();
            for (component, ConnectFailure { setting, failure }) in agent.connect().await {
                found.push((component.to_string(), setting, failure.to_string()));
            }
            found
        }),
        (Err(refused), _) => {
            refused.problems.into_iter().map(|problem| (String::new(), None, problem)).collect()
        }
        (_, Err(error)) => vec![(String::new(), None, error.to_string())],
    };
    for (component, setting, reason) in found {
        let first = || analysis.graph.components.first().map(|component| component.declared.name.to_string());
        let diagnostic = analysis
            .cannot_connect(&component, setting, reason.clone())
            .or_else(|| analysis.cannot_connect(&first()?, None, reason));
        analysis.diagnostics.extend(diagnostic);
    }
}
