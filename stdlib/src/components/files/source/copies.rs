//! Finds the original of a compressed copy, and the position that was reached in it. All functions block.
//!
//! A copy and its original have the same text, so they share a partition: when the original is gone, its copy is read
//! on at the same position and under the same partition, and channels and sinks see no difference. As long as the
//! original exists or is open, the copy waits, since the original brings every line.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;

use weir_runtime::batch::Partition;

use super::content::Content;
use super::file_system::{FileSystem, OpenFile};
use super::identity::{Head, Key, PartitionName};
use super::positions::RememberedFile;
use super::text::Progress;
use super::text_hash::{RunningHash, TextHash};
use super::tracked::FileId;
use crate::tools::encoding::CodeUnits;

/// How many bytes of two texts are compared at once.
const COMPARED_BYTES: usize = 256 << 10;

/// The texts that may be the original of a compressed text.
#[derive(Debug, Default)]
pub(super) struct CopyCandidates {
    pub(super) known_texts: Vec<KnownText>,
    pub(super) readable_files: Vec<ReadableFile>,
    /// The texts that were read from the readable files. Such a file may hold another text by now, without the source
    /// having noticed it.
    pub(super) read_texts: Vec<KnownText>,
    /// The partition of the original that an earlier check has found, and the position before which all of it is
    /// delivered.
    pub(super) copy_of: Option<(Partition, u64)>,
    /// Whether files may grow, so that an original may be longer than its copy.
    pub(super) grow: bool,
}

/// A text of which only the hashes of some parts are known.
#[derive(Debug, Clone)]
pub(super) struct KnownText {
    pub(super) partition: Partition,
    /// The hashes of the known parts.
    parts: Vec<TextHash>,
    /// The position at which reading continues.
    position: u64,
    /// How far it is delivered.
    progress: Progress,
    /// The file that may still bring more of it.
    reader: Option<FileId>,
}

/// A file whose text can be read and compared.
#[derive(Debug)]
pub(super) struct ReadableFile {
    pub(super) id: FileId,
    pub(super) text: ReadableText,
}

/// Where the text of a [`ReadableFile`] is read.
#[derive(Debug)]
pub(super) enum ReadableText {
    At {
        path: PathBuf,
        key: Key,
        compressed: bool,
    },
    /// The file is open; it may be gone from its path.
    Open(Box<dyn OpenFile>),
}

/// The origin of a compressed text.
pub(super) enum CopyOrigin {
    /// The text is not a copy of a known text.
    Unknown,
    /// The text is a copy of a text that this file brings.
    File(FileId),
    /// The compressed file ends too early to decide, since it is still being written.
    Incomplete,
    /// A file that may be the original is gone since the last scan.
    Undecided,
    /// The text is a copy of the text that was read from this file, which now holds another text.
    Replaced(FileId),
    /// The text is a copy, and its partition was already read beyond the copy's end.
    Finished(Partition),
    /// The text is a copy of a text that is gone: it is read on behind the hashed part, under this partition.
    Continues(RunningHash, Partition, Progress),
}

impl KnownText {
    /// Returns `None` if no hash is known by which the text could be told from another one with the same beginning.
    pub(super) fn new(
        partition: Partition,
        position: u64,
        consumed: Option<TextHash>,
        reader: Option<FileId>,
    ) -> Option<KnownText> {
        let consumed = consumed.filter(|part| part.base < part.through && part.through <= position);
        let covers =
            |part: TextHash, first: &TextHash| part.base <= first.base && first.through <= part.through;
        // The first put may end behind the position: a sink may have a part of it, but not its beginning.
        let first = partition.name().parse::<PartitionName>().ok().and_then(|name| name.first);
        let first = first.filter(|first| !consumed.is_some_and(|consumed| covers(consumed, first)));
        let parts: Vec<TextHash> = first.into_iter().chain(consumed).collect();
        let progress = Progress::default();
        (!parts.is_empty()).then_some(KnownText { partition, parts, position, progress, reader })
    }

    /// Returns the text of a remembered file; `None` if none of its hashes is known.
    pub(super) fn of_remembered(known: &RememberedFile, reader: Option<FileId>) -> Option<KnownText> {
        let (partition, position) = (Partition::new(known.partition.clone()), known.resume_position());
        let known_text = KnownText::new(partition, position, known.consumed, reader)?;
        Some(KnownText { progress: Progress::of(known), ..known_text })
    }

