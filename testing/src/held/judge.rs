//! Compares what came of a run with what the compiler has derived.

use std::collections::{BTreeMap, BTreeSet};

use weir_compiler::analysis::{Effect, HopKind, KeptOrder, PathProof, Reason, Rule};

use super::play::{Compiled, Played};
use super::sinks::{Arrived, number_of};
use super::sources::{EVENTS, NUMBERS};
use super::wanted::Counts;

/// What a run has shown.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// What is worse than what was derived, in words.
    pub(super) worse: Vec<String>,
    /// The rules of which one alone explains what has happened, each with the effect.
    pub(super) shown: BTreeSet<(Rule, Effect)>,
}

/// Returns whether a reason counts on a path: without stored positions, some effects don't happen.
fn counts(reason: &Reason, path: &PathProof, stores: &[bool]) -> bool {
    !reason.with_positions || path.flows.iter().any(|flow| stores[*flow])
}

/// Judges a run.
pub(super) fn judge(compiled: &Compiled, played: &Played) -> Verdict {
    let mut judge = Judge { compiled, played, verdict: Verdict::default(), paths: BTreeMap::new() };
    for path in compiled.analysis.proofs.flows.iter().flat_map(|flow| &flow.paths) {
        let mut components = path.hops.iter().filter(|hop| matches!(hop.kind, HopKind::Component(_)));
        let (Some(first), Some(last)) = (components.next(), components.next_back()) else { continue };
        if let (Some(source), Some(sink)) = (number(&first.name, 's'), number(&last.name, 'k')) {
            judge.paths.entry((source, sink)).or_default().push(path);
        }
    }
    for source in 0..compiled.pipeline.sources.len() {
        judge.events(source);
    }
    for sink in 0..compiled.pipeline.sinks.len() {
        judge.order(sink);
    }
    judge.verdict
}

fn number(name: &str, sign: char) -> Option<usize> {
    name.strip_prefix(sign)?.parse().ok()
}

struct Judge<'j> {
    compiled: &'j Compiled,
    played: &'j Played,
    verdict: Verdict,
    /// The paths from each source to each sink.
    paths: BTreeMap<(usize, usize), Vec<&'j PathProof>>,
}

