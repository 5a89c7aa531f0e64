//! Coverage: the steps, branches, rejecting steps and rules of a program that the events of its tests have reached.

use std::collections::{BTreeMap, BTreeSet};

use weir_compiler::analysis::program_tests::{ProgramTest, TestContent};
use weir_compiler::{Analysis, Files, places};
use weir_grammar::tree::{ItemKind, Quality};
use weir_grammar::{FileId, Span};
use weir_plan::{Action, Leg, Plan, Rule};

use crate::program::Staged;
use crate::watching::Reached;

/// A part of a program that tests can reach.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// A step, which an event came to.
    Step,
    /// A branch of a `match` or a `balance by`, which an event took.
    Branch,
    /// A step that can reject events, and has rejected one.
    Rejection,
    /// A rule of a quality, which an event has broken.
    Rule,
}

impl Part {
    /// Returns the part in words.
    pub fn in_words(self) -> &'static str {
        match self {
            Part::Step => "step",
            Part::Branch => "branch",
            Part::Rejection => "rejection",
            Part::Rule => "rule",
        }
    }
}

/// The parts of a program, each with the number of tests that have reached it.
#[derive(Debug, Clone, Default)]
pub struct Coverage {
    /// The number of tests, by part and place.
    pub parts: BTreeMap<(Span, Part), u64>,
}

/// The places that one test has reached.
pub type ReachedPlaces = BTreeSet<(Span, Part)>;

/// Returns the places of what a test has reached.
pub(crate) fn places_of(analysis: &Analysis, test: &ProgramTest, reached: &Reached) -> ReachedPlaces {
    let mut found = BTreeSet::new();
    match &test.content {
        TestContent::Alone(steps) => {
            let places = steps.places();
            let of =
                |(_, path, step): &(usize, usize, usize)| places.get(*step).copied().filter(|_| *path == 0);
            found.extend(reached.steps.iter().filter_map(of).map(|span| (span, Part::Step)));
            found.extend(reached.rejecting.iter().filter_map(of).map(|span| (span, Part::Rejection)));
        }
        TestContent::Program(_) => {
            let flows = places(analysis);
            let path = |flow: usize, path: usize| flows.get(flow).and_then(|paths| paths.get(path));
            let step =
                |(flow, index, step): &(usize, usize, usize)| path(*flow, *index)?.steps.get(*step).copied();
            found.extend(reached.steps.iter().filter_map(step).map(|span| (span, Part::Step)));
            found.extend(reached.rejecting.iter().filter_map(step).map(|span| (span, Part::Rejection)));
            let branches = reached.branches.iter().filter_map(|(flow, index, route, branch)| {
                path(*flow, *index)?.routes.get(*route)?.get(*branch).copied()
            });
            found.extend(branches.map(|span| (span, Part::Branch)));
        }
    }
    found
}

/// Returns the rules of the qualities that the steps of a plan check, with their places.
fn rules(analysis: &Analysis, plan: &Plan) -> BTreeMap<(String, String), Span> {
    let files = analysis.program_files().filter_map(|name| analysis.file_named(name));
    let items = files.filter_map(|file| analysis.tree(file)).flat_map(|tree| &tree.items);
    let qualities: Vec<&Quality> = items
        .filter_map(|item| match &item.kind {
            ItemKind::Quality(quality) => Some(quality),
            _ => None,
        })
        .collect();
    let mut checks = Vec::new();
    plan.flows.iter().flat_map(|flow| &flow.paths).for_each(|path| checked(&path.leg, &mut checks));
    let mut found = BTreeMap::new();
    for (name, rules) in checks {
        let quality = qualities.iter().find(|quality| *quality.name.text == *name);
        let places = quality.into_iter().flat_map(|quality| &quality.rules);
        for (rule, written) in rules.iter().zip(places) {
            found.insert((name.to_owned(), rule.name.clone()), written.condition.span);
        }
    }
    found
}

/// Collects the qualities that the steps of a leg check, and of the legs behind it.
fn checked<'p>(leg: &'p Leg, found: &mut Vec<(&'p str, &'p [Rule])>) {
    found.extend(leg.steps.iter().filter_map(|step| match &step.action {
        Action::Check { quality, rules } => Some((quality.as_str(), rules.as_slice())),
        _ => None,
    }));
    leg.to.legs().into_iter().for_each(|leg| checked(leg, found));
}

