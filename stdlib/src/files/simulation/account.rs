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

/// The lines in all complete files of the output.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// By story and number, how often.
    lines: BTreeMap<usize, BTreeMap<usize, usize>>,
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
        let mut last: BTreeMap<(String, usize), usize> = BTreeMap::new();
        for (path, content) in files {
            let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory).to_owned();
            for line in String::from_utf8_lossy(&content).lines() {
                let mut words = line.split(' ').map(str::parse);
                let (Some(Ok(story)), Some(Ok(number))) = (words.next(), words.next()) else {
                    account.faults.push(format!("nobody wrote this line in {path}: {line:?}"));
                    continue;
                };
                account.note(&directory, story, number, stories);
                let before = last.insert((directory.clone(), story), number);
                let renamed = || stories.get(story).is_some_and(|known| !is_of(&directory, &known.names[0]));
                if before >= Some(number) && !(read_again && renamed()) {
                    account.faults.push(format!("{story} {number} stands behind {before:?} in {directory}"));
                }
            }
        }
        account
    }

    fn note(&mut self, directory: &str, story: usize, number: usize, stories: &[Story]) {
        let times = self.lines.entry(story).or_default().entry(number).or_default();
        *times += 1;
        if *times > 1 {
            self.faults.push(format!("{story} {number} is there {times} times"));
        }
        let Some(known) = stories.get(story).filter(|known| number < known.lines) else {
            self.faults.push(format!("nobody wrote {story} {number}"));
            return;
        };
        if !known.names.iter().any(|name| is_of(directory, name)) {
            self.faults.push(format!("{story} {number} is in {directory}, and was never called so"));
        }
    }

    /// How many different lines there are.
    pub(super) fn distinct(&self) -> usize {
        self.lines.values().map(BTreeMap::len).sum()
    }

    /// Whether every line of a story has arrived.
    pub(super) fn has_all(&self, story: usize, written: &Story) -> bool {
        self.lines.get(&story).map_or(0, BTreeMap::len) >= written.lines
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
            let lacking =
                (0..written.lines).filter(|number| there.is_none_or(|there| !there.contains_key(number)));
            missing.extend(lacking.map(|number| format!("{story} {number}")));
        }
        missing
    }
}
