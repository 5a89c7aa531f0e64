//! The programs that write the files which the source reads: applications, and a program that rotates, compresses and
//! deletes their logs.
//!
//! They keep to the rules under which the source promises to lose nothing: a file is deleted or truncated only when all
//! its lines have arrived.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use flate2::write::GzEncoder;
use weir_runtime::SeededRandom;

use super::arrivals::{Arrivals, Generation};
use crate::components::files::source::file_system::simulated::{Handle, SimulatedFileSystem};
use crate::tools::encoding::BYTE_ORDER_MARK;

/// The directory of the logs.
pub(super) const FOLDER: &str = "/logs";

/// A program that has a file open and writes to it.
struct Writer {
    handle: Handle,
    /// The index of the generation that it writes.
    generation: usize,
    /// The rest of the last line, which is not written yet.
    partial_line: Vec<u8>,
    /// The bytes before the next line that belong to no line: a byte order mark, or the hole that a writer without
    /// `O_APPEND` leaves.
    lead: Vec<u8>,
}

impl Writer {
    fn new(handle: Handle, generation: usize, lead: Vec<u8>) -> Writer {
        Writer { handle, generation, partial_line: Vec::new(), lead }
    }
}

/// A file that was rotated.
struct Rotated {
    generation: usize,
    compressed: bool,
}

#[derive(Default)]
struct Log {
    writer: Option<Writer>,
    /// The writer that still has the rotated file open.
    late: Option<Writer>,
    /// The rotated files, by the number in their names.
    rotated: BTreeMap<usize, Rotated>,
}

/// A random sequence of actions on the logs.
pub(super) struct Workload {
    random: SeededRandom,
    /// Decides what is odd in files: marks, holes and rubbish.
    odd: SeededRandom,
    file_system: SimulatedFileSystem,
    logs: Vec<Log>,
    pub(super) generations: Vec<Generation>,
    /// The actions so far, for the report of a failed history.
    pub(super) actions: Vec<String>,
    /// The number of actions that are left.
    actions_left: usize,
    /// Whether logs may be compressed before all their lines have arrived.
    may_compress_unread: bool,
}

impl Workload {
    /// Creates a workload of `actions` actions on `logs` logs. Without logs, every action adds a complete file.
    pub(super) fn new(
        seed: u64,
        file_system: &SimulatedFileSystem,
        logs: usize,
        actions: usize,
        may_compress_unread: bool,
    ) -> Workload {
        let logs = (0..logs).map(|_| Log::default()).collect();
        let (generations, done) = (Vec::new(), Vec::new());
        let (random, file_system) = (SeededRandom::new(seed), file_system.clone());
        Workload {
            random,
            odd: SeededRandom::new(seed ^ 0x0DD),
            file_system,
            logs,
            generations,
            actions: done,
            actions_left: actions,
            may_compress_unread,
        }
    }

    /// Returns whether no action is left.
    pub(super) fn is_finished(&self) -> bool {
        self.actions_left == 0
    }

    /// Does a random action, which may turn out to do nothing. `arrived` is called only by actions that need it.
    pub(super) fn act(&mut self, arrived: &dyn Fn() -> Arrivals) {
        if self.actions_left == 0 {
            return;
        }
        self.actions_left -= 1;
        if self.logs.is_empty() {
            return self.drop_file();
        }
        let log = self.random.below(self.logs.len() as u64) as usize;
        match self.random.below(24) {
            0..=9 => self.write(log, false),
            10..=13 => self.write(log, true),
            14 | 15 => self.write_late(log),
            16..=18 => self.rotate(log),
            19 => self.close_late_writer(log),
            20 | 21 => self.delete(log, &arrived()),
            22 => self.compress(log, &arrived()),
            _ => self.copy_and_truncate(log, &arrived()),
        }
    }

    /// Completes all partial lines, and ends the workload.
    pub(super) fn end(&mut self) {
        for log in 0..self.logs.len() {
            for late in [false, true] {
                if self.writer(log, late).as_ref().is_some_and(|writer| !writer.partial_line.is_empty()) {
                    self.put(log, late, 0, false);
                }
            }
        }
        self.actions_left = 0;
        self.file_system.interrupt_by(None);
    }

    fn writer(&mut self, log: usize, late: bool) -> &mut Option<Writer> {
        let log = &mut self.logs[log];
        if late { &mut log.late } else { &mut log.writer }
    }

