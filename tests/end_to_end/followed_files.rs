//! Logs that grow, rotate, are packed and deleted, while the agent is killed again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use fastrand::Rng;
use weir_tests::{Account, Moment, Scene, Traces, Weir, lines_of, say, visible_files, wait_until};

const KILLS: usize = 30;
/// Every third kill waits for one of these; where the others come is left to chance.
const MOMENTS: [Moment; 4] = [Moment::Recovery, Moment::Unsynced, Moment::SegmentRoll, Moment::LedgerWritten];
const LOGS: usize = 3;
/// A moment that was not met so soon is waited for again later.
const PATIENCE_FOR_A_MOMENT: Duration = Duration::from_secs(20);
/// With so many kills every moment has been met, or the test can't meet it.
const KILLS_MAX: usize = 3 * KILLS;
const PATIENCE: Duration = Duration::from_secs(120);

/// The logs of an application, and whoever rotates them.
struct Application {
    /// Whether rotated logs are packed before they are deleted.
    packs: bool,
    folder: PathBuf,
    random: Rng,
    logs: Vec<Log>,
    sent: Vec<String>,
}

#[derive(Default)]
struct Log {
    /// How many lines it has had.
    lines: usize,
    rotations: usize,
    /// Rotated, and perhaps still written; then whole, perhaps packed; with the last line in it.
    rotated: Vec<(PathBuf, usize)>,
    done: Vec<(PathBuf, usize)>,
}

impl Application {
    fn new(folder: PathBuf, packs: bool) -> Application {
        fs::create_dir_all(&folder).expect("the folder of logs can be made");
        let logs = (0..LOGS).map(|_| Log::default()).collect();
        Application { packs, folder, random: Rng::with_seed(7), logs, sent: Vec::new() }
    }

    fn path(&self, log: usize) -> PathBuf {
        self.folder.join(format!("app-{log}.log"))
    }

    /// Writes some lines, the last of them in two parts.
    fn append(&mut self, log: usize, file: &mut File) {
        let count = self.random.usize(1..400);
        let mut text = String::new();
        for _ in 0..count {
            let number = self.logs[log].lines;
            self.logs[log].lines += 1;
            let line = format!("{log} {number} {}", "x".repeat(number % 120));
            text.push_str(&line);
            text.push('\n');
            self.sent.push(line);
        }
        let (begin, end) = text.split_at(text.len() - text.len().min(10));
        for part in [begin, end] {
            file.write_all(part.as_bytes()).expect("logs can be written");
        }
    }

    /// What happens to the logs while the agent runs or does not.
    fn work(&mut self, arrived: &BTreeMap<usize, BTreeSet<usize>>) {
        for log in 0..LOGS {
            let path = self.path(log);
            let open = OpenOptions::new().create(true).append(true).open(&path);
            let mut file = open.expect("a log can be opened");
            self.append(log, &mut file);
            if self.random.u8(0..10) < 4 {
                self.rotate(log, &path, &mut file);
            }
            self.delete_what_has_arrived(log, arrived.get(&log));
        }
    }

    /// Renames a log. Its writer goes on with it for a while; the one that was rotated before is packed.
    fn rotate(&mut self, log: usize, path: &Path, file: &mut File) {
        self.logs[log].rotations += 1;
        let rotated = self.folder.join(format!("app-{log}.log.{}", self.logs[log].rotations));
        fs::rename(path, &rotated).expect("a log can be renamed");
        self.append(log, file);
        for (path, last) in std::mem::take(&mut self.logs[log].rotated) {
            let path = if self.packs { gzip(path) } else { path };
            self.logs[log].done.push((path, last));
        }
        let last = self.logs[log].lines;
        self.logs[log].rotated.push((rotated, last));
    }

    /// Deletes logs of which every line has arrived.
    fn delete_what_has_arrived(&mut self, log: usize, arrived: Option<&BTreeSet<usize>>) {
        let through =
            arrived.map_or(0, |numbers| (0..).take_while(|number| numbers.contains(number)).count());
        self.logs[log].done.retain(|(path, last)| {
            let keep = *last > through;
            if !keep {
                fs::remove_file(path).expect("a log can be deleted");
            }
            keep
        });
    }
}

fn gzip(path: PathBuf) -> PathBuf {
    let status = Command::new("gzip").arg(&path).status().expect("gzip can be run");
    assert!(status.success(), "gzip {} failed", path.display());
    path.with_added_extension("gz")
}

/// The log and the number of a line.
fn parts(line: &[u8]) -> (usize, usize) {
    let text = String::from_utf8_lossy(line);
    let mut words = text.split(' ').map(|word| word.parse::<usize>().ok());
    match (words.next().flatten(), words.next().flatten()) {
        (Some(log), Some(number)) => (log, number),
        _ => panic!("nobody wrote this line: {text}"),
    }
}

