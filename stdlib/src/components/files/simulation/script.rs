//! Who writes the files that the source reads: applications, and whoever rotates, packs and deletes their logs.
//!
//! What is promised is all that is done: a file is deleted, or copied and truncated, only when its lines have
//! arrived.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use weir_runtime::SeededRandom;

use super::account::{Account, Story};
use crate::components::files::source::file_system::simulated::{Handle, SimulatedFileSystem};

/// Where the logs are.
pub(super) const FOLDER: &str = "/logs";

/// A file that somebody has open and writes into.
struct Pen {
    handle: Handle,
    /// Which story it writes.
    story: usize,
    /// The end of the last line, which is not written yet.
    rest: Vec<u8>,
}

/// A file that was rotated.
struct Rotated {
    story: usize,
    packed: bool,
}

#[derive(Default)]
struct Log {
    pen: Option<Pen>,
    /// Whoever was late to notice a rotation.
    late: Option<Pen>,
    /// What lies there by the number in its name.
    rotated: BTreeMap<usize, Rotated>,
}

/// All that is written, and by what chance.
pub(super) struct Script {
    random: SeededRandom,
    file_system: SimulatedFileSystem,
    logs: Vec<Log>,
    pub(super) stories: Vec<Story>,
    /// What was done, for whoever looks for a mistake.
    pub(super) deeds: Vec<String>,
    /// How much may still be done.
    left: usize,
    /// Whether logs are packed that were not read to their end.
    packs_unread: bool,
}

impl Script {
    /// So many logs, to which so many things are done. Without any, complete files are dropped.
    pub(super) fn new(
        seed: u64,
        file_system: &SimulatedFileSystem,
        logs: usize,
        deeds: usize,
        packs_unread: bool,
    ) -> Script {
        let logs = (0..logs).map(|_| Log::default()).collect();
        let (stories, done) = (Vec::new(), Vec::new());
        let (random, file_system) = (SeededRandom::new(seed), file_system.clone());
        Script { random, file_system, logs, stories, deeds: done, left: deeds, packs_unread }
    }

    /// Whether nothing more is going to be done.
    pub(super) fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Something happens, or nothing. What has arrived is looked up only where it is asked for.
    pub(super) fn act(&mut self, arrived: &dyn Fn() -> Account) {
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        if self.logs.is_empty() {
            return self.drop_file();
        }
        let log = self.random.below(self.logs.len() as u64) as usize;
        match self.random.below(24) {
            0..=9 => self.write(log, false),
            10..=13 => self.write(log, true),
            14 | 15 => self.write_late(log),
            16..=18 => self.rotate(log),
            19 => self.let_go(log),
            20 | 21 => self.delete(log, &arrived()),
            22 => self.pack(log, &arrived()),
            _ => self.copy_and_truncate(log, &arrived()),
        }
    }

    /// Ends all lines that have no end yet.
    pub(super) fn end(&mut self) {
        for log in 0..self.logs.len() {
            for late in [false, true] {
                if self.pen(log, late).as_ref().is_some_and(|pen| !pen.rest.is_empty()) {
                    self.put(log, late, 0, false);
                }
            }
        }
        self.left = 0;
        self.file_system.interrupt_by(None);
    }

    fn pen(&mut self, log: usize, late: bool) -> &mut Option<Pen> {
        let log = &mut self.logs[log];
        if late { &mut log.late } else { &mut log.pen }
    }

    fn path(log: usize, number: usize) -> PathBuf {
        match number {
            0 => format!("{FOLDER}/app-{log}.log").into(),
            number => format!("{FOLDER}/app-{log}.log.{number}").into(),
        }
    }

    fn packed_path(log: usize, number: usize) -> PathBuf {
        format!("{FOLDER}/app-{log}.log.{number}.gz").into()
    }

    pub(super) fn note(&mut self, deed: String) {
        tracing::info!("{deed}");
        self.deeds.push(deed);
    }

    /// A file that is complete, under a name that matches only now; its last line may lack its end, and it may be
    /// empty.
    fn drop_file(&mut self) {
        let path = PathBuf::from(format!("{FOLDER}/batch-{}.log", self.stories.len()));
        let story = self.new_story(&path);
        let most = if self.random.one_in(4) { 70 } else { 9 };
        let count = self.random.below(most) as usize;
        let lines = (0..count).map(|number| format!("{story} {number} {}", "x".repeat(number * 7 % 60)));
        let mut text = lines.collect::<Vec<_>>().join("\n");
        if count > 0 && !self.random.one_in(4) {
            text.push('\n');
        }
        self.stories[story].lines = count;
        let elsewhere = path.with_extension("part");
        let handle = self.file_system.create(&elsewhere);
        self.file_system.append(&handle, text.as_bytes());
        self.file_system.rename(&elsewhere, &path);
        self.note(format!("drop {story} with {count} lines"));
    }

    fn new_story(&mut self, name: &Path) -> usize {
        self.stories.push(Story { names: vec![name.to_path_buf()], lines: 0 });
        self.stories.len() - 1
    }

    /// Some lines, in a file that is made if there is none; the last without its end, if so.
    fn write(&mut self, log: usize, half: bool) {
        if self.logs[log].pen.is_none() {
            let path = Script::path(log, 0);
            let handle = self.file_system.create(&path);
            let story = self.new_story(&path);
            self.logs[log].pen = Some(Pen { handle, story, rest: Vec::new() });
            self.note(format!("create {} as {story}", path.display()));
        }
        let most = if self.random.one_in(8) { 60 } else { 8 };
        let count = 1 + self.random.below(most);
        self.put(log, false, count, half);
    }

