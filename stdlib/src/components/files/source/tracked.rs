//! The files that the source knows: existing files, and files that are gone.

mod copy_candidates;
mod pruning;
mod remembering;
mod unsaved;

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use tokio::time::Instant;
use weir_runtime::batch::Partition;
use weir_runtime::source::DeliveredThrough;
use xxhash_rust::xxh3::xxh3_64;

pub(super) use self::pruning::SCANS_TO_FIND_ALL;
use self::unsaved::Unsaved;
use super::content::Content;
use super::discovery::{FoundFile, Scan};
use super::identity::{Key, Stamp};
use super::positions::{Memory, RememberedCopy, RememberedFile};
use super::text::{Progress, Text};
use super::text_hash::{PendingHashes, TextHash};

/// The number of a known file. It is never used twice in a run.
pub(super) type FileId = u64;

/// The phase of processing a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Found, and not identified yet.
    New,
    /// Unchanged since an earlier run delivered all of it.
    Resting,
    /// Identified; it is read on when it grows.
    Reading,
    /// Read to its end for good.
    Finished,
    /// Not read any more, since it has changed or can't be read.
    Quarantined,
}

/// The state of the search for a file that was closed when it was gone from its path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Search {
    /// The file was not searched for since it is gone.
    Due,
    /// The directory could not be listed.
    Failed,
    /// The file was found at this path, which does not match.
    Found(PathBuf),
    /// The file was not found, or was read to its end.
    Over,
}

/// Whether `after` was applied to a complete file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AfterState {
    Pending,
    /// An attempt failed. It may have renamed the file to the hidden name that contains this stamp.
    Attempted(Stamp),
    Done,
}

/// A known file.
pub(super) struct Tracked {
    pub(super) path: PathBuf,
    pub(super) key: Key,
    /// The stamp when it was seen last.
    pub(super) stamp: Stamp,
    pub(super) phase: Phase,
    /// Whether it was opened and is empty. A change resets this.
    pub(super) is_empty: bool,
    /// When a scan first did not find it under any matching name.
    pub(super) gone_since: Option<Instant>,
    pub(super) text: Option<Box<Text>>,
    pub(super) content: Option<Content>,
    /// When it was processed last, as the number of that step.
    pub(super) last_used: u64,
    pub(super) queued: bool,
    /// When it is queued at the latest.
    pub(super) due: Option<Instant>,
    /// If an event waits for further lines: the end of the text that was seen, and since when it has not grown.
    pub(super) pending: Option<(u64, Instant)>,
    /// Whether the watcher has reported a write, and the file was not read to its end since.
    pub(super) is_unread: bool,
    /// Whether it was logged that it is packed and left out.
    pub(super) is_left_out: bool,
    /// The search for it under other names since it is gone.
    pub(super) search: Search,
    /// Whether its partial line becomes an event, since the file is gone.
    pub(super) finishes_partial_line: bool,
    /// If it was rewritten while it had a partial line: when that was noticed, and the number of scans before.
    pub(super) rewritten_since: Option<(Instant, u64)>,
    /// The hashes of batches that were put and are not delivered.
    pub(super) pending_hashes: PendingHashes,
    pub(super) delivered: DeliveredThrough,
    delivered_hash: Option<TextHash>,
    /// Whether reading began at the end of the file (`start: end`), and no channel has confirmed that position yet.
    pub(super) unconfirmed: bool,
    /// Its remembered state while it is resting.
    remembered: Option<Box<RememberedFile>>,
    /// The lowest generation that its text may get, since earlier generations were read from the same file.
    generation_min: u32,
    /// Its origin if it is a copy, valid for the present stamp.
    copy: Option<CopyOf>,
    /// The file that brings the text of which this file is a copy.
    awaits: Option<Box<AwaitedOriginal>>,
    /// The end of a complete file's text, once it was read.
    pub(super) end: Option<u64>,
    /// Whether `after` was applied.
    pub(super) after: AfterState,
    /// When it is read again after a failure.
    pub(super) retry_at: Option<Instant>,
}

/// The origin of a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
struct CopyOf {
    partition: Partition,
    /// Whether the copy is never read, since the partition was already read beyond the copy's end.
    done: bool,
}

