//! What is derived about the delivery of the correct programs, and how it holds together with the promises.

use weir_compiler::analysis::{Effect, PathProof, Rule};
use weir_compiler::render;

use crate::fixtures::{Fixture, check_with, library_with, root};
use crate::right_programs;

#[test]
fn proofs_read_as_before() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(root().join("tests/language/proofs"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for program in right_programs() {
        let analysis = program.check();
        let proofs = render::proofs(&analysis, false);
        settings.bind(|| insta::assert_snapshot!(program.name, proofs));
    }
}

/// What the JSON says of a flow, and what the text says.
#[test]
fn the_json_says_what_the_text_says() {
    for program in right_programs() {
        let analysis = program.check();
        let text = render::proofs(&analysis, true);
        let json: serde_json::Value = serde_json::from_str(&render::proofs_json([&analysis])).unwrap();
        let paths = json[0]["flows"].as_array().unwrap().iter().flat_map(|flow| {
            assert_eq!(flow["kept"], true, "{}", program.name);
            flow["paths"].as_array().unwrap()
        });
        for path in paths {
            for answer in ["lost", "repeated"] {
                let may = path[answer]["may"].as_bool().unwrap();
                assert_eq!(may, !path[answer]["reasons"].as_array().unwrap().is_empty(), "{}", program.name);
            }
        }
        let flows = text.lines().filter(|line| line.starts_with("flow ")).count();
        assert_eq!(json[0]["flows"].as_array().unwrap().len(), flows, "{}", program.name);
    }
}

/// A flow keeps what the derivation calls its strongest promise, and no stronger one.
#[test]
fn the_strongest_promise_is_kept() {
    let library = library_with(None);
    let promises = ["best_effort", "at_most_once", "at_least_once", "exactly_once"];
    let mut tried = 0;
    for program in Fixture::all("right") {
        let analysis = program.check();
        // A promise of one flow decides whether another one is kept.
        let [flow] = &*analysis.graph.flows else { continue };
        let stated = flow.promised.as_ref().unwrap();
        if stated.span == flow.span || program.path.with_extension("library").exists() {
            continue;
        }
        let proof = &analysis.proofs.flows[0];
        let strongest = proof.strongest.to_string();
        let repeats = |path: &PathProof| {
            !path.is_optional && path.because(Effect::Repeats).any(|reason| reason.rule != Rule::NotPromised)
        };
        let repeats = proof.paths.iter().any(repeats);
        for promise in promises {
            let mut text = program.text.clone();
            text.replace_range(stated.span.start as usize..stated.span.end as usize, promise);
            let other = check_with("other.flow", &text, &library);
            let refused = other.diagnostics.iter().any(|diagnostic| diagnostic.code() == "E0703");
            let kept = match (promise, strongest.as_str()) {
                ("best_effort", _) | (_, "exactly_once") => true,
                // It loses events only where positions are stored: each of the two promises can be kept, and not both.
                ("at_most_once", "at_least_once") => !repeats,
                (promise, strongest) => promise == strongest,
            };
            assert_eq!(!refused, kept, "{}: {promise}, the strongest is {strongest}", program.name);
            tried += 1;
        }
    }
    assert!(tried > 60, "{tried} promises were tried");
}

/// The least programs of a family that must be refused, and the least that must pass.
const OF_A_FAMILY: usize = 25;

/// What is proven is shown by programs on both sides: delivery (E07), resources (E08), security (E09).
#[test]
fn each_family_has_programs_that_are_refused_and_programs_that_pass() {
    type Passes = fn(&Fixture) -> bool;
    let families: [(&str, Passes); 3] = [
        ("E07", |program| program.text.contains(" delivers ")),
        ("E08", |program| ["agent {", "expect:", "roll:"].iter().any(|word| program.text.contains(word))),
        ("E09", |program| program.name.starts_with("security_")),
    ];
    let (right, wrong) = (Fixture::all("right"), Fixture::all("wrong"));
    for (family, passes) in families {
        let is_refused = |program: &&Fixture| program.expected.iter().any(|line| line.starts_with(family));
        let refused = wrong.iter().filter(is_refused).count();
        let proven = right.iter().filter(|program| passes(program)).count();
        assert!(refused.min(proven) >= OF_A_FAMILY, "{family}: {refused} are refused, {proven} pass");
    }
}