    fn write_late(&mut self, log: usize) {
        let (count, half) = (1 + self.random.below(5), self.random.one_in(3));
        match self.logs[log].late.is_some() {
            true => self.put(log, true, count, half),
            false => self.write(log, half),
        }
    }

    fn put(&mut self, log: usize, late: bool, count: u64, half: bool) {
        let Some(pen) = self.pen(log, late).take() else { return };
        let Pen { handle, story, rest } = pen;
        let mut text = rest;
        for _ in 0..count {
            let number = self.stories[story].lines;
            self.stories[story].lines += 1;
            let padding = "x".repeat(self.random.below(60) as usize);
            text.extend_from_slice(format!("{story} {number} {padding}\n").as_bytes());
        }
        let cut = if half { 1 + self.random.below(text.len() as u64 - 1) as usize } else { text.len() };
        // What is behind the last whole line is what waits for its end.
        let whole = memchr::memrchr(b'\n', &text[..text.len() - 1]).map_or(0, |end| end + 1);
        let rest = text.split_off(cut.max(whole).min(text.len()));
        // Written at once or in two parts, between which somebody may look.
        let middle = self.random.below(text.len() as u64 + 1) as usize;
        for part in [&text[..middle], &text[middle..]] {
            if !part.is_empty() {
                self.file_system.append(&handle, part);
            }
        }
        self.note(format!("write {count} lines of {story}, {} bytes wait", rest.len()));
        *self.pen(log, late) = Some(Pen { handle, story, rest });
    }

    /// Renames a log and those that were rotated before; its writer may be late to notice.
    fn rotate(&mut self, log: usize) {
        let Some(pen) = self.logs[log].pen.take() else { return };
        // Whoever was late before ends its last line and closes.
        self.let_go(log);
        let rotated = std::mem::take(&mut self.logs[log].rotated);
        for (number, rotated) in rotated.into_iter().rev() {
            let name = |number| match rotated.packed {
                true => Script::packed_path(log, number),
                false => Script::path(log, number),
            };
            self.file_system.rename(&name(number), &name(number + 1));
            self.stories[rotated.story].names.push(name(number + 1));
            self.logs[log].rotated.insert(number + 1, rotated);
        }
        let to = Script::path(log, 1);
        self.file_system.rename(&Script::path(log, 0), &to);
        self.stories[pen.story].names.push(to);
        self.logs[log].rotated.insert(1, Rotated { story: pen.story, packed: false });
        self.note(format!("rotate {log}, {} is number 1", pen.story));
        self.logs[log].late = Some(pen);
        if self.random.one_in(2) {
            self.let_go(log);
        }
    }

    fn let_go(&mut self, log: usize) {
        if self.logs[log].late.as_ref().is_some_and(|pen| !pen.rest.is_empty()) {
            self.put(log, true, 0, false);
        }
        if let Some(pen) = self.logs[log].late.take() {
            self.note(format!("{} is closed", pen.story));
        }
    }

    /// The oldest of a log that is whole and that nobody writes any more.
    fn oldest(&self, log: usize, wanted: impl Fn(&Rotated) -> bool) -> Option<usize> {
        let late = self.logs[log].late.as_ref().map(|pen| pen.story);
        let rotated = self.logs[log].rotated.iter().rev();
        let mut closed = rotated.filter(|(_, rotated)| Some(rotated.story) != late && wanted(rotated));
        closed.next().map(|(number, _)| *number)
    }

    fn delete(&mut self, log: usize, arrived: &Account) {
        let whole = |rotated: &Rotated| arrived.has_all(rotated.story, &self.stories[rotated.story]);
        let Some(number) = self.oldest(log, whole) else { return };
        let Some(rotated) = self.logs[log].rotated.remove(&number) else { return };
        let packed = rotated.packed;
        self.file_system.unlink(&if packed {
            Script::packed_path(log, number)
        } else {
            Script::path(log, number)
        });
        self.note(format!("delete {}", rotated.story));
    }

    /// Removes a log and leaves a packed copy.
    fn pack(&mut self, log: usize, arrived: &Account) {
        let ready = |rotated: &Rotated| {
            !rotated.packed
                && (self.packs_unread || arrived.has_all(rotated.story, &self.stories[rotated.story]))
        };
        let Some(number) = self.oldest(log, ready) else { return };
        let Some(plain) = self.file_system.unlink(&Script::path(log, number)) else { return };
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain.lock().unwrap().bytes()).expect("a vector takes everything");
        let bytes = encoder.finish().expect("a vector takes everything");
        let path = Script::packed_path(log, number);
        let packed = self.file_system.create(&path);
        self.file_system.append(&packed, &bytes);
        let Some(rotated) = self.logs[log].rotated.get_mut(&number) else { return };
        rotated.packed = true;
        let story = rotated.story;
        self.stories[story].names.push(path);
        self.note(format!("pack {story}"));
    }

    /// What is written from now on begins a new story in the same file.
    fn copy_and_truncate(&mut self, log: usize, arrived: &Account) {
        let Some(pen) = &self.logs[log].pen else { return };
        let (story, whole) = (pen.story, pen.rest.is_empty());
        if !whole || self.stories[story].lines == 0 || !arrived.has_all(story, &self.stories[story]) {
            return;
        }
        let handle = pen.handle.clone();
        self.file_system.truncate(&handle);
        let next = self.new_story(&Script::path(log, 0));
        self.note(format!("truncate {story}, {next} begins"));
        self.logs[log].pen = Some(Pen { handle, story: next, rest: Vec::new() });
    }
}
