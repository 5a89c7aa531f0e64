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
                let (component, reason) = (component.to_string(), failure.to_string());
                // The check before the start may have found the same, and knows no setting.
                found.retain(|known| known != &(component.clone(), None, reason.clone()));
                found.push((component, setting, reason));
            }
            found
        }),
        (Err(refused), _) => refused.problems.into_iter().map(of_component).collect(),
        (_, Err(error)) => vec![(String::new(), None, error.to_string())],
    };
    for (component, setting, reason) in found {
        let named = named_setting(&reason).map(str::to_owned);
        let setting = setting.or(named.as_deref());
        let first = || analysis.graph.components.first().map(|component| component.declared.name.to_string());
        let diagnostic = analysis
            .cannot_connect(&component, setting, reason.clone())
            .or_else(|| analysis.cannot_connect(&first()?, None, reason));
        analysis.diagnostics.extend(diagnostic);
    }
}

/// Splits a problem of the build, `sink lake: …`, into the component and the reason.
fn of_component(problem: String) -> (String, Option<&'static str>, String) {
    let split = problem.split_once(": ").and_then(|(who, reason)| Some((who.split_once(' ')?.1, reason)));
    match split {
        Some((component, reason)) => (component.to_owned(), None, reason.to_owned()),
        None => (String::new(), None, problem),
    }
}

/// The setting that a reason begins with or names after a colon: "no client: `url` names…". Of a setting within another one, as in
/// "`ca` of `security`", the other one, which the component has.
fn named_setting(reason: &str) -> Option<&str> {
    let begin = reason.strip_prefix('`').or_else(|| reason.split_once(": `").map(|(_, rest)| rest))?;
    let (name, rest) = begin.split_once('`')?;
    match rest.strip_prefix(" of `") {
        Some(outer) => Some(outer.split_once('`')?.0),
        None => Some(name),
    }
}

#[cfg(test)]
mod tests {
    use super::named_setting;

    #[test]
    fn a_reason_names_the_setting_of_the_component() {
        for (reason, expected) in [
            ("`brokers`: nobody answers", Some("brokers")),
            ("no client: `url` names no server", Some("url")),
            ("`token` of `security`: the token in the file a has expired", Some("security")),
            ("nothing is named", None),
        ] {
            assert_eq!(named_setting(reason), expected, "{reason}");
        }
    }
}
