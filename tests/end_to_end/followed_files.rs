//! Logs that grow and are rotated, compressed and deleted, while the agent is killed repeatedly.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use fastrand::Rng;
use weir_tests::{Account, CrashPoint, PipelineFiles, Scene, Weir};
use weir_tests::{lines_of, print_line, visible_files, wait_until};

const KILLS: usize = 30;
/// Every third kill waits for one of these crash points; the others come at random times.
const CRASH_POINTS: [CrashPoint; 4] =
    [CrashPoint::Recovery, CrashPoint::Unsynced, CrashPoint::SegmentRoll, CrashPoint::LedgerWritten];
const LOGS: usize = 3;
/// The time limit of a run for reaching a crash point; a later run tries again.
const CRASH_POINT_LIMIT: Duration = Duration::from_secs(20);
/// The test fails if a crash point was not reached in this number of runs.
const KILLS_MAX: usize = 3 * KILLS;
const PATIENCE: Duration = Duration::from_secs(120);

/// An application that writes and rotates logs.
struct Application {
    /// Whether rotated logs are compressed before they are deleted.
    compresses: bool,
    folder: PathBuf,
    random: Rng,
    logs: Vec<Log>,
    sent: Vec<String>,
}

#[derive(Default)]
struct Log {
    /// The number of lines written so far.
    lines: usize,
    rotations: usize,
    /// Rotated files that may still be written, each with the number of lines through its end.
    rotated: Vec<(PathBuf, usize)>,
    /// Complete rotated files, possibly compressed, each with the number of lines through its end.
    complete: Vec<(PathBuf, usize)>,
}

impl Application {
    fn new(folder: PathBuf, compresses: bool) -> Application {
        fs::create_dir_all(&folder).expect("the folder of logs can be made");
        let logs = (0..LOGS).map(|_| Log::default()).collect();
        Application { compresses, folder, random: Rng::with_seed(7), logs, sent: Vec::new() }
    }

    fn path(&self, log: usize) -> PathBuf {
        self.folder.join(format!("app-{log}.log"))
    }

    /// Writes some lines, the last line in two parts.
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

    /// Appends to each log, rotates some, and deletes delivered files.
    fn work(&mut self, arrived: &BTreeMap<usize, BTreeSet<usize>>) {
        for log in 0..LOGS {
            let path = self.path(log);
            let open = OpenOptions::new().create(true).append(true).open(&path);
            let mut file = open.expect("a log can be opened");
            self.append(log, &mut file);
            if self.random.u8(0..10) < 4 {
                self.rotate(log, &path, &mut file);
            }
            self.delete_delivered_files(log, arrived.get(&log));
        }
    }

    /// Renames a log, to which the writer still appends, and compresses the log that was rotated before.
    fn rotate(&mut self, log: usize, path: &Path, file: &mut File) {
        self.logs[log].rotations += 1;
        let rotated = self.folder.join(format!("app-{log}.log.{}", self.logs[log].rotations));
        fs::rename(path, &rotated).expect("a log can be renamed");
        self.append(log, file);
        for (path, last) in std::mem::take(&mut self.logs[log].rotated) {
            let path = if self.compresses { gzip(path) } else { path };
            self.logs[log].complete.push((path, last));
        }
        let last = self.logs[log].lines;
        self.logs[log].rotated.push((rotated, last));
    }