    /// Returns the end of the last known part.
    fn through(&self) -> u64 {
        self.parts.iter().map(|part| part.through).max().unwrap_or_default()
    }

    /// Returns whether another text contains all known parts.
    fn is_in(&self, content: &mut Content) -> io::Result<bool> {
        for part in &self.parts {
            if !part.is_in(content)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Hashes another text up to the position at which reading continues; returns `None` if that text does not contain
    /// the known parts, or is shorter.
    fn read_again(&self, content: &mut Content, units: CodeUnits) -> io::Result<Option<RunningHash>> {
        let mut hash = RunningHash::new(0);
        for part in &self.parts {
            hash = RunningHash::new(part.base);
            if !hash.read_through(content, part.through)? || hash.current() != *part {
                return Ok(None);
            }
        }
        let verified = hash.through() >= self.position;
        if hash.through() > self.position {
            hash = RunningHash::new(0);
        }
        if !hash.read_through(content, self.position)? {
            return Ok(None);
        }
        // Without a hash of the lines behind the known parts, only the line end before the position is checked. Another
        // text would hardly have one there.
        let unit = units.carriage_return().len();
        let around = if verified {
            Vec::new()
        } else {
            content.read(self.position.saturating_sub(unit as u64), unit + 1)?
        };
        let is_line_end = around.len() <= unit || units.line_end(&around[..unit]).is_some();
        Ok(is_line_end.then_some(hash))
    }
}

impl ReadableText {
    /// Opens the text; returns `None` if the file is no longer at its path.
    fn content(&self, file_system: &dyn FileSystem) -> io::Result<Option<Content>> {
        match self {
            ReadableText::Open(file) => Ok(Some(Content::Plain(file.again()?))),
            ReadableText::At { path, key, compressed } => {
                let content = match Content::open(file_system, path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    content => content?,
                };
                if content.state()?.key != *key {
                    return Ok(None);
                }
                match content.compression()?.filter(|_| *compressed) {
                    Some(compression) => content.decompressed(compression).map(Some),
                    None => Ok(Some(content)),
                }
            }
        }
    }
}

/// Finds the origin of a compressed text.
pub(super) fn find_origin(
    content: &mut Content,
    candidates: &CopyCandidates,
    file_system: &dyn FileSystem,
    units: CodeUnits,
) -> io::Result<CopyOrigin> {
    let matching_texts = matching_texts(content, &candidates.known_texts)?;
    let mut is_incomplete = content.is_incomplete();
    let mut found = None;
    for known_text in matching_texts {
        if let Some(hash) = known_text.read_again(content, units)? {
            found = Some((known_text, hash));
            break;
        }
        is_incomplete |= content.is_incomplete();
    }
    if let Some((known_text, hash)) = &found
        && known_text.reader.is_none()
        && ends_at(content, known_text.position)?
    {
        return Ok(CopyOrigin::Continues(hash.clone(), known_text.partition.clone(), known_text.progress));
    }
    for readable in &candidates.readable_files {
        let Some(mut other) = readable.text.content(file_system)? else { return Ok(CopyOrigin::Undecided) };
        if begins_with_compressed(&mut other, content, candidates.grow)? {
            return Ok(CopyOrigin::File(readable.id));
        }
    }
    if let Some(replaced) = replaced(content, candidates, file_system)? {
        return Ok(replaced);
    }
    match (found, &candidates.copy_of) {
        (Some((KnownText { reader: Some(reader), .. }, _)), _) => Ok(CopyOrigin::File(*reader)),
        (Some((known_text, hash)), _) => {
            Ok(CopyOrigin::Continues(hash, known_text.partition.clone(), known_text.progress))
        }
        (None, _) if is_incomplete => Ok(CopyOrigin::Incomplete),
        (None, Some((partition, position))) if ends_at(content, *position)? => {
            Ok(CopyOrigin::Finished(partition.clone()))
        }
        (None, _) => Ok(CopyOrigin::Unknown),
    }
}

/// Finds a file from which this text was read and which now holds another text.
fn replaced(
    content: &mut Content,
    candidates: &CopyCandidates,
    file_system: &dyn FileSystem,
) -> io::Result<Option<CopyOrigin>> {
    if weir_runtime::put_back!("replaced_originals_forgotten") {
        return Ok(None);
    }
    for read in matching_texts(content, &candidates.read_texts)? {
        if !read.is_in(content)? {
            continue;
        }
        let readable_files =
            candidates.readable_files.iter().filter(|readable| Some(readable.id) == read.reader);
        for readable in readable_files {
            let Some(mut other) = readable.text.content(file_system)? else {
                return Ok(Some(CopyOrigin::Undecided));
            };
            if !read.is_in(&mut other)? {
                return Ok(Some(CopyOrigin::Replaced(readable.id)));
            }
        }
    }
    Ok(None)
}

/// Returns whether the text is complete and ends at or before the position.
fn ends_at(content: &mut Content, position: u64) -> io::Result<bool> {
    Ok(content.read(position, 1)?.is_empty() && !content.is_incomplete())
}

/// Returns the known texts that may be the original, the one with the longest known part first. The compressed text is
/// decompressed only once, even if there are many known texts with the same beginning.
fn matching_texts<'a>(content: &mut Content, known_texts: &'a [KnownText]) -> io::Result<Vec<&'a KnownText>> {
    let from_the_beginning = |part: &&TextHash| part.base == 0;
    let ends: BTreeSet<u64> = known_texts
        .iter()
        .flat_map(|known_text| &known_text.parts)
        .filter(from_the_beginning)
        .map(|part| part.through)
        .collect();
    let mut hash = RunningHash::new(0);
    let mut digests = HashMap::new();
    for through in ends {
        if !hash.read_through(content, through)? {
            break;
        }
        digests.insert(through, hash.current());
    }
    let fits = |part: &TextHash| part.base > 0 || digests.get(&part.through) == Some(part);
    let mut matching_texts: Vec<&KnownText> =
        known_texts.iter().filter(|known_text| known_text.parts.iter().all(fits)).collect();
    matching_texts.sort_by_key(|known_text| {
        std::cmp::Reverse((known_text.through(), known_text.position, known_text.reader.is_none()))
    });
    Ok(matching_texts)
}