    fn path(log: usize, number: usize) -> PathBuf {
        match number {
            0 => format!("{FOLDER}/app-{log}.log").into(),
            number => format!("{FOLDER}/app-{log}.log.{number}").into(),
        }
    }

    fn compressed_path(log: usize, number: usize) -> PathBuf {
        format!("{FOLDER}/app-{log}.log.{number}.gz").into()
    }

    pub(super) fn note(&mut self, action: String) {
        tracing::info!("{action}");
        self.actions.push(action);
    }

    /// Adds a complete file: it is written under another name and renamed to one that matches. It may be empty, and its
    /// last line may lack its line end.
    fn drop_file(&mut self) {
        let path = PathBuf::from(format!("{FOLDER}/batch-{}.log", self.generations.len()));
        let generation = self.new_generation(&path);
        let most = if self.random.one_in(4) { 70 } else { 9 };
        let count = self.random.below(most) as usize;
        let lines = (0..count).map(|number| format!("{generation} {number} {}", "x".repeat(number * 7 % 60)));
        let mut text = lines.collect::<Vec<_>>().join("\n");
        if count > 0 && !self.random.one_in(4) {
            text.push('\n');
        }
        self.generations[generation].lines = count;
        let zeros = if text.ends_with('\n') && self.odd.one_in(6) { 100 } else { 0 };
        let text = [self.random_lead(), text.into_bytes(), vec![0; zeros]].concat();
        let elsewhere = path.with_extension("part");
        let handle = self.file_system.create(&elsewhere);
        self.file_system.append(&handle, &text);
        self.file_system.rename(&elsewhere, &path);
        self.note(format!("drop {generation} with {count} lines"));
    }

    /// Returns what a file may begin with and what belongs to no line: mostly nothing.
    fn random_lead(&mut self) -> Vec<u8> {
        match self.odd.below(12) {
            0 => BYTE_ORDER_MARK.to_vec(),
            1 => vec![0; 64 + self.odd.below(2_000) as usize],
            _ => Vec::new(),
        }
    }

    fn new_generation(&mut self, name: &Path) -> usize {
        self.generations.push(Generation { names: vec![name.to_path_buf()], lines: 0 });
        self.generations.len() - 1
    }