/// What is in the files so far. Files are never changed, so each is read once.
#[derive(Default)]
struct Arrived {
    files: BTreeSet<PathBuf>,
    lines: Vec<Vec<u8>>,
    numbers: BTreeMap<usize, BTreeSet<usize>>,
}

impl Arrived {
    fn look(&mut self, output: &Path) {
        if !output.exists() {
            return;
        }
        for file in visible_files(output) {
            if !self.files.insert(file.clone()) {
                continue;
            }
            let lines = lines_of(std::slice::from_ref(&file));
            let mut last = BTreeMap::new();
            for (log, number) in lines.iter().map(|line| parts(line)) {
                let before = last.insert(log, number);
                assert!(before < Some(number), "{number} comes behind {before:?} in {}", file.display());
                self.numbers.entry(log).or_default().insert(number);
            }
            self.lines.extend(lines);
        }
    }

    fn distinct(&self) -> usize {
        self.numbers.values().map(BTreeSet::len).sum()
    }
}

/// Logs are written, rotated, packed and deleted while agents follow them that are killed, one after the other.
fn follow_with_kills(name: &str, flow: &str, channel: Option<&str>, packs: bool) -> Account {
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), name);
    let mut settings = vec![
        ("from", scene.path("logs/*.log*")),
        ("state", scene.path("positions.json")),
        ("to", scene.path("output")),
    ];
    settings.extend(channel.map(|folder| ("channel", scene.path(folder))));
    let output = scene.folder().join("output");
    let input = scene.folder().join("logs");
    let channel = channel.map(|folder| scene.folder().join(folder));
    let mut application = Application::new(input.clone(), packs);
    let mut arrived = Arrived::default();
    let through_a_disk = |moment: &Moment| channel.is_some() || *moment != Moment::SegmentRoll;
    let mut met: BTreeMap<Moment, usize> =
        MOMENTS.into_iter().filter(through_a_disk).map(|moment| (moment, 0)).collect();
    for kill in 0..KILLS_MAX {
        let (moment, times) = met.iter().min_by_key(|(_, times)| **times).expect("there are moments");
        let (moment, never) = (*moment, *times == 0);
        if kill >= KILLS && !never {
            break;
        }
        let mut traces = Traces::before(input.clone(), output.clone(), channel.clone());
        let weir = Weir::run(&scene, flow, &settings);
        if kill % 3 == 2 {
            let work = || application.work(&arrived.numbers);
            if weir.kill_at(moment, &mut traces, PATIENCE_FOR_A_MOMENT, work) {
                *met.entry(moment).or_default() += 1;
            }
        } else {
            for _ in 0..application.random.u8(1..12) {
                application.work(&arrived.numbers);
                sleep(Duration::from_millis(application.random.u64(0..60)));
            }
            weir.kill();
        }
        application.work(&arrived.numbers);
        arrived.look(&output);
    }
    assert!(met.values().all(|times| *times > 0), "not every moment was met: {met:?}");
    let weir = Weir::run(&scene, flow, &settings);
    let sent = application.sent.len();
    wait_until("every line has arrived", PATIENCE, || {
        arrived.look(&output);
        (arrived.distinct() >= sent).then_some(())
    });
    weir.terminate().assert_success();
    arrived.look(&output);
    let account = Account::of(&application.sent, &arrived.lines);
    say(name, format!("{} files, killed at {met:?}", arrived.files.len()));
    account
}

#[test]
fn every_line_of_rotating_logs_arrives_once_through_a_disk_however_often_the_agent_is_killed() {
    let name = "every_line_of_rotating_logs_arrives_once_through_a_disk";
    let flow = "tests/end_to_end/flows/followed_files.flow";
    follow_with_kills(name, flow, Some("channel"), false).assert_exact(name);
}

#[test]
fn every_line_of_rotating_logs_arrives_once_through_memory_however_often_the_agent_is_killed() {
    let name = "every_line_of_rotating_logs_arrives_once_through_memory";
    let flow = "tests/end_to_end/flows/followed_files_in_memory.flow";
    follow_with_kills(name, flow, None, false).assert_exact(name);
}

#[test]
fn every_line_of_logs_that_are_packed_arrives_once_through_a_disk_however_often_the_agent_is_killed() {
    let name = "every_line_of_logs_that_are_packed_arrives_once_through_a_disk";
    let flow = "tests/end_to_end/flows/followed_and_packed_files.flow";
    follow_with_kills(name, flow, Some("channel"), true).assert_exact(name);
}

#[test]
fn every_line_of_logs_that_are_packed_arrives_once_through_memory_however_often_the_agent_is_killed() {
    let name = "every_line_of_logs_that_are_packed_arrives_once_through_memory";
    let flow = "tests/end_to_end/flows/followed_and_packed_files_in_memory.flow";
    follow_with_kills(name, flow, None, true).assert_exact(name);
}