/// Returns whether a text begins with the complete compressed text. If the text may have grown, or the compressed file
/// is still being written, the text may be longer.
fn begins_with_compressed(
    text: &mut Content,
    compressed: &mut Content,
    may_have_grown: bool,
) -> io::Result<bool> {
    let mut position = 0;
    loop {
        let part = compressed.read(position, COMPARED_BYTES)?;
        if part.is_empty() {
            return Ok(may_have_grown || compressed.is_incomplete() || ends_at(text, position)?);
        }
        if text.read(position, part.len())? != part {
            return Ok(false);
        }
        position += part.len() as u64;
    }
}

/// Returns whether a text with this beginning may be the remembered one.
pub(super) fn may_match(head: Head, beginning: &[u8]) -> bool {
    head.length > 0 && head.begins(beginning)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::file_system::LocalFileSystem;
    use super::*;

    #[test]
    fn a_copy_of_a_text_that_was_put_but_not_delivered_continues_its_partition() {
        let text = b"one\ntwo\nthree\n";
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&zstd::encode_all(&text[..], 1).unwrap()).unwrap();
        let mut first = RunningHash::new(0);
        first.add(&text[..8]);
        let key = Key { device: 1, inode: 2, birth: 3 };
        let name =
            PartitionName { key, head: Head::of(&text[..8]), generation: 0, first: Some(first.current()) };
        for position in [0, 4, 8, 14] {
            let plain = Content::Plain(Box::new(file.try_clone().unwrap()));
            let compression = plain.compression().unwrap().unwrap();
            let mut content = plain.decompressed(compression).unwrap();
            let known_text = KnownText::new(name.partition(), position, None, None).unwrap();
            let candidates = CopyCandidates { known_texts: vec![known_text], ..CopyCandidates::default() };
            let CopyOrigin::Continues(hash, partition, _) =
                find_origin(&mut content, &candidates, &LocalFileSystem, CodeUnits::Bytes).unwrap()
            else {
                panic!("at {position}");
            };
            assert_eq!((hash.through(), partition), (position, name.partition()));
        }
    }
}