    /// Appends lines to a log, and creates it if it does not exist. `half` leaves the last line without its end.
    fn write(&mut self, log: usize, half: bool) {
        if self.logs[log].writer.is_none() {
            let path = Workload::path(log, 0);
            let handle = self.file_system.create(&path);
            let generation = self.new_generation(&path);
            let lead = self.random_lead();
            self.logs[log].writer = Some(Writer::new(handle, generation, lead));
            self.note(format!("create {} as {generation}", path.display()));
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
        let Some(writer) = self.writer(log, late).take() else { return };
        let Writer { handle, generation, partial_line, lead } = writer;
        let mut text = [lead, partial_line].concat();
        for _ in 0..count {
            let number = self.generations[generation].lines;
            self.generations[generation].lines += 1;
            let padding = "x".repeat(self.random.below(60) as usize);
            text.extend_from_slice(format!("{generation} {number} {padding}\n").as_bytes());
        }
        let cut = if half { 1 + self.random.below(text.len() as u64 - 1) as usize } else { text.len() };
        // Only the last line may be partial.
        let whole = memchr::memrchr(b'\n', &text[..text.len() - 1]).map_or(0, |end| end + 1);
        let partial_line = text.split_off(cut.max(whole).min(text.len()));
        // Written in up to two parts, between which the source may read.
        let middle = self.random.below(text.len() as u64 + 1) as usize;
        for part in [&text[..middle], &text[middle..]] {
            if !part.is_empty() {
                self.file_system.append(&handle, part);
            }
        }
        self.note(format!("write {count} lines of {generation}, {} bytes wait", partial_line.len()));
        *self.writer(log, late) =
            Some(Writer { partial_line, ..Writer::new(handle, generation, Vec::new()) });
    }

    /// Renames a log and the older rotated files; its writer may keep the renamed file open for a while.
    fn rotate(&mut self, log: usize) {
        let Some(writer) = self.logs[log].writer.take() else { return };
        // The late writer of the previous rotation completes its last line and closes its file.
        self.close_late_writer(log);
        let rotated = std::mem::take(&mut self.logs[log].rotated);
        for (number, rotated) in rotated.into_iter().rev() {
            let name = |number| match rotated.compressed {
                true => Workload::compressed_path(log, number),
                false => Workload::path(log, number),
            };
            self.file_system.rename(&name(number), &name(number + 1));
            self.generations[rotated.generation].names.push(name(number + 1));
            self.logs[log].rotated.insert(number + 1, rotated);
        }
        let to = Workload::path(log, 1);
        self.file_system.rename(&Workload::path(log, 0), &to);
        self.generations[writer.generation].names.push(to);
        self.logs[log].rotated.insert(1, Rotated { generation: writer.generation, compressed: false });
        self.note(format!("rotate {log}, {} is number 1", writer.generation));
        self.logs[log].late = Some(writer);
        if self.random.one_in(2) {
            self.close_late_writer(log);
        }
    }

    fn close_late_writer(&mut self, log: usize) {
        if self.logs[log].late.as_ref().is_some_and(|writer| !writer.partial_line.is_empty()) {
            self.put(log, true, 0, false);
        }
        if let Some(writer) = self.logs[log].late.take() {
            self.note(format!("{} is closed", writer.generation));
        }
    }

    /// Returns the number of the oldest rotated file that satisfies `wanted` and that no writer has open.
    fn oldest(&self, log: usize, wanted: impl Fn(&Rotated) -> bool) -> Option<usize> {
        let late = self.logs[log].late.as_ref().map(|writer| writer.generation);
        let rotated = self.logs[log].rotated.iter().rev();
        let mut closed = rotated.filter(|(_, rotated)| Some(rotated.generation) != late && wanted(rotated));
        closed.next().map(|(number, _)| *number)
    }

    fn delete(&mut self, log: usize, arrived: &Arrivals) {
        let whole =
            |rotated: &Rotated| arrived.has_all(rotated.generation, &self.generations[rotated.generation]);
        let Some(number) = self.oldest(log, whole) else { return };
        let Some(rotated) = self.logs[log].rotated.remove(&number) else { return };
        let compressed = rotated.compressed;
        self.file_system.unlink(&if compressed {
            Workload::compressed_path(log, number)
        } else {
            Workload::path(log, number)
        });
        self.note(format!("delete {}", rotated.generation));
    }

    /// Replaces a rotated file by a compressed copy.
    fn compress(&mut self, log: usize, arrived: &Arrivals) {
        let ready = |rotated: &Rotated| {
            !rotated.compressed
                && (self.may_compress_unread
                    || arrived.has_all(rotated.generation, &self.generations[rotated.generation]))
        };
        let Some(number) = self.oldest(log, ready) else { return };
        let Some(plain) = self.file_system.unlink(&Workload::path(log, number)) else { return };
        let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(plain.lock().unwrap().bytes()).expect("a vector takes everything");
        let bytes = encoder.finish().expect("a vector takes everything");
        let path = Workload::compressed_path(log, number);
        let compressed = self.file_system.create(&path);
        self.file_system.append(&compressed, &bytes);
        if self.odd.one_in(4) {
            // Rubbish behind the compressed text.
            self.file_system.append(&compressed, &[0; 100]);
        }
        let Some(rotated) = self.logs[log].rotated.get_mut(&number) else { return };
        rotated.compressed = true;
        let generation = rotated.generation;
        self.generations[generation].names.push(path);
        self.note(format!("pack {generation}"));
    }

    /// Truncates a log whose lines have all arrived: its next lines are a new generation.
    fn copy_and_truncate(&mut self, log: usize, arrived: &Arrivals) {
        let Some(writer) = &self.logs[log].writer else { return };
        let (generation, whole) = (writer.generation, writer.partial_line.is_empty());
        if !whole
            || self.generations[generation].lines == 0
            || !arrived.has_all(generation, &self.generations[generation])
        {
            return;
        }
        let handle = writer.handle.clone();
        let bytes = handle.lock().unwrap().bytes().len();
        let lead = if self.odd.one_in(2) { vec![0; bytes] } else { self.random_lead() };
        self.file_system.truncate(&handle);
        let next = self.new_generation(&Workload::path(log, 0));
        self.note(format!("truncate {generation}, {next} begins"));
        self.logs[log].writer = Some(Writer::new(handle, next, lead));
    }
}
