//! The rules that refuse promises, each with a run that shows it.
//!
//! `rules.txt` has a line for each rule and each of its effects: the seed of a pipeline and the seed of a run, in which the effect
//! happens and the rule is the only reason for it; or `unshown:` and why no run shows it. `WEIR_RULES=5000` searches that many
//! pipelines and writes the runs that it finds.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use weir_compiler::analysis::{Effect, Rule};
use weir_runtime::number_from_environment;

use super::play::{Compiled, analysed, compile};
use super::{generate, shrink, text_of, verdict};
use crate::suite::in_threads;

/// The file of the runs.
const FILE: &str = include_str!("rules.txt");
/// The runs of each pipeline of a search.
const RUNS: u64 = 12;
/// The beginning of the file.
const HEAD: &str = "# rule, effect, then the seeds of a pipeline and of a run that shows it, or why no run does; `WEIR_RULES` writes it
";

/// What the file says of an effect of a rule.
#[derive(Debug, Clone)]
enum Entry {
    /// A run of a pipeline shows it.
    Shown { pipeline: u64, run: u64 },
    /// No run does, for a reason.
    Unshown(String),
}

type Entries = BTreeMap<(Rule, Effect), Entry>;

/// All effects of all rules.
fn effects() -> impl Iterator<Item = (Rule, Effect)> {
    Rule::ALL.into_iter().flat_map(|rule| rule.effects().iter().map(move |effect| (rule, *effect)))
}

/// Reads the file.
///
/// # Panics
/// When a line has no meaning, or two lines are about the same.
fn entries(file: &str) -> Entries {
    let mut entries = Entries::new();
    for line in file.lines().filter(|line| !line.starts_with('#')) {
        let mut words = line.splitn(3, ' ');
        let (rule, effect, rest) = (words.next(), words.next(), words.next().unwrap_or_default());
        let is_about = |(of, with): &(Rule, Effect)| Some(of.name()) == rule && Some(with.name()) == effect;
        let key = effects().find(is_about).unwrap_or_else(|| panic!("no rule has this effect: {line}"));
        let entry = match rest.strip_prefix("unshown: ") {
            Some(reason) => Entry::Unshown(reason.to_owned()),
            None => {
                let seeds = rest.split_once(' ').and_then(|(pipeline, run)| {
                    Some(Entry::Shown { pipeline: pipeline.parse().ok()?, run: run.parse().ok()? })
                });
                seeds.unwrap_or_else(|| panic!("neither two seeds nor `unshown: REASON`: {line}"))
            }
        };
        assert!(entries.insert(key, entry).is_none(), "a second line about this: {line}");
    }
    entries
}

/// Whether a run of a pipeline shows an effect of a rule.
fn shows(compiled: &Compiled, run: u64, of: (Rule, Effect)) -> bool {
    verdict(compiled, run).is_ok_and(|found| found.shown.contains(&of))
}

/// Whether this run of the pipeline of a seed shows an effect of a rule.
fn is_shown(pipeline: u64, run: u64, of: (Rule, Effect)) -> bool {
    compile(generate::pipeline(pipeline)).is_ok_and(|compiled| shows(&compiled, run, of))
}

/// A rule of the compiler that is in no line fails the test, so that its author looks for a run that needs it.
#[test]
fn each_rule_is_shown_by_a_run_or_named() {
    if let Some(pipelines) = number_from_environment("WEIR_RULES") {
        search(pipelines);
        return;
    }
    let (entries, mut failed) = (entries(FILE), Vec::new());
    for (of, entry) in &entries {
        let (rule, effect) = (of.0.name(), of.1.name());
        match entry {
            Entry::Unshown(reason) => println!("no run shows that `{rule}` {effect}: {reason}"),
            Entry::Shown { pipeline, run } => {
                if !is_shown(*pipeline, *run, *of) {
                    failed.push(format!("`{rule}` {effect} (WEIR_SEED={pipeline}, run {run})"));
                }
            }
        }
    }
    assert!(failed.is_empty(), "not shown by its run: {}; WEIR_RULES=5000 searches again", failed.join(", "));
    let missing = effects().filter(|of| !entries.contains_key(of));
    let missing: Vec<String> =
        missing.map(|(rule, effect)| format!("`{} {}`", rule.name(), effect.name())).collect();
    assert!(
        missing.is_empty(),
        "rules.txt has no line for {}: WEIR_RULES=5000 searches runs; if it finds none, mend the rule, or write why",
        missing.join(", ")
    );
}

