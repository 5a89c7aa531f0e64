//! What has arrived, held against what was written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What one file held between two of its beginnings.
#[derive(Debug, Clone, Default)]
pub(super) struct Story {
    /// What the file was called meanwhile, the first first.
    pub(super) names: Vec<PathBuf>,
    /// How many lines were written, all but the last of them to their end.
    pub(super) lines: usize,
}

/// Whether this is the directory for files of that name.
fn is_of(directory: &str, name: &Path) -> bool {
    directory.rsplit('/').next() == Some(&*name.to_string_lossy().replace('/', "%2F"))
}

/// Whether a directory is that for a file, by the names that the file had.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Called {
    First,
    Later,
    Never,
}

impl Called {
    fn of(directory: &str, story: Option<&Story>) -> Called {
        let names = story.map_or(&[][..], |story| &story.names);
        match names.iter().position(|name| is_of(directory, name)) {
            Some(0) => Called::First,
            Some(_) => Called::Later,
            None => Called::Never,
        }
    }
}

fn different(all: &[u32]) -> usize {
    all.iter().filter(|times| **times > 0).count()
}

/// The lines in all complete files of the output.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// By story and number, how often.
    lines: BTreeMap<usize, Vec<u32>>,
    faults: Vec<String>,
}

impl Account {
    /// Reads files, each with its path and content, in the order of their names.
    ///
    /// Where nothing but the source's files outlives the agent, lines are read again after a crash, under the name
    /// that their file has then: they may stand behind newer ones that had arrived under that name.
    pub(super) fn of(
        files: impl Iterator<Item = (String, Vec<u8>)>,
        stories: &[Story],
        read_again: bool,
    ) -> Account {
        let mut account = Account::default();
        // By directory and story.
        let mut last: BTreeMap<String, BTreeMap<usize, usize>> = BTreeMap::new();
        for (path, content) in files {
            let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
            let last = last.entry(directory.to_owned()).or_default();
            let mut called = BTreeMap::new();
            for line in String::from_utf8_lossy(&content).lines() {
                let mut words = line.split(' ').map(str::parse);
                let (Some(Ok(story)), Some(Ok(number))) = (words.next(), words.next()) else {
                    account.faults.push(format!("nobody wrote this line in {path}: {line:?}"));
                    continue;
                };
                let known = stories.get(story);
                let called = *called.entry(story).or_insert_with(|| Called::of(directory, known));
                account.note(directory, called, story, number, stories);
                let before = last.insert(story, number);
                let may_be_older = read_again && called != Called::First && known.is_some();
                if before >= Some(number) && !may_be_older {
                    account.faults.push(format!("{story} {number} stands behind {before:?} in {directory}"));
                }
            }
        }
        account
    }

    fn note(&mut self, directory: &str, called: Called, story: usize, number: usize, stories: &[Story]) {
        let Some(known) = stories.get(story).filter(|known| number < known.lines) else {
            self.faults.push(format!("nobody wrote {story} {number}"));
            return;
        };
        let all = self.lines.entry(story).or_default();
        if all.len() < known.lines {
            all.resize(known.lines, 0);
        }
        all[number] += 1;
        if all[number] > 1 {
            self.faults.push(format!("{story} {number} is there {} times", all[number]));
        }
        if called == Called::Never {
            self.faults.push(format!("{story} {number} is in {directory}, and was never called so"));
        }
    }

    /// How many different lines there are.
    pub(super) fn distinct(&self) -> usize {
        self.lines.values().map(|all| different(all)).sum()
    }

    /// Whether every line of a story has arrived.
    pub(super) fn has_all(&self, story: usize, written: &Story) -> bool {
        self.lines.get(&story).map_or(0, |all| different(all)) >= written.lines
    }

    /// What is wrong with what has arrived; what is still missing is not.
    pub(super) fn faults(&self) -> &[String] {
        &self.faults
    }

    /// The first lines that are missing.
    pub(super) fn missing(&self, stories: &[Story]) -> Vec<String> {
        let mut missing = Vec::new();
        for (story, written) in stories.iter().enumerate() {
            let there = self.lines.get(&story);
            let is_there =
                |number: usize| there.is_some_and(|all| all.get(number).is_some_and(|times| *times > 0));
            let lacking = (0..written.lines).filter(|number| !is_there(*number));
            missing.extend(lacking.map(|number| format!("{story} {number}")));
        }
        missing
    }
}
