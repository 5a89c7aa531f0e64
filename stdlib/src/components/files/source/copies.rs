//! Whether a packed text is that of a file that was read before it was packed, and how far. It blocks.
//!
//! A copy and its original are one text, so they are one partition: what has gone is read on from its copy,
//! at the position where reading it ended and under its name, and whoever stores positions sees no difference.
//! As long as the original is there, or still open, a copy waits: the original brings every line of it.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;

use weir_runtime::batch::Partition;

use super::consumed::{Consumed, Running};
use super::content::Content;
use super::file_system::{FileSystem, OpenFile};
use super::identity::{Head, Key, Name};
use super::positions::RememberedFile;
use super::text::Progress;
use super::tracked::FileId;

/// How much of two texts is compared at once.
const COMPARED_BYTES: usize = 256 << 10;

/// What a packed text may be a copy of.
#[derive(Debug, Default)]
pub(super) struct Kin {
    pub(super) ancestors: Vec<Ancestor>,
    pub(super) neighbours: Vec<Neighbour>,
    /// What was read of the neighbours. Other texts may lie there by now, which nobody has noticed yet.
    pub(super) read: Vec<Ancestor>,
    /// The file was found to be a copy of this before, of which everything before the position is delivered.
    pub(super) copy_of: Option<(Partition, u64)>,
    /// Whether files grow, so that an original may be longer than its copy.
    pub(super) grow: bool,
}

/// A text that can't be looked at any more: what is known of it.
#[derive(Debug, Clone)]
pub(super) struct Ancestor {
    pub(super) partition: Partition,
    /// The parts of the text whose hashes are known.
    known: Vec<Consumed>,
    /// Where reading goes on.
    position: u64,
    /// What is delivered of it.
    progress: Progress,
    /// Who may still bring more of it.
    reader: Option<FileId>,
}

/// A file whose text can be looked at.
#[derive(Debug)]
pub(super) struct Neighbour {
    pub(super) id: FileId,
    pub(super) text: NeighbourText,
}

#[derive(Debug)]
pub(super) enum NeighbourText {
    At {
        path: PathBuf,
        key: Key,
        packed: bool,
    },
    /// It is open, and may have gone.
    Open(Box<dyn OpenFile>),
}

/// What a packed text has turned out to be.
pub(super) enum Descent {
    /// No copy of anything that is known.
    Unknown,
    /// A copy of what this file brings.
    Copies(FileId),
    /// It may become one: it is still being written.
    Unfinished,
    /// A file that it may be a copy of has gone since the last look.
    Unsure,
    /// A copy of what was read of this file, which holds another text now.
    Replaced(FileId),
    /// A copy of what was read beyond its end.
    Done(Partition),
    /// A copy of what has gone. It is read on from here, under this name.
    From(Running, Partition, Progress),
}

impl Ancestor {
    /// `None` if nothing is known by which its text could be told from another one with the same beginning.
    pub(super) fn new(
        partition: Partition,
        position: u64,
        consumed: Option<Consumed>,
        reader: Option<FileId>,
    ) -> Option<Ancestor> {
        let consumed = consumed.filter(|part| part.base < part.through && part.through <= position);
        let covers =
            |part: Consumed, first: &Consumed| part.base <= first.base && first.through <= part.through;
        // It may lie behind the position: a sink may have some of it, and not its beginning.
        let first = partition.name().parse::<Name>().ok().and_then(|name| name.first);
        let first = first.filter(|first| !consumed.is_some_and(|consumed| covers(consumed, first)));
        let known: Vec<Consumed> = first.into_iter().chain(consumed).collect();
        let progress = Progress::default();
        (!known.is_empty()).then_some(Ancestor { partition, known, position, progress, reader })
    }

    pub(super) fn of_remembered(known: &RememberedFile, reader: Option<FileId>) -> Option<Ancestor> {
        let (partition, position) = (Partition::new(known.partition.clone()), known.reads_on_at());
        let ancestor = Ancestor::new(partition, position, known.consumed, reader)?;
        Some(Ancestor { progress: Progress::of(known), ..ancestor })
    }