/// What is not derived is not promised, neither for the first paths nor for an order.
#[test]
fn more_paths_than_are_derived_are_not_proven() {
    const BRANCHES: usize = 71;
    let program = |branches: usize| {
        let list = |name: &dyn Fn(usize) -> String| (0..branches).map(name).collect::<Vec<_>>().join(", ");
        let mut text = String::from("source made = generate { count: 10 }\n");
        let mut paths = format!("  made -> copy {{ {} }}\n", list(&|channel| format!("c{channel}")));
        for channel in 0..branches {
            let _ = writeln!(text, "channel c{channel} = memory {{}}");
            let _ =
                writeln!(paths, "  c{channel} -> copy {{ {} }}", list(&|sink| format!("k{channel}_{sink}")));
            for sink in 0..branches {
                let _ = writeln!(text, "sink k{channel}_{sink} = null {{}}");
            }
        }
        format!("{text}flow main delivers best_effort, ordered totally {{\n{paths}}}\n")
    };
    let codes = |branches| {
        let analysis = analysed(&program(branches));
        let errors = analysis.diagnostics.iter().map(|error| error.code().to_owned());
        (errors.collect::<Vec<_>>(), analysis.proofs.flows[0].complete)
    };
    assert_eq!(codes(2), (Vec::new(), true));
    assert_eq!(codes(BRANCHES), (vec!["E0705".to_owned()], false));
}

/// Searches runs that show the rules, and writes the file. What it does not find stays: reasons, and other runs.
fn search(pipelines: u64) {
    let seeds: Vec<u64> = (0..pipelines).collect();
    let found = in_threads(&seeds, 2, |seed| shown_by(*seed), |_| Vec::new());
    let mut smallest: BTreeMap<(Rule, Effect), Found> = BTreeMap::new();
    for found in found.into_iter().flatten() {
        let known = smallest.entry(found.of).or_insert_with(|| found.clone());
        if found.size < known.size {
            *known = found;
        }
    }
    let mut all = entries(FILE);
    all.retain(|of, entry| match entry {
        _ if smallest.contains_key(of) => false,
        Entry::Unshown(_) => true,
        Entry::Shown { pipeline, run } => is_shown(*pipeline, *run, *of),
    });
    for (of, Found { pipeline, run, .. }) in &smallest {
        all.insert(*of, Entry::Shown { pipeline: *pipeline, run: *run });
    }
    let mut lines = HEAD.to_owned();
    for ((rule, effect), entry) in &all {
        let what = match entry {
            Entry::Shown { pipeline, run } => format!("{pipeline} {run}"),
            Entry::Unshown(reason) => format!("unshown: {reason}"),
        };
        let _ = writeln!(lines, "{} {} {what}", rule.name(), effect.name());
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/held/rules.txt");
    std::fs::write(path, &lines).expect("the file can be written");
    println!("{lines}");
    for (rule, effect) in effects().filter(|of| !all.contains_key(of)) {
        println!("no run shows that `{}` {}", rule.name(), effect.name());
    }
    for (of, Found { pipeline, run, .. }) in &smallest {
        let pipeline = generate::pipeline(*pipeline);
        let shows = |small: &Compiled, run: u64| shows(small, run, *of);
        let (small, run) = shrink::shrink(pipeline, *run, &shows);
        println!("`{}` {}, run {run}:\n{}", of.0.name(), of.1.name(), text_of(&small));
    }
}

#[derive(Clone)]
struct Found {
    of: (Rule, Effect),
    pipeline: u64,
    run: u64,
    /// The bytes of the pipeline's text.
    size: usize,
}

/// Returns what the runs of a pipeline show.
fn shown_by(seed: u64) -> Vec<Found> {
    let pipeline = generate::pipeline(seed);
    let size = text_of(&pipeline).len();
    let Ok(compiled) = compile(pipeline) else { return Vec::new() };
    let mut all: Vec<Found> = Vec::new();
    for run in seed * RUNS..(seed + 1) * RUNS {
        let Ok(found) = verdict(&compiled, run) else { continue };
        all.extend(found.shown.into_iter().map(|of| Found { of, pipeline: seed, run, size }));
    }
    all
}
