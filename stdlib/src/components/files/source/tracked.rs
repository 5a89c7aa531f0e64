//! The files that the source knows: those that are there, and those that have gone.

mod kin;
mod pruning;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use tokio::time::Instant;
use weir_runtime::batch::Partition;
use weir_runtime::source::DeliveredThrough;
use xxhash_rust::xxh3::xxh3_64;

pub(super) use self::pruning::SCANS_TO_FIND_ALL;
use super::consumed::{Consumed, Marks};
use super::content::Content;
use super::discovery::{FoundFile, Scan};
use super::identity::{Key, Name, Stamp};
use super::positions::{Downstream, Memory, RememberedCopy, RememberedFile};
use super::text::{Knowledge, Progress, Text};

/// A number for each file that is known, never used twice in a run.
pub(super) type FileId = u64;

/// What is done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Found, and not looked into yet.
    New,
    /// Known from before, with nothing new in it.
    Resting,
    /// Its text is known and read on when there is more.
    Reading,
    /// Read to its end, and that is it.
    Finished,
    /// There is something wrong with it.
    Quarantined,
}

/// Whether a file that has gone while it was closed is looked for under names that don't match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Search {
    /// It was not, or it was there again since.
    Due,
    /// Its directory could not be listed.
    Failed,
    /// It lies here now.
    Found(PathBuf),
    /// It is nowhere, or was read to its end.
    Over,
}

/// How far putting a complete file away is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterState {
    Pending,
    /// An attempt failed by an outage. It may have given the file the hidden name that follows from this stamp.
    Attempted(Stamp),
    Done,
}

/// A file.
pub(super) struct Tracked {
    pub(super) path: PathBuf,
    pub(super) key: Key,
    /// As it was seen last.
    pub(super) stamp: Stamp,
    pub(super) phase: Phase,
    /// It was looked into and is empty, as long as it does not change.
    pub(super) is_empty: bool,
    /// Not there any more, under any name that matches.
    pub(super) gone_since: Option<Instant>,
    pub(super) text: Option<Box<Text>>,
    pub(super) content: Option<Content>,
    /// When it was read last, by the count of turns.
    pub(super) used: u64,
    pub(super) queued: bool,
    /// When it has its next turn at the latest.
    pub(super) due: Option<Instant>,
    /// Where events of several lines wait for further ones: how much text there was, and since when.
    pub(super) pending: Option<(u64, Instant)>,
    /// Something was written to it, as was told, and it was not read to its end since.
    pub(super) is_unread: bool,
    /// Whether it was looked for under other names since it has gone.
    pub(super) search: Search,
    /// It has gone, and what is there of its last line is handed on.
    pub(super) finishes_partial_line: bool,
    /// When it was found to hold another text, while its last line waited; and how many looks there had been.
    pub(super) rewritten_since: Option<(Instant, u64)>,
    /// Put and not delivered.
    pub(super) marks: Marks,
    pub(super) delivered: DeliveredThrough,
    delivered_hash: Option<Consumed>,
    /// Whether it is not known by channels where it begins.
    pub(super) unconfirmed: bool,
    /// What is remembered of it, while it rests.
    remembered: Option<Box<RememberedFile>>,
    /// Which generation it has at least, since others were read from the same file.
    generation_min: u32,
    /// What it was found to be a copy of, as it is now.
    copy: Option<CopyOf>,
    /// The file that brings what this one is a copy of.
    waits: Option<Box<Waits>>,
    /// Where the text of a complete file ends, once it is read.
    pub(super) end: Option<u64>,
    /// Whether a complete file is put away.
    pub(super) after: AfterState,
    /// It could not be read, and is tried again then.
    pub(super) retry_at: Option<Instant>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct CopyOf {
    partition: Partition,
    /// Whether nothing of it will ever be wanted.
    done: bool,
}

#[derive(Debug, Clone, Copy)]
struct Waits {
    on: FileId,
    /// Whether it was not known then what that file is.
    unidentified: bool,
    /// In what state the copy was seen before that. Since then it may have become another file.
    stamp: Stamp,
}

impl Tracked {
    fn new(found: &FoundFile) -> Tracked {
        Tracked {
            path: found.path.clone(),
            key: found.key,
            stamp: found.stamp,
            phase: Phase::New,
            is_empty: false,
            gone_since: None,
            text: None,
            content: None,
            used: 0,
            queued: false,
            due: None,
            pending: None,
            is_unread: false,
            search: Search::Due,
            finishes_partial_line: false,
            rewritten_since: None,
            marks: Marks::default(),
            delivered: DeliveredThrough::default(),
            delivered_hash: None,
            unconfirmed: false,
            remembered: None,
            generation_min: 0,
            copy: None,
            waits: None,
            end: None,
            after: AfterState::Pending,
            retry_at: None,
        }
    }