/// Returns the places of the rules that events have broken.
pub(crate) fn broken_rules(staged: &Staged, broken: &BTreeSet<(String, String)>) -> ReachedPlaces {
    if broken.is_empty() {
        return ReachedPlaces::new();
    }
    let rules = rules(&staged.analysis, &staged.plan).into_iter();
    rules.filter(|(rule, _)| broken.contains(rule)).map(|(_, span)| (span, Part::Rule)).collect()
}

impl Coverage {
    /// Collects the parts of a program, all of them without tests.
    pub(crate) fn of(analysis: &Analysis, plan: &Plan) -> Coverage {
        let own: Vec<FileId> =
            analysis.program_files().filter_map(|name| analysis.file_named(name)).collect();
        let mut parts = BTreeMap::new();
        let mut add = |span: Span, part: Part| {
            if own.contains(&span.file) {
                parts.insert((span, part), 0);
            }
        };
        for (flow, places) in plan.flows.iter().zip(places(analysis)) {
            for (path, places) in flow.paths.iter().zip(places) {
                places.steps.iter().for_each(|span| add(*span, Part::Step));
                places.routes.iter().flatten().for_each(|span| add(*span, Part::Branch));
                let mut rejects = Vec::new();
                rejecting(&path.leg, &mut rejects);
                let rejecting = places.steps.iter().zip(rejects).filter(|(_, rejects)| *rejects);
                rejecting.for_each(|(span, _)| add(*span, Part::Rejection));
            }
        }
        rules(analysis, plan).values().for_each(|span| add(*span, Part::Rule));
        Coverage { parts }
    }

    /// Counts what a test has reached. Parts of other programs are left out, but steps of interceptors that are tested alone
    /// are added.
    pub fn add(&mut self, reached: &ReachedPlaces) {
        for place in reached {
            if let Some(count) = self.parts.get_mut(place) {
                *count += 1;
            }
        }
    }

    /// Returns the number of reached parts of a kind, and of all of them.
    pub fn count(&self, part: Part) -> (usize, usize) {
        let of_kind = || self.parts.iter().filter(|((_, of), _)| *of == part);
        (of_kind().filter(|(_, tests)| **tests > 0).count(), of_kind().count())
    }

    /// Returns the parts that no test has reached, in the order of the text.
    pub fn missed(&self) -> Vec<(Span, Part)> {
        self.parts.iter().filter(|(_, tests)| **tests == 0).map(|(place, _)| *place).collect()
    }

    /// Returns a record of LCOV's trace format (geninfo(1)) for each file: steps as lines, branches, rejections and rules as
    /// branches.
    pub fn lcov(&self, files: &Files) -> String {
        let mut text = String::new();
        let names: BTreeSet<&str> = self.parts.keys().map(|(span, _)| files.name(*span)).collect();
        for name in names {
            let of_file = || self.parts.iter().filter(|((span, _), _)| files.name(*span) == name);
            let line = |span: Span| files.positions(span).0.line;
            text.push_str(&format!("TN:\nSF:{name}\n"));
            let branches: Vec<_> = of_file().filter(|((_, part), _)| *part != Part::Step).collect();
            for (number, ((span, _), tests)) in branches.iter().enumerate() {
                text.push_str(&format!("BRDA:{},0,{number},{tests}\n", line(*span)));
            }
            let taken = branches.iter().filter(|(_, tests)| **tests > 0).count();
            text.push_str(&format!("BRF:{}\nBRH:{taken}\n", branches.len()));
            let mut lines: BTreeMap<usize, u64> = BTreeMap::new();
            for ((span, _), tests) in of_file().filter(|((_, part), _)| *part == Part::Step) {
                let count = lines.entry(line(*span)).or_insert(*tests);
                *count = (*count).min(*tests);
            }
            lines.iter().for_each(|(line, tests)| text.push_str(&format!("DA:{line},{tests}\n")));
            let hit = lines.values().filter(|tests| **tests > 0).count();
            text.push_str(&format!("LF:{}\nLH:{hit}\nend_of_record\n", lines.len()));
        }
        text
    }
}

/// Collects for each step of a leg, and of the legs behind it, whether it can reject events.
fn rejecting(leg: &Leg, rejects: &mut Vec<bool>) {
    rejects.extend(leg.steps.iter().map(weir_plan::Step::rejects));
    leg.to.legs().into_iter().for_each(|leg| rejecting(leg, rejects));
}