/// The file for which a copy waits.
#[derive(Debug, Clone, Copy)]
struct AwaitedOriginal {
    id: FileId,
    /// Whether that file was not identified yet when the copy began to wait.
    unidentified: bool,
    /// The copy's stamp when it began to wait. If it has changed, the copy may have become another file.
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
            last_used: 0,
            queued: false,
            due: None,
            pending: None,
            is_unread: false,
            is_left_out: false,
            search: Search::Due,
            finishes_partial_line: false,
            rewritten_since: None,
            pending_hashes: PendingHashes::default(),
            delivered: DeliveredThrough::default(),
            delivered_hash: None,
            unconfirmed: false,
            remembered: None,
            generation_min: 0,
            copy: None,
            awaits: None,
            end: None,
            after: AfterState::Pending,
            retry_at: None,
        }
    }

    /// Begins to read a text. The part behind the delivered position that channels already have counts as put.
    pub(super) fn begin(&mut self, text: Box<Text>, progress: Progress) {
        self.phase = Phase::Reading;
        (self.delivered, self.delivered_hash) = (progress.delivered, progress.consumed);
        let put = text.reader.hash.current();
        match text.reader.position > progress.delivered.position() {
            true => self.pending_hashes.push(put),
            false => self.delivered_hash = Some(put),
        }
        self.stamp = text.stamp;
        self.text = Some(text);
        (self.copy, self.awaits) = (None, None);
    }

    /// Returns whether the file is not identified yet, so that it may hold any remembered text. An empty file holds
    /// none.
    fn is_unidentified(&self) -> bool {
        let is_none = self.is_empty && !weir_runtime::put_back!("copies_wait_for_empty_logs");
        self.phase == Phase::New && !is_none
    }

    /// Returns whether a partial line of the file is kept.
    pub(super) fn has_partial_line(&self) -> bool {
        self.text.as_ref().is_some_and(|text| text.partial_line.is_some())
    }

    pub(super) fn is_compressed(&self) -> bool {
        self.text.as_ref().is_some_and(|text| text.is_compressed())
    }

    /// Returns the state that has to be known after a restart.
    fn remember(&self) -> Option<RememberedFile> {
        let Some(text) = &self.text else { return self.remembered.as_deref().cloned() };
        let partition = text.partition.as_ref()?;
        let is_all_delivered = text.at_rest
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
            rest: is_all_delivered.then_some(text.stamp),
            copy: text.is_copy().then_some(self.key),
            compressed: text.is_compressed(),
            unconfirmed: self.unconfirmed,
        })
    }
}

fn hash(path: &Path) -> u64 {
    xxh3_64(path.as_os_str().as_bytes())
}

/// All known files.
#[derive(Default)]
pub(super) struct Files {
    /// Boxed, since the tree's nodes are partly empty.
    all: BTreeMap<FileId, Box<Tracked>>,
    by_key: HashMap<Key, FileId>,
    /// By the hash of the path; the path itself is in the file's entry.
    by_path: HashMap<u64, FileId>,
    by_partition: HashMap<Partition, FileId>,
    next: FileId,
    /// Remembered texts that belong to no file in `all`, by key.
    remembered: HashMap<Key, Vec<RememberedFile>>,
    /// The remembered texts whose files are gone, the earliest first.
    gone: VecDeque<(Key, String)>,
    /// Copies that earlier runs have found, until a scan finds their files.
    copies: HashMap<Key, RememberedCopy>,
    /// Whether a file was pruned before it was identified, since this was last reset.
    lost_unidentified: bool,
    /// What may have changed since the positions were last saved.
    unsaved: Unsaved,
}

/// The moment at which a walk through the directories began. Its result is applied later.
#[derive(Debug, Clone, Copy)]
pub(super) struct WalkBegin {
    /// The number that the next new file gets.
    next: FileId,
    /// The number of steps in which files had been processed.
    steps: u64,
}

impl Files {
    /// Creates an empty list of files, with the remembered state of earlier runs. `saves` says whether positions are saved.
    pub(super) fn new(memory: Memory, saves: bool) -> Files {
        let mut files = Files { unsaved: Unsaved::new(saves), ..Files::default() };
        for known in memory.files {
            if let Some(name) = known.name() {
                files.remembered.entry(known.copy.unwrap_or(name.key)).or_default().push(known);
            }
        }
        files.copies = memory.copies.into_iter().map(|copied| (copied.key, copied)).collect();
        files
    }

    /// Returns a file that may be changed.
    pub(super) fn get(&mut self, id: FileId) -> Option<&mut Tracked> {
        let file = self.all.get_mut(&id)?;
        self.unsaved.note(id);
        Some(file)
    }

    /// Returns a file that is only looked at.
    pub(super) fn view(&self, id: FileId) -> Option<&Tracked> {
        self.all.get(&id).map(|file| &**file)
    }