    /// How much of the text is known.
    fn through(&self) -> u64 {
        self.known.iter().map(|part| part.through).max().unwrap_or_default()
    }

    /// Whether a text still has what is known of this one.
    fn is_in(&self, content: &mut Content) -> io::Result<bool> {
        for part in &self.known {
            if !part.is_in(content)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The text of the same, if it is that and reaches to where reading goes on.
    fn read_again(&self, content: &mut Content) -> io::Result<Option<Running>> {
        let mut running = Running::new(0);
        for part in &self.known {
            running = Running::new(part.base);
            if !running.read_through(content, part.through)? || running.so_far() != *part {
                return Ok(None);
            }
        }
        let verified = running.through() >= self.position;
        if running.through() > self.position {
            running = Running::new(0);
        }
        if !running.read_through(content, self.position)? {
            return Ok(None);
        }
        // What was read behind the known part is some lines, which a text of another kind would not have there.
        let around = if verified { Vec::new() } else { content.read(self.position - 1, 2)? };
        Ok(matches!(around.as_slice(), [] | [_] | [b'\n', ..]).then_some(running))
    }
}

impl NeighbourText {
    /// `None` if there is another file at the path now, or none.
    fn content(&self, file_system: &dyn FileSystem) -> io::Result<Option<Content>> {
        match self {
            NeighbourText::Open(file) => Ok(Some(Content::Plain(file.again()?))),
            NeighbourText::At { path, key, packed } => {
                let content = match Content::open(file_system, path) {
                    Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                    content => content?,
                };
                if content.state()?.key != *key {
                    return Ok(None);
                }
                match content.packing()?.filter(|_| *packed) {
                    Some(packing) => content.unpacked(packing).map(Some),
                    None => Ok(Some(content)),
                }
            }
        }
    }
}

/// Finds out what a packed text descends from.
pub(super) fn descent(content: &mut Content, kin: &Kin, file_system: &dyn FileSystem) -> io::Result<Descent> {
    let possible = possible(content, &kin.ancestors)?;
    let mut is_incomplete = content.is_incomplete();
    let mut found = None;
    for ancestor in possible {
        if let Some(running) = ancestor.read_again(content)? {
            found = Some((ancestor, running));
            break;
        }
        is_incomplete |= content.is_incomplete();
    }
    if let Some((ancestor, running)) = &found
        && ancestor.reader.is_none()
        && ends_at(content, ancestor.position)?
    {
        return Ok(Descent::From(running.clone(), ancestor.partition.clone(), ancestor.progress));
    }
    for neighbour in &kin.neighbours {
        let Some(mut other) = neighbour.text.content(file_system)? else { return Ok(Descent::Unsure) };
        if begins(&mut other, content, kin.grow)? {
            return Ok(Descent::Copies(neighbour.id));
        }
    }
    if let Some(replaced) = replaced(content, kin, file_system)? {
        return Ok(replaced);
    }
    match (found, &kin.copy_of) {
        (Some((Ancestor { reader: Some(reader), .. }, _)), _) => Ok(Descent::Copies(*reader)),
        (Some((ancestor, running)), _) => {
            Ok(Descent::From(running, ancestor.partition.clone(), ancestor.progress))
        }
        (None, _) if is_incomplete => Ok(Descent::Unfinished),
        (None, Some((partition, position))) if ends_at(content, *position)? => {
            Ok(Descent::Done(partition.clone()))
        }
        (None, _) => Ok(Descent::Unknown),
    }
}

/// Whether the text is a copy of what was read of a neighbour that holds another text now.
fn replaced(content: &mut Content, kin: &Kin, file_system: &dyn FileSystem) -> io::Result<Option<Descent>> {
    if weir_runtime::put_back!("replaced_originals_forgotten") {
        return Ok(None);
    }
    for read in possible(content, &kin.read)? {
        if !read.is_in(content)? {
            continue;
        }
        let neighbours = kin.neighbours.iter().filter(|neighbour| Some(neighbour.id) == read.reader);
        for neighbour in neighbours {
            let Some(mut other) = neighbour.text.content(file_system)? else {
                return Ok(Some(Descent::Unsure));
            };
            if !read.is_in(&mut other)? {
                return Ok(Some(Descent::Replaced(neighbour.id)));
            }
        }
    }
    Ok(None)
}

/// Whether the text is whole and has nothing behind that position.
fn ends_at(content: &mut Content, position: u64) -> io::Result<bool> {
    Ok(content.read(position, 1)?.is_empty() && !content.is_incomplete())
}

/// The ancestors that the text may come from, the one that is known best first. However many there are with
/// the same beginning, the text is unpacked once.
fn possible<'a>(content: &mut Content, ancestors: &'a [Ancestor]) -> io::Result<Vec<&'a Ancestor>> {
    let from_the_beginning = |part: &&Consumed| part.base == 0;
    let ends: BTreeSet<u64> = ancestors
        .iter()
        .flat_map(|ancestor| &ancestor.known)
        .filter(from_the_beginning)
        .map(|part| part.through)
        .collect();
    let mut running = Running::new(0);
    let mut digests = HashMap::new();
    for through in ends {
        if !running.read_through(content, through)? {
            break;
        }
        digests.insert(through, running.so_far());
    }
    let fits = |part: &Consumed| part.base > 0 || digests.get(&part.through) == Some(part);
    let mut possible: Vec<&Ancestor> =
        ancestors.iter().filter(|ancestor| ancestor.known.iter().all(fits)).collect();
    possible.sort_by_key(|ancestor| {
        std::cmp::Reverse((ancestor.through(), ancestor.position, ancestor.reader.is_none()))
    });
    Ok(possible)
}