    /// Begins to read a text. What channels were given of it before counts as put, and no more.
    pub(super) fn begin(&mut self, text: Box<Text>, progress: Progress) {
        self.phase = Phase::Reading;
        (self.delivered, self.delivered_hash) = (progress.delivered, progress.consumed);
        let put = text.reader.running.so_far();
        match text.reader.position > progress.delivered.position() {
            true => self.marks.push(put),
            false => self.delivered_hash = Some(put),
        }
        self.stamp = text.stamp;
        self.text = Some(text);
        (self.copy, self.waits) = (None, None);
    }

    /// Whether it may turn out to be any text that lay there before. An empty file is none of them.
    fn may_be_any(&self) -> bool {
        let is_none = self.is_empty && !weir_runtime::put_back!("copies_wait_for_empty_logs");
        self.phase == Phase::New && !is_none
    }

    /// Whether it has a last line that waits for its end.
    pub(super) fn has_partial_line(&self) -> bool {
        self.text.as_ref().is_some_and(|text| text.partial_line.is_some())
    }

    pub(super) fn is_packed(&self) -> bool {
        self.text.as_ref().is_some_and(|text| text.is_packed())
    }

    /// What has to be known of it after a restart.
    fn remember(&self) -> Option<RememberedFile> {
        let Some(text) = &self.text else { return self.remembered.as_deref().cloned() };
        let partition = text.partition.as_ref()?;
        let all = text.at_rest
            && self.delivered.position() == text.reader.position
            && self.phase != Phase::Quarantined;
        let position = self.delivered;
        #[cfg(weir_bug)]
        let position = if weir_runtime::put_back!("position_saved_when_read") {
            DeliveredThrough::not_wanted_before(text.reader.position).max(position)
        } else {
            position
        };
        Some(RememberedFile {
            partition: partition.name().to_string(),
            path: self.path.to_string_lossy().into_owned(),
            position,
            given: None,
            head: text.head,
            consumed: self.delivered_hash,
            rest: all.then_some(text.stamp),
            copy: text.is_copy().then_some(self.key),
            packed: text.is_packed(),
            unconfirmed: self.unconfirmed,
        })
    }
}

fn hash(path: &Path) -> u64 {
    xxh3_64(path.as_os_str().as_bytes())
}

/// All files.
#[derive(Default)]
pub(super) struct Files {
    /// Each in its place, since the tree's nodes have room that is not used.
    all: BTreeMap<FileId, Box<Tracked>>,
    by_key: HashMap<Key, FileId>,
    /// By the hash of its path, which the file itself has.
    by_path: HashMap<u64, FileId>,
    by_partition: HashMap<Partition, FileId>,
    next: FileId,
    /// Known, and not among those above.
    remembered: HashMap<Key, Vec<RememberedFile>>,
    /// Of these the ones that have gone, in that order.
    gone: VecDeque<(Key, String)>,
    /// Copies that earlier runs have found, until they are seen.
    copies: HashMap<Key, RememberedCopy>,
    /// Whether a file was let go of that had not been looked into, since this was asked last.
    lost_unidentified: bool,
}

impl Files {
    /// No file yet, and what is remembered of earlier runs.
    pub(super) fn new(memory: Memory) -> Files {
        let mut files = Files::default();
        for known in memory.files {
            if let Some(name) = known.name() {
                files.remembered.entry(known.copy.unwrap_or(name.key)).or_default().push(known);
            }
        }
        files.copies = memory.copies.into_iter().map(|copied| (copied.key, copied)).collect();
        files
    }

