//! Holds what the compiler refuses and warns of against what the runtime refuses: a plan need not come from this compiler.

use weir_compiler::analysis::{Effect, FlowProof, Rule};

use super::generate;
use super::play::{Compiled, compile};

/// The pipelines that are compared.
const PIPELINES: u64 = 1_000;

/// The rules by which the runtime refuses a plan too. All others are about classes, settings and promises of single components, or
/// only about the order.
const CHECKED_AGAIN: [Rule; 12] = [
    Rule::DecisionBehindChannel,
    Rule::DecisionBeforeChannel,
    Rule::HeaderVaries,
    Rule::TableVaries,
    Rule::Balance,
    Rule::Failover,
    Rule::ExplodeBehindChannel,
    Rule::ExplodeBeforeVolatile,
    Rule::CopiesOfOnePosition,
    Rule::RejectedElement,
    Rule::VolatileRejects,
    Rule::StepVaries,
];

/// Returns the first rule that refuses the promise of a flow and that the runtime checks again.
fn refused_by(compiled: &Compiled, proof: &FlowProof) -> Option<Rule> {
    let promised = compiled.analysis.graph.flows[proof.flow].promised.as_ref()?.delivery;
    let required = proof.paths.iter().filter(|path| !path.is_optional);
    let mut reasons = required.flat_map(|path| &path.reasons).filter(|reason| {
        let breaks = |effect: &Effect| match effect {
            Effect::Loses => promised.never_loses(),
            Effect::Repeats => promised.never_repeats(),
            Effect::Reorders => false,
        };
        let happens = !reason.with_positions || promised.never_repeats();
        happens && CHECKED_AGAIN.contains(&reason.rule) && reason.effects.iter().any(breaks)
    });
    reasons.next().map(|reason| reason.rule)
}

/// Returns the pipeline of a seed, if it can be compared.
fn comparable(seed: u64) -> Option<Compiled> {
    let pipeline = generate::pipeline(seed);
    // Each flow is checked alone by the runtime, so that it does not see a promise that another flow breaks.
    let promises: Vec<_> = pipeline.flows.iter().map(|flow| flow.promise).collect();
    compile(pipeline).ok().filter(|_| promises.iter().all(|one| *one == promises[0]))
}

/// Returns how the compiler and the runtime differ about a pipeline, in words.
fn difference(seed: u64, compiled: &Compiled) -> Option<String> {
    let built = compiled.build();
    let differs = match compiled.analysis.has_errors() {
        false => {
            let warnings = compiled.analysis.not_carried_out();
            let said: Vec<String> = warnings.iter().map(|warning| warning.describe().message).collect();
            match (&built, &*said) {
                (Ok(()), []) | (Err(_), [_, ..]) => return None,
                (Ok(()), said) => format!("the compiler says {said:?}, and the runtime builds the agent"),
                (Err(error), []) => format!("the compiler says nothing, and the runtime says {error}"),
            }
        }
        true => {
            let rule = compiled.analysis.proofs.flows.iter().find_map(|proof| refused_by(compiled, proof))?;
            built.ok()?;
            format!("the compiler refuses a promise by `{}`, and the runtime builds the agent", rule.name())
        }
    };
    Some(format!("WEIR_SEED={seed}: {differs}"))
}

#[test]
fn the_runtime_refuses_what_the_compiler_refuses() {
    let mut compared = 0;
    let mut differences = Vec::new();
    for (seed, compiled) in (0..PIPELINES).filter_map(|seed| Some((seed, comparable(seed)?))) {
        compared += 1;
        differences.extend(difference(seed, &compiled));
    }
    assert!(compared > PIPELINES / 2, "only {compared} pipelines were compared");
    assert!(differences.is_empty(), "{} pipelines:\n{}", differences.len(), differences.join("\n"));
}