impl Judge<'_> {
    /// The rules that explain an effect on the events of a source that were to come to these sinks.
    fn rules(&self, source: usize, sinks: &BTreeSet<usize>, effect: Effect) -> BTreeSet<Rule> {
        let graph = &self.compiled.analysis.graph;
        let promised = graph
            .flows
            .iter()
            .map(|flow| flow.promised.as_ref().is_some_and(|promised| promised.delivery.never_repeats()));
        let stores: Vec<bool> = promised.collect();
        let paths = sinks.iter().filter_map(|sink| self.paths.get(&(source, *sink))).flatten();
        let reasons =
            paths.flat_map(|path| path.because(effect).filter(|reason| counts(reason, path, &stores)));
        reasons.map(|reason| reason.rule).collect()
    }

    fn found(&mut self, rules: &BTreeSet<Rule>, effect: Effect, what: impl FnOnce() -> String) {
        match rules.iter().collect::<Vec<_>>()[..] {
            [] => self.verdict.worse.push(what()),
            [rule] => drop(self.verdict.shown.insert((*rule, effect))),
            _ => {}
        }
    }

    /// Compares the events of a source with what must become of them.
    fn events(&mut self, source: usize) {
        let mut all: BTreeMap<u64, Counts> = BTreeMap::new();
        for (sink, arrived) in self.played.arrived.iter().enumerate() {
            for Arrived { lineage, element, .. } in arrived {
                let (from, number) = number_of(*lineage);
                if from == source {
                    *all.entry(number).or_default().entry((sink, *element)).or_default() += 1;
                }
            }
        }
        for event in 0..EVENTS {
            let number = source as u64 * NUMBERS + event;
            let wanted = self.compiled.pipeline.wanted(source, number);
            let counts = all.remove(&number).unwrap_or_default();
            for sinks in wanted.lost(&counts) {
                let rules = self.rules(source, &sinks, Effect::Loses);
                self.found(&rules, Effect::Loses, || {
                    format!("event {number} is lost: it had to come to {sinks:?}, of {wanted:?} it came to {counts:?}")
                });
            }
            let sinks = wanted.repeated(&counts);
            if !sinks.is_empty() {
                let rules = self.rules(source, &sinks, Effect::Repeats);
                self.found(&rules, Effect::Repeats, || {
                    format!("event {number} is repeated at {sinks:?}: of {wanted:?} it came to {counts:?}")
                });
            }
            let strayed = wanted.strayed(&counts);
            if !strayed.is_empty() {
                let what =
                    format!("event {number} came to {strayed:?}, where it does not belong: {wanted:?}");
                self.verdict.worse.push(what);
            }
        }
    }

    /// Compares the order of the first arrivals at a sink with the order that each source's paths keep.
    fn order(&mut self, sink: usize) {
        let mut seen = BTreeSet::new();
        let first =
            self.played.arrived[sink].iter().filter(|event| seen.insert((event.lineage, event.element)));
        let first: Vec<&Arrived> = first.collect();
        for source in 0..self.compiled.pipeline.sources.len() {
            let Some(paths) = self.paths.get(&(source, sink)).cloned() else { continue };
            let paths: Vec<_> =
                paths.into_iter().filter(|path| !path.is_optional && !path.is_rejects).collect();
            let Some(path) = paths.first() else { continue };
            for kept in [Kept::Total, Kept::Sequence, Kept::By("@key"), Kept::By("key"), Kept::By("other")] {
                let mut came = first.iter().filter(|event| number_of(event.lineage).0 == source);
                let Some(what) = self.disorder(source, kept, &mut came) else { continue };
                if paths.iter().all(|path| kept.is_derived(&path.order)) {
                    let what = format!("at sink {sink}, {what}, although {:?} is derived", path.order);
                    self.verdict.worse.push(what);
                } else if let Some(rule) = kept.broken_by(path) {
                    self.verdict.shown.insert((rule, Effect::Reorders));
                }
            }
        }
    }

    /// Returns the first event that came behind a later one, in words.
    fn disorder<'a>(
        &self,
        source: usize,
        kept: Kept,
        came: &mut dyn Iterator<Item = &'a &'a Arrived>,
    ) -> Option<String> {
        let mut last: BTreeMap<(String, String), u64> = BTreeMap::new();
        for event in came {
            let (_, number) = number_of(event.lineage);
            let position = number - source as u64 * NUMBERS;
            let group = match kept {
                Kept::Total => String::new(),
                Kept::Sequence => self.played.sequences[source][position as usize].to_string(),
                Kept::By(column) => match event.columns.get(column) {
                    Some(value) => value.clone(),
                    None => continue,
                },
            };
            let before = last.insert((event.place.clone(), group), number);
            if let Some(before) = before.filter(|before| *before > number) {
                return Some(format!(
                    "event {number} came behind {before} in {:?}: {kept:?} is broken",
                    event.place
                ));
            }
        }
        None
    }
}

/// An order that may be kept.
#[derive(Debug, Clone, Copy)]
enum Kept {
    Total,
    /// Of each partition of the source.
    Sequence,
    By(&'static str),
}

impl Kept {
    fn is_derived(self, order: &KeptOrder) -> bool {
        match (self, order) {
            (_, KeptOrder::Total) | (Kept::Sequence, KeptOrder::Partition(_)) => true,
            (Kept::By(column), KeptOrder::Partition(keys) | KeptOrder::By(keys)) => {
                keys.iter().any(|key| key == column)
            }
            _ => false,
        }
    }

    /// Returns the only rule by which a path does not keep this order.
    fn broken_by(self, path: &PathProof) -> Option<Rule> {
        let mut rules: BTreeSet<Rule> = path.disorder.iter().map(|reason| reason.rule).collect();
        if !matches!(self, Kept::Total) {
            rules.remove(&Rule::PartitionsOfSource);
        }
        match rules.into_iter().collect::<Vec<_>>()[..] {
            [rule] => Some(rule),
            _ => None,
        }
    }
}