    pub(super) fn get(&mut self, id: FileId) -> Option<&mut Tracked> {
        self.all.get_mut(&id).map(|file| &mut **file)
    }

    pub(super) fn of_path(&self, path: &Path) -> Option<FileId> {
        let id = *self.by_path.get(&hash(path))?;
        self.all.get(&id).filter(|file| file.path == path).map(|_| id)
    }

    pub(super) fn of_partition(&self, partition: &Partition) -> Option<FileId> {
        self.by_partition.get(partition).copied()
    }

    pub(super) fn iter(&mut self) -> impl Iterator<Item = (FileId, &mut Tracked)> {
        self.all.iter_mut().map(|(id, file)| (*id, &mut **file))
    }

    /// Takes note of what a look has seen. Gives back the files that are new or have changed.
    pub(super) fn apply_scan(&mut self, seen: &Scan, resting: bool, now: Instant) -> Vec<FileId> {
        let mut news = Vec::new();
        self.by_path.clear();
        let mut there = HashSet::with_capacity(seen.files.len());
        for found in &seen.files {
            let id = match self.by_key.get(&found.key) {
                Some(&id) => id,
                None => {
                    let id = self.add(Tracked::new(found));
                    if self.was_copy(id, resting) {
                        self.by_path.insert(hash(&found.path), id);
                        there.insert(id);
                        continue;
                    }
                    let known = self.remembered.get(&found.key).into_iter().flatten();
                    let rests = known.into_iter().find(|known| known.rest == Some(found.stamp));
                    match rests.cloned() {
                        Some(known) if resting => {
                            self.forget_remembered(found.key, &known.partition);
                            self.set_resting(id, known);
                        }
                        _ => news.push(id),
                    }
                    id
                }
            };
            there.insert(id);
            self.by_path.insert(hash(&found.path), id);
            let Some(file) = self.all.get_mut(&id) else { continue };
            (file.gone_since, file.search) = (None, Search::Due);
            if file.path != found.path {
                file.path.clone_from(&found.path);
            }
            if file.stamp != found.stamp {
                (file.stamp, file.copy, file.is_empty) = (found.stamp, None, false);
                news.push(id);
            }
        }
        for (id, file) in &mut self.all {
            // What could not be looked at may well be there.
            if !there.contains(id) && !seen.is_unknown(&file.path) {
                file.gone_since.get_or_insert(now);
            }
        }
        news
    }

    fn set_resting(&mut self, id: FileId, known: RememberedFile) {
        if let Some(file) = self.all.get_mut(&id) {
            (file.phase, file.delivered) = (Phase::Resting, known.position);
            file.remembered = Some(Box::new(known));
        }
    }

    fn add(&mut self, file: Tracked) -> FileId {
        let id = self.next;
        self.next += 1;
        self.by_key.insert(file.key, id);
        self.all.insert(id, Box::new(file));
        id
    }

    /// A file that has been begun anew: it is another one from now on.
    pub(super) fn renew(&mut self, id: FileId, now: Instant) -> Option<FileId> {
        let old = self.all.get_mut(&id)?;
        old.gone_since = Some(now);
        old.phase = Phase::Finished;
        let found = FoundFile { path: old.path.clone(), key: old.key, stamp: old.stamp };
        let generation_min = old.text.as_ref().map_or(0, |text| text.generation + 1).max(old.generation_min);
        let id = self.add(Tracked { generation_min, ..Tracked::new(&found) });
        self.by_path.insert(hash(&found.path), id);
        Some(id)
    }

    /// What is known of a new file's place, and of what it may be a copy of.
    pub(super) fn knowledge(&self, id: FileId) -> Option<Knowledge> {
        let file = self.all.get(&id)?;
        let (key, mut generation_min) = (file.key, file.generation_min);
        let mut remembered = self.remembered.get(&key).cloned().unwrap_or_default();
        remembered.extend(file.remembered.as_deref().cloned());
        if generation_min > 0 {
            // It is none of those that were there before.
            let names = remembered.drain(..).filter_map(|known| known.name());
            generation_min = names.map(|name| name.generation + 1).fold(generation_min, u32::max);
        }
        Some(Knowledge { key, remembered, generation_min, kin: None })
    }