    /// Deletes the complete files of a log whose lines have all arrived.
    fn delete_delivered_files(&mut self, log: usize, arrived: Option<&BTreeSet<usize>>) {
        let through =
            arrived.map_or(0, |numbers| (0..).take_while(|number| numbers.contains(number)).count());
        self.logs[log].complete.retain(|(path, last)| {
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

/// Returns the log and the number of a line.
fn parts(line: &[u8]) -> (usize, usize) {
    let text = String::from_utf8_lossy(line);
    let mut words = text.split(' ').map(|word| word.parse::<usize>().ok());
    match (words.next().flatten(), words.next().flatten()) {
        (Some(log), Some(number)) => (log, number),
        _ => panic!("the application did not write this line: {text}"),
    }
}

/// The lines that have arrived so far. The sink never changes a finished file, so each file is read once.
#[derive(Default)]
struct Arrived {
    files: BTreeSet<PathBuf>,
    lines: Vec<Vec<u8>>,
    numbers: BTreeMap<usize, BTreeSet<usize>>,
}

impl Arrived {
    /// Reads the new files of the output.
    fn update(&mut self, output: &Path) {
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
                assert!(before < Some(number), "{number} comes after {before:?} in {}", file.display());
                self.numbers.entry(log).or_default().insert(number);
            }
            self.lines.extend(lines);
        }
    }

    fn distinct(&self) -> usize {
        self.numbers.values().map(BTreeSet::len).sum()
    }
}

/// Writes, rotates, compresses and deletes logs while agents follow them, each of which is killed; then lets a last agent
/// deliver the rest.
fn follow_with_kills(name: &str, flow: &str, channel: Option<&str>, compresses: bool) -> Account {
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
    let mut application = Application::new(input.clone(), compresses);
    let mut arrived = Arrived::default();
    let can_occur = |point: &CrashPoint| channel.is_some() || *point != CrashPoint::SegmentRoll;
    let mut reached: BTreeMap<CrashPoint, usize> =
        CRASH_POINTS.into_iter().filter(can_occur).map(|point| (point, 0)).collect();
    for kill in 0..KILLS_MAX {
        let (point, times) = reached.iter().min_by_key(|(_, times)| **times).expect("there are crash points");
        let (point, never) = (*point, *times == 0);
        if kill >= KILLS && !never {
            break;
        }
        let mut files = PipelineFiles::before(input.clone(), output.clone(), channel.clone());
        let weir = Weir::run(&scene, flow, &settings);
        if kill % 3 == 2 {
            let work = || application.work(&arrived.numbers);
            if weir.kill_at(point, &mut files, CRASH_POINT_LIMIT, work) {
                *reached.entry(point).or_default() += 1;
            }
        } else {
            for _ in 0..application.random.u8(1..12) {
                application.work(&arrived.numbers);
                sleep(Duration::from_millis(application.random.u64(0..60)));
            }
            weir.kill();
        }
        application.work(&arrived.numbers);
        arrived.update(&output);
    }
    assert!(reached.values().all(|times| *times > 0), "not every crash point was reached: {reached:?}");
    let weir = Weir::run(&scene, flow, &settings);
    let sent = application.sent.len();
    wait_until("every line has arrived", PATIENCE, || {
        arrived.update(&output);
        (arrived.distinct() >= sent).then_some(())
    });
    weir.terminate().assert_success();
    arrived.update(&output);
    let account = Account::of(&application.sent, &arrived.lines);
    print_line(name, format!("{} files, killed at {reached:?}", arrived.files.len()));
    account
}

#[test]
fn every_line_of_rotating_logs_arrives_once_through_a_file_channel_despite_kills() {
    let name = "every_line_of_rotating_logs_arrives_once_through_a_file_channel";
    let flow = "tests/end_to_end/flows/followed_files.flow";
    follow_with_kills(name, flow, Some("channel"), false).assert_exact(name);
}

#[test]
fn every_line_of_rotating_logs_arrives_once_through_a_memory_channel_despite_kills() {
    let name = "every_line_of_rotating_logs_arrives_once_through_a_memory_channel";
    let flow = "tests/end_to_end/flows/followed_files_in_memory.flow";
    follow_with_kills(name, flow, None, false).assert_exact(name);
}

#[test]
fn every_line_of_compressed_logs_arrives_once_through_a_file_channel_despite_kills() {
    let name = "every_line_of_compressed_logs_arrives_once_through_a_file_channel";
    let flow = "tests/end_to_end/flows/followed_and_packed_files.flow";
    follow_with_kills(name, flow, Some("channel"), true).assert_exact(name);
}

#[test]
fn every_line_of_compressed_logs_arrives_once_through_a_memory_channel_despite_kills() {
    let name = "every_line_of_compressed_logs_arrives_once_through_a_memory_channel";
    let flow = "tests/end_to_end/flows/followed_and_packed_files_in_memory.flow";
    follow_with_kills(name, flow, None, true).assert_exact(name);
}