    pub(super) fn id_of_path(&self, path: &Path) -> Option<FileId> {
        let id = *self.by_path.get(&hash(path))?;
        self.all.get(&id).filter(|file| file.path == path).map(|_| id)
    }

    pub(super) fn id_of_partition(&self, partition: &Partition) -> Option<FileId> {
        self.by_partition.get(partition).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (FileId, &Tracked)> {
        self.all.iter().map(|(id, file)| (*id, &**file))
    }

    /// Notes that a walk through the directories begins after this many steps in which files were processed.
    pub(super) fn begin_walk(&self, steps: u64) -> WalkBegin {
        WalkBegin { next: self.next, steps }
    }

    /// Applies the result of a scan. Returns the files that are new or have changed. What was found out about files since
    /// the walk began is kept.
    pub(super) fn apply_scan(
        &mut self,
        seen: &Scan,
        begin: WalkBegin,
        resting: bool,
        now: Instant,
    ) -> Vec<FileId> {
        let mut news = Vec::new();
        self.by_path.clear();
        let mut there = HashSet::with_capacity(seen.files.len());
        for found in &seen.files {
            if seen.returned.contains(&found.key)
                && let Some(id) = self.replace_returned(found, now)
            {
                there.insert(id);
                news.push(id);
                continue;
            }
            let id = match self.by_key.get(&found.key) {
                Some(&id) => id,
                None => {
                    let id = self.add(Tracked::new(found));
                    if self.restore_copy(id, resting) {
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
            if self.apply_found(id, found, begin) {
                news.push(id);
            }
        }
        for (id, file) in &mut self.all {
            if there.contains(id) {
                continue;
            }
            if *id >= begin.next {
                // The walk could not know it.
                self.by_path.entry(hash(&file.path)).or_insert(*id);
            } else if !seen.is_unknown(&file.path) {
                // A file at a path that could not be read may still exist.
                file.gone_since.get_or_insert(now);
            }
        }
        news
    }

    /// Applies what a walk has found of a known file. Returns whether the file has changed.
    fn apply_found(&mut self, id: FileId, found: &FoundFile, begin: WalkBegin) -> bool {
        let Some(file) = self.all.get_mut(&id) else { return false };
        (file.gone_since, file.search) = (None, Search::Due);
        if file.path != found.path {
            file.path.clone_from(&found.path);
            self.unsaved.note(id);
        }
        if file.stamp == found.stamp {
            return false;
        }
        if file.last_used > begin.steps {
            // The file was looked at since, so the walk's stamp may be an earlier one.
            return matches!(file.phase, Phase::New | Phase::Reading);
        }
        (file.stamp, file.copy, file.is_empty) = (found.stamp, None, false);
        self.unsaved.note(id);
        true
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
        self.unsaved.note(id);
        id
    }

    /// Replaces a restarted file by a new entry with the next generation, and returns its number.
    pub(super) fn restart(&mut self, id: FileId, now: Instant) -> Option<FileId> {
        let old = self.get(id)?;
        old.gone_since = Some(now);
        old.phase = Phase::Finished;
        let found = FoundFile { path: old.path.clone(), key: old.key, stamp: old.stamp };
        let generation_min = old.text.as_ref().map_or(0, |text| text.generation + 1).max(old.generation_min);
        let last_used = old.last_used;
        let id = self.add(Tracked { generation_min, last_used, ..Tracked::new(&found) });
        self.by_path.insert(hash(&found.path), id);
        Some(id)
    }

    /// Adds a file that has come to the path of one that was read, as a new one: it holds none of the texts that were
    /// read there. Returns `None` if nothing was read there, or if it is the same file.
    fn replace_returned(&mut self, found: &FoundFile, now: Instant) -> Option<FileId> {
        let id = match self.by_key.get(&found.key).copied() {
            Some(old) if self.all.get(&old).is_none_or(|old| old.stamp == found.stamp) => return None,
            Some(old) => {
                self.detach_earlier(old, None);
                self.restart(old, now)?
            }
            None => {
                let known = self.remembered.get(&found.key)?;
                if known.iter().any(|known| known.rest == Some(found.stamp)) {
                    return None;
                }
                self.by_path.insert(hash(&found.path), self.next);
                self.add(Tracked::new(found))
            }
        };
        let file = self.get(id)?;
        (file.stamp, file.generation_min) = (found.stamp, file.generation_min.max(1));
        Some(id)
    }
}

#[cfg(test)]
mod tests;