    /// From now on, deliveries of this partition are the file's, and it is not remembered apart.
    pub(super) fn name(&mut self, id: FileId, partition: &Partition) {
        let Some(key) = self.detach_earlier(id, Some(partition)) else { return };
        if self.by_partition.insert(partition.clone(), id).is_none() {
            self.forget_wherever_it_is(key, partition.name());
            self.mark_others_gone(key);
        }
    }

    /// It is known what the file is: what was remembered of it and is another text is remembered apart, since
    /// copies of that may still be found. Gives back its key.
    pub(super) fn detach_earlier(&mut self, id: FileId, now: Option<&Partition>) -> Option<Key> {
        let file = self.all.get_mut(&id)?;
        let (key, before) = (file.key, file.remembered.take());
        let before = before.filter(|before| now.is_none_or(|now| before.partition != now.name()));
        if let Some(before) = before {
            self.remembered.entry(key).or_default().push(*before);
        }
        Some(key)
    }

    fn forget_wherever_it_is(&mut self, key: Key, partition: &str) {
        let named = partition.parse::<Name>().map_or(key, |name| name.key);
        self.forget_remembered(key, partition);
        self.forget_remembered(named, partition);
        if named != key {
            // It may have been read on from another copy before.
            let has = |all: &Vec<RememberedFile>| all.iter().any(|known| known.partition == partition);
            let elsewhere = self.remembered.iter().find(|(_, all)| has(all)).map(|(key, _)| *key);
            elsewhere.into_iter().for_each(|key| self.forget_remembered(key, partition));
        }
    }

    /// It is known what lies at this place: what was there before has gone.
    fn mark_others_gone(&mut self, key: Key) {
        for known in self.remembered.get(&key).into_iter().flatten() {
            let gone = (key, known.partition.clone());
            if !self.gone.contains(&gone) {
                self.gone.push_back(gone);
            }
        }
    }

    fn forget_remembered(&mut self, key: Key, partition: &str) {
        if let Some(known) = self.remembered.get_mut(&key) {
            known.retain(|known| known.partition != partition);
            if known.is_empty() {
                self.remembered.remove(&key);
            }
        }
    }

    /// Everything before this position of the partition is delivered. Gives back the file.
    pub(super) fn deliver(&mut self, partition: &Partition, through: DeliveredThrough) -> Option<FileId> {
        let Some(id) = self.of_partition(partition) else {
            self.deliver_remembered(partition, through);
            return None;
        };
        let file = self.all.get_mut(&id)?;
        (file.delivered, file.unconfirmed) = (through.max(file.delivered), false);
        if let Some(hash) = file.marks.deliver(through.position()) {
            file.delivered_hash = Some(hash);
        }
        Some(id)
    }

    /// An earlier run has put what is delivered now, and the file was not looked into again yet.
    fn deliver_remembered(&mut self, partition: &Partition, through: DeliveredThrough) {
        let Ok(name) = partition.name().parse::<Name>() else { return };
        let is_it = |known: &&mut RememberedFile| known.partition == partition.name();
        let at_its_place = self.remembered.get_mut(&name.key).and_then(|all| all.iter_mut().find(is_it));
        let known = match at_its_place {
            Some(known) => Some(known),
            // It was read on from a copy.
            None => self.remembered.values_mut().flatten().find(is_it),
        };
        if let Some(known) = known {
            known.position = through.max(known.position);
        }
    }

    /// What has to be known of all of them after a restart.
    pub(super) fn remember(&self) -> Memory {
        let tracked = self.all.values().filter_map(|file| file.remember());
        let files = tracked.chain(self.remembered.values().flatten().cloned()).collect();
        let copies = self.all.values().filter_map(|file| file.copied()).chain(self.copies.values().cloned());
        Memory { files, copies: copies.collect(), downstream: Downstream::default() }
    }
}

#[cfg(test)]
mod tests;
