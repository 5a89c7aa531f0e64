//! Compares the lines in the output with the lines that were written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The lines of one file between its creation or truncation and the next truncation.
#[derive(Debug, Clone, Default)]
pub(super) struct Generation {
    /// The names of the file during that time, in order.
    pub(super) names: Vec<PathBuf>,
    /// The number of lines that were written; the last one may lack its line end.
    pub(super) lines: usize,
}

/// Returns whether this is the output directory for a file of that name.
fn is_directory_of(directory: &str, name: &Path) -> bool {
    directory.rsplit('/').next() == Some(&*name.to_string_lossy().replace('/', "%2F"))
}

/// Which of a file's names an output directory belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NameInUse {
    First,
    Later,
    Never,
}

impl NameInUse {
    fn of(directory: &str, generation: Option<&Generation>) -> NameInUse {
        let names = generation.map_or(&[][..], |generation| &generation.names);
        match names.iter().position(|name| is_directory_of(directory, name)) {
            Some(0) => NameInUse::First,
            Some(_) => NameInUse::Later,
            None => NameInUse::Never,
        }
    }
}

fn count_arrived(all: &[u32]) -> usize {
    all.iter().filter(|times| **times > 0).count()
}

/// The promises of a pipeline about the lines that it reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Promised {
    /// The channel does not outlive the agent: lines are read again after a crash, under the name that their file has by then,
    /// so they may be behind newer lines in that name's directory.
    pub(super) read_again: bool,
    /// No line comes twice.
    pub(super) once: bool,
    /// The lines of a file are in their order.
    pub(super) ordered: bool,
}

/// The lines in all complete output files.
#[derive(Debug, Default)]
pub(super) struct Arrivals {
    /// How often each line has arrived, by generation and line number.
    lines: BTreeMap<usize, Vec<u32>>,
    /// Whether no line may be there twice.
    once: bool,
    faults: Vec<String>,
}

impl Arrivals {
    /// Reads output files, each with its path and content, in the order of their names.
    ///
    /// `is_rejected` says whether the lines of a file are rejected: all of them, and no others, are in the directory `rejects`.
    pub(super) fn of(
        files: impl Iterator<Item = (String, Vec<u8>)>,
        generations: &[Generation],
        promised: Promised,
        is_rejected: &dyn Fn(usize) -> bool,
    ) -> Arrivals {
        let mut arrivals = Arrivals { once: promised.once, ..Arrivals::default() };
        // The last line number, by directory and generation.
        let mut last: BTreeMap<String, BTreeMap<usize, usize>> = BTreeMap::new();
        for (path, content) in files {
            let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
            let last = last.entry(directory.to_owned()).or_default();
            let mut name_in_use = BTreeMap::new();
            for line in String::from_utf8_lossy(&content).lines() {
                let mut words = line.split(' ').map(str::parse);
                let (Some(Ok(generation)), Some(Ok(number))) = (words.next(), words.next()) else {
                    arrivals.faults.push(format!("nobody wrote this line in {path}: {line:?}"));
                    continue;
                };
                let known = generations.get(generation);
                let in_rejects = directory.ends_with("/rejects") || path.ends_with("/rejects");
                if in_rejects != is_rejected(generation) {
                    arrivals.faults.push(format!("{generation} {number} is in {path}"));
                }
                let is_shared = in_rejects || directory.starts_with("/stores");
                let name_in_use = *name_in_use.entry(generation).or_insert_with(|| match is_shared {
                    // The lines of all files are in one place, and may be read again.
                    true => NameInUse::Later,
                    false => NameInUse::of(directory, known),
                });
                arrivals.note(directory, name_in_use, generation, number, generations);
                let before = last.insert(generation, number);
                let may_be_older = !promised.ordered
                    || promised.read_again && name_in_use != NameInUse::First && known.is_some();
                if before >= Some(number) && !may_be_older {
                    arrivals
                        .faults
                        .push(format!("{generation} {number} stands behind {before:?} in {directory}"));
                }
            }
        }
        arrivals
    }

    /// Returns the lines that have arrived here and there, with the faults of both.
    pub(super) fn in_both(self, other: Arrivals) -> Arrivals {
        let times = |generation: &usize, number: usize| {
            other.lines.get(generation).and_then(|all| all.get(number)).copied().unwrap_or(0)
        };
        let lines = self.lines.iter().map(|(generation, all)| {
            let both = all.iter().enumerate().map(|(number, here)| (*here).min(times(generation, number)));
            (*generation, both.collect())
        });
        let lines = lines.collect();
        let faults = self.faults.into_iter().chain(other.faults).collect();
        Arrivals { lines, once: self.once, faults }
    }

    fn note(
        &mut self,
        directory: &str,
        name_in_use: NameInUse,
        generation: usize,
        number: usize,
        generations: &[Generation],
    ) {
        let Some(known) = generations.get(generation).filter(|known| number < known.lines) else {
            self.faults.push(format!("nobody wrote {generation} {number}"));
            return;
        };
        let all = self.lines.entry(generation).or_default();
        if all.len() < known.lines {
            all.resize(known.lines, 0);
        }
        all[number] += 1;
        if all[number] > 1 && self.once {
            self.faults.push(format!("{generation} {number} is there {} times", all[number]));
        }
        if name_in_use == NameInUse::Never {
            self.faults.push(format!("{generation} {number} is in {directory}, and was never called so"));
        }
    }

    /// Returns the number of distinct lines.
    pub(super) fn distinct(&self) -> usize {
        self.lines.values().map(|all| count_arrived(all)).sum()
    }

    /// Returns whether every line of a generation has arrived.
    pub(super) fn has_all(&self, generation: usize, written: &Generation) -> bool {
        self.lines.get(&generation).map_or(0, |all| count_arrived(all)) >= written.lines
    }

    /// Returns the lines that are wrong: duplicated, out of order, misplaced or never written. Missing lines are not
    /// among them.
    pub(super) fn faults(&self) -> &[String] {
        &self.faults
    }

    /// Returns the missing lines.
    pub(super) fn missing(&self, generations: &[Generation]) -> Vec<String> {
        let mut missing = Vec::new();
        for (generation, written) in generations.iter().enumerate() {
            let there = self.lines.get(&generation);
            let is_there =
                |number: usize| there.is_some_and(|all| all.get(number).is_some_and(|times| *times > 0));
            let lacking = (0..written.lines).filter(|number| !is_there(*number));
            missing.extend(lacking.map(|number| format!("{generation} {number}")));
        }
        missing
    }
}
