//! Identifies the text of a file: recognises a remembered text, finds the original of a compressed copy, or begins a new
//! text. All functions block.

use std::io::{self, ErrorKind};
use std::path::Path;

use weir_runtime::batch::Partition;

use super::super::content::{Content, Encoding, Packing};
use super::super::copies::{CopyCandidates, CopyOrigin, find_origin, may_match};
use super::super::identity::{HEAD_BYTES, Head, Key, PartitionName, Stamp, State};
use super::super::positions::RememberedFile;
use super::super::text_hash::{RunningHash, TextHash};
use super::super::tracked::FileId;
use super::{Progress, Text, TextRules, is_hole};
use crate::tools::encoding::CodeUnits;

/// How many bytes are read at once to find the beginning of the last line.
const BACKWARDS_BYTES: u64 = 64 << 10;

/// The result of identifying a file.
pub(in super::super) enum Identified {
    /// A text that is read from its position on.
    Text(Box<Text>, Content, Progress),
    /// A text that is read from its beginning, since the remembered text is no longer in the file.
    Restarted(Box<Text>, Content, &'static str),
    /// The file is empty. A growing file may get a text later.
    Empty(Stamp),
    /// The compressed file ends too early to be identified.
    Incomplete,
    /// Another file is at the path now.
    Moved,
    /// A compressed text with this beginning. To identify it, the caller has to supply the candidates for its original.
    Compressed(Vec<u8>),
    /// A compressed copy of a text that this other file brings.
    Copies(FileId),
    /// A compressed copy whose partition was already read beyond the copy's end.
    Done(Partition),
    /// A compressed text that may be a copy: another scan is needed to decide.
    Undecided,
    /// A compressed copy of the text that was read from this other file, which now holds another text.
    Replaced(FileId),
    /// The part of the text that was read has changed since.
    Changed,
    /// The file is packed in this format, and is not decompressed.
    Packed(Packing),
}

/// What is known of a file before it is identified.
pub(in super::super) struct Knowledge {
    pub(in super::super) key: Key,
    /// The remembered texts of files with the same key.
    pub(in super::super) remembered: Vec<RememberedFile>,
    /// The lowest generation that a new text may get.
    pub(in super::super) generation_min: u32,
    /// The candidates for the original of a compressed copy; `None` until [`Identified::Compressed`] asks for them.
    pub(in super::super) candidates: Option<CopyCandidates>,
}

/// Opens a file and identifies its text.
pub(in super::super) fn identify(
    path: &Path,
    knowledge: &Knowledge,
    rules: &TextRules,
) -> io::Result<Identified> {
    let mut content = Content::open(&*rules.file_system, path)?;
    let State { key, stamp } = content.state()?;
    if key != knowledge.key {
        return Ok(Identified::Moved);
    }
    let encoding = match content.packing(rules.records)? {
        Some(Packing::Encoded(encoding)) => encoding,
        Some(packing @ Packing::Unreadable(_)) => return Ok(Identified::Packed(packing)),
        None if content.head()?.is_empty() => return Ok(Identified::Empty(stamp)),
        None => return recognise(content, None, stamp, knowledge, rules),
    };
    let packed = || Ok(Identified::Packed(Packing::Encoded(encoding)));
    let head = content.decompressed(encoding).and_then(|mut content| Ok((content.head()?, content)));
    let (head, mut content) = match head {
        // Nobody needs its text.
        Err(error) if !rules.decompress && is_damage(&error) => return packed(),
        head => head?,
    };
    if head.len() < HEAD_BYTES && content.is_incomplete() {
        return Ok(Identified::Incomplete);
    }
    if head.is_empty() {
        return Ok(Identified::Empty(stamp));
    }
    // A text behind a hole may be another one than a remembered text that begins alike.
    let is_known = |known: &RememberedFile| may_match(known.head, &head) && !is_hole(&known.head);
    if rules.copies && !knowledge.remembered.iter().any(is_known) {
        let Some(candidates) = &knowledge.candidates else { return Ok(Identified::Compressed(head)) };
        match find_origin(
            &mut content,
            candidates,
            rules.file_system.as_ref(),
            rules.splitting.encoding().units(),
        )? {
            CopyOrigin::Unknown if !rules.decompress => return packed(),
            CopyOrigin::Unknown => {}
            CopyOrigin::File(id) => return Ok(Identified::Copies(id)),
            CopyOrigin::Finished(partition) => return Ok(Identified::Done(partition)),
            CopyOrigin::Incomplete => return Ok(Identified::Incomplete),
            CopyOrigin::Undecided => return Ok(Identified::Undecided),
            CopyOrigin::Replaced(id) => return Ok(Identified::Replaced(id)),
            CopyOrigin::Continues(hash, partition, progress) => {
                let mut text = Text::new(key, 0, Head::of(&head), Some(encoding), stamp, hash);
                text.partition = Some(partition);
                return Ok(Identified::Text(Box::new(text), content, progress));
            }
        }
    }
    recognise(content, Some(encoding), stamp, knowledge, rules)
}

/// Returns whether an error of reading says that compressed data are damaged.
fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::Other)
}