/// Whether a text begins with all that there is of the packed one, which may be still in the making; and may
/// have grown since.
fn begins(text: &mut Content, packed: &mut Content, may_have_grown: bool) -> io::Result<bool> {
    let mut position = 0;
    loop {
        let part = packed.read(position, COMPARED_BYTES)?;
        if part.is_empty() {
            return Ok(may_have_grown || packed.is_incomplete() || ends_at(text, position)?);
        }
        if text.read(position, part.len())? != part {
            return Ok(false);
        }
        position += part.len() as u64;
    }
}

/// Whether a text with this beginning may be the one that is remembered.
pub(super) fn may_be(head: Head, beginning: &[u8]) -> bool {
    head.length > 0 && head.begins(beginning)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::super::file_system::LocalFileSystem;
    use super::*;

    #[test]
    fn a_copy_of_what_was_put_and_did_not_arrive_is_known_and_begun_under_the_same_name() {
        let text = b"one\ntwo\nthree\n";
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&zstd::encode_all(&text[..], 1).unwrap()).unwrap();
        let mut first = Running::new(0);
        first.add(&text[..8]);
        let key = Key { device: 1, inode: 2, birth: 3 };
        let name = Name { key, head: Head::of(&text[..8]), generation: 0, first: Some(first.so_far()) };
        for position in [0, 4, 8, 14] {
            let plain = Content::Plain(Box::new(file.try_clone().unwrap()));
            let packing = plain.packing().unwrap().unwrap();
            let mut content = plain.unpacked(packing).unwrap();
            let ancestor = Ancestor::new(name.partition(), position, None, None).unwrap();
            let kin = Kin { ancestors: vec![ancestor], ..Kin::default() };
            let Descent::From(running, partition, _) = descent(&mut content, &kin, &LocalFileSystem).unwrap()
            else {
                panic!("at {position}");
            };
            assert_eq!((running.through(), partition), (position, name.partition()));
        }
    }
}