/// Continues the text if it is remembered; begins it otherwise.
fn recognise(
    mut content: Content,
    encoding: Option<Encoding>,
    stamp: Stamp,
    knowledge: &Knowledge,
    rules: &TextRules,
) -> io::Result<Identified> {
    let head = content.head()?;
    let named = |known| Some((RememberedFile::name(known)?, known));
    let mut generations: Vec<(PartitionName, &RememberedFile)> =
        knowledge.remembered.iter().filter_map(named).collect();
    generations.sort_by_key(|(name, _)| std::cmp::Reverse(name.generation));
    let next_generation = generations.first().map_or(0, |(name, _)| name.generation + 1);
    let next_generation = next_generation.max(knowledge.generation_min);
    let text = |generation, hash| {
        Box::new(Text::new(knowledge.key, generation, Head::of(&head), encoding, stamp, hash))
    };
    let same = |(name, known): &&(PartitionName, &RememberedFile)| {
        name.head.begins(&head) && known.head.begins(&head)
    };
    let Some((name, known)) = generations.iter().find(same) else {
        let text = text(next_generation, RunningHash::new(0));
        return Ok(match generations.iter().any(|(name, _)| name.head.length > 0) {
            true => Identified::Restarted(text, content, "it begins with another text than it did"),
            false => Identified::Text(text, content, Progress::default()),
        });
    };
    match resumed(&mut content, known, encoding.is_none(), stamp)? {
        Resumed::RunningHash(hash) => {
            let mut text = text(name.generation, hash);
            text.partition = Some(Partition::new(known.partition.clone()));
            Ok(Identified::Text(text, content, Progress::of(known)))
        }
        Resumed::Shorter if content.is_incomplete() => Ok(Identified::Incomplete),
        Resumed::Shorter if rules.follow => {
            let text = text(next_generation, RunningHash::new(0));
            Ok(Identified::Restarted(text, content, "it is shorter than what was read of it"))
        }
        // Two texts behind holes begin alike.
        Resumed::Shorter | Resumed::Changed if is_hole(&name.head) => {
            let text = text(next_generation, RunningHash::new(0));
            Ok(Identified::Restarted(text, content, "it holds another text than it did"))
        }
        Resumed::Shorter | Resumed::Changed => Ok(Identified::Changed),
    }
}

enum Resumed {
    RunningHash(RunningHash),
    Shorter,
    Changed,
}

/// Continues a remembered text, if its remembered part is unchanged.
fn resumed(content: &mut Content, known: &RememberedFile, plain: bool, stamp: Stamp) -> io::Result<Resumed> {
    let position = known.resume_position();
    if plain && stamp.length < position {
        return Ok(Resumed::Shorter);
    }
    let Some(consumed) = known.consumed.filter(|consumed| consumed.through <= position) else {
        let name = known.name();
        let begins_with_hole = name.is_some_and(|name| is_hole(&name.head));
        // A hole tells nothing, so the text that was put first has to be there, however much of it was delivered.
        let is_known = |first: &TextHash| begins_with_hole || first.through <= position;
        let first = name.and_then(|name| name.first).filter(is_known);
        let same = first.map_or(Ok(!begins_with_hole), |first| first.is_in(content))?;
        return Ok(if same { Resumed::RunningHash(RunningHash::new(position)) } else { Resumed::Changed });
    };
    let mut hash = RunningHash::new(consumed.base);
    if !hash.read_through(content, consumed.through)? || hash.current() != consumed {
        return Ok(Resumed::Changed);
    }
    match hash.read_through(content, position)? {
        true => Ok(Resumed::RunningHash(hash)),
        false => Ok(Resumed::Shorter),
    }
}

/// Opens a text at its end, before a last line without a line end. Returns `None` if the file is empty, is packed and is not
/// decompressed, or was replaced.
pub(in super::super) fn open_at_end(
    path: &Path,
    key: Key,
    rules: &TextRules,
) -> io::Result<Option<Box<Text>>> {
    let mut content = Content::open(&*rules.file_system, path)?;
    let state = content.state()?;
    let encoding = match content.packing(rules.records)? {
        Some(Packing::Encoded(encoding)) if rules.decompress => {
            content = content.decompressed(encoding)?;
            Some(encoding)
        }
        // It is left out.
        Some(_) => return Ok(None),
        None => None,
    };
    let head = content.head()?;
    if state.key != key || head.is_empty() {
        return Ok(None);
    }
    let hash = match encoding {
        None => {
            let position = last_line(&mut content, state.stamp.length, rules.splitting.encoding().units())?;
            // A compressed copy is recognised by the hash of the text before the position.
            let mut hash = RunningHash::new(position.saturating_sub(BACKWARDS_BYTES));
            hash.read_through(&mut content, position)?;
            hash
        }
        Some(_) => {
            let mut hash = RunningHash::new(0);
            hash.read_through(&mut content, u64::MAX)?;
            hash
        }
    };
    Ok(Some(Box::new(Text::new(key, 0, Head::of(&head), encoding, state.stamp, hash))))
}

/// Returns the position behind the last line end before `end`.
fn last_line(content: &mut Content, end: u64, units: CodeUnits) -> io::Result<u64> {
    let mut from = units.whole(end);
    while from > 0 {
        let begin = from.saturating_sub(BACKWARDS_BYTES);
        let part = content.read(begin, (from - begin) as usize)?;
        if let Some(end) = units.last_line_end(&part) {
            return Ok(begin + end as u64);
        }
        from = begin;
    }
    Ok(0)
}
