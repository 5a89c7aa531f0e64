//! Identifies and reads the text of one file. All functions block.

mod identification;

use std::io;
use std::path::Path;
use std::sync::Arc;

use weir_runtime::batch::Partition;
use weir_runtime::source::DeliveredThrough;

use super::content::{Content, Encoding, Packing};
use super::file_system::FileSystem;
use super::identity::{HEAD_BYTES, Head, Key, PartitionName, Stamp, State};
use super::members::Rest;
use super::partial_lines::{PartialLine, PartialLines};
use super::positions::RememberedFile;
use super::splitting::Splitting;
use super::text_hash::{RunningHash, TextHash};
use super::text_reader::{Chunk, TextReader};
use crate::formats::reading::RecordRules;
use crate::tools::buffers::Buffers;
use crate::tools::lines::{Ending, Split};
pub(super) use identification::{Identified, Knowledge, identify, open_at_end};

/// How many bytes before the position are verified before an idle file is read on.
const TAIL_BYTES: usize = 32;

/// The rules for reading texts.
#[derive(Clone)]
pub(super) struct TextRules {
    pub(super) buffers: Buffers,
    pub(super) splitting: Splitting,
    /// How records are read; without, files hold text.
    pub(super) records: Option<RecordRules>,
    pub(super) events_max: usize,
    /// Whether files may grow.
    pub(super) follow: bool,
    /// Whether files are complete when they are found: their last line needs no line end.
    pub(super) complete: bool,
    /// Whether a compressed file may be a copy of another one.
    pub(super) copies: bool,
    /// Whether compressed files are decompressed.
    pub(super) decompress: bool,
    /// The file system that contains the files.
    pub(super) file_system: Arc<dyn FileSystem>,
    /// Keeps last lines without a line end.
    pub(super) partial_lines: PartialLines,
}

/// The state of reading a text.
#[derive(Clone)]
pub(super) struct Text {
    pub(super) key: Key,
    pub(super) generation: u32,
    /// Its partition; `None` until something of it is put.
    pub(super) partition: Option<Partition>,
    /// The hash of its beginning, as much of it as was read.
    pub(super) head: Head,
    encoding: Option<Encoding>,
    pub(super) reader: TextReader,
    /// The last bytes before the position.
    tail: Vec<u8>,
    /// The file's stamp before the last read.
    pub(super) stamp: Stamp,
    /// Whether the last read came to the end of the text.
    pub(super) at_rest: bool,
    /// The partial line behind the position.
    pub(super) partial_line: Option<PartialLine>,
    /// The bytes that were found behind the compressed text.
    pub(super) rest: Rest,
}

/// The result of reading on in a file.
pub(super) enum Outcome {
    Read(Chunk),
    /// Another file is at the path now.
    Moved,
    /// The file now holds another text, which is read from its beginning.
    Rewritten(&'static str),
    /// The part of the text that was read has changed, or a complete file has grown.
    Changed,
    /// The file ends within compressed data.
    Incomplete,
    /// The file is packed in another way than it seemed to be when nothing of it was read.
    Repacked,
}

/// How far a text is known to be delivered when reading continues. More may have been put into channels; reading
/// continues behind that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Progress {
    pub(super) delivered: DeliveredThrough,
    pub(super) consumed: Option<TextHash>,
}

impl Progress {
    pub(super) fn of(known: &RememberedFile) -> Progress {
        Progress { delivered: known.position, consumed: known.consumed }
    }
}

impl Text {
    fn new(
        key: Key,
        generation: u32,
        head: Head,
        encoding: Option<Encoding>,
        stamp: Stamp,
        hash: RunningHash,
    ) -> Text {
        let reader = TextReader::new(hash.through(), hash);
        Text {
            key,
            generation,
            partition: None,
            head,
            encoding,
            reader,
            tail: Vec::new(),
            stamp,
            at_rest: false,
            partial_line: None,
            rest: Rest::Nothing,
        }
    }

    pub(super) fn is_compressed(&self) -> bool {
        self.encoding.is_some()
    }

    /// Returns whether it continues a partition that another file has begun.
    pub(super) fn is_copy(&self) -> bool {
        let name =
            self.partition.as_ref().and_then(|partition| partition.name().parse::<PartitionName>().ok());
        name.is_some_and(|name| name.key != self.key)
    }

    /// Returns the text's partition, and creates it on the first call.
    pub(super) fn name(&mut self) -> Partition {
        let first = Some(self.reader.hash.current()).filter(|first| first.base < first.through);
        let name = PartitionName { key: self.key, head: self.head, generation: self.generation, first };
        self.partition.get_or_insert_with(|| name.partition()).clone()
    }

    /// Reads the next chunk, after verifying that the part that was read is unchanged.
    ///
    /// # Errors
    /// When a call fails. The state is then unchanged, so that the next attempt reads the same chunk.
    pub(super) fn read_chunk(
        &mut self,
        path: &Path,
        content: Option<Content>,
        rules: &TextRules,
        ending: Ending,
    ) -> io::Result<(Content, Outcome)> {
        let before = self.clone();
        let read = self.try_read_chunk(path, content, rules, ending);
        if read.is_err() && !weir_runtime::put_back!("failed_call_passes_over_lines") {
            *self = before;
        }
        read
    }

    fn try_read_chunk(
        &mut self,
        path: &Path,
        content: Option<Content>,
        rules: &TextRules,
        mut ending: Ending,
    ) -> io::Result<(Content, Outcome)> {
        let closed = content.is_none();
        let mut content = match content {
            Some(content) => content,
            None => Content::open(&*rules.file_system, path)?,
        };
        let State { key, stamp } = content.state()?;
        if key != self.key {
            return Ok((content, Outcome::Moved));
        }
        // Without birth times, the inode may belong to another file now; and a short file may have become compressed.
        let verifies = rules.follow && (closed || self.reader.position == 0);
        if verifies && content.packing(rules.records)? != self.encoding.map(Packing::Encoded) {
            // The first bytes may have come one by one.
            let is_unread = self.partition.is_none() && self.reader.position == 0;
            let why = "it is packed in another way than it was";
            return Ok((content, if is_unread { Outcome::Repacked } else { Outcome::Rewritten(why) }));
        }
        if let Some(encoding) = self.encoding {
            content = content.decompressed(encoding)?;
        }
        if let Some(outcome) = self.changed(&mut content, stamp, closed, rules)? {
            return Ok((content, outcome));
        }
        // It stays false if reading fails.
        self.at_rest = false;
        if ending == Ending::Pause && stamp != self.stamp {
            ending = Ending::Open;
        }
        if self.is_compressed() {
            ending = Ending::End;
        }
        self.stamp = stamp;
        self.partial_line = None;
        let mut chunk = self.reader.read_chunk(
            &mut content,
            &rules.buffers,
            &rules.splitting,
            rules.events_max,
            ending,
        )?;
        self.at_rest = chunk.at_end;
        self.partial_line = rules.partial_lines.keep(std::mem::take(&mut chunk.partial_line));
        if content.rest() > self.rest {
            (self.rest, chunk.finds_rest) = (content.rest(), content.rest());
        }
        if rules.complete && chunk.at_end {
            if content.is_incomplete() {
                return Ok((content, Outcome::Incomplete));
            }
            if !rules.follow && content.state()?.stamp != stamp {
                return Ok((content, Outcome::Changed));
            }
        }
        if chunk.next > chunk.after {
            self.note(&mut content, &mut chunk, rules)?;
        }
        Ok((content, Outcome::Read(chunk.decode(&rules.splitting))))
    }

    /// Updates the hashes by which the text is recognised.
    fn note(&mut self, content: &mut Content, chunk: &mut Chunk, rules: &TextRules) -> io::Result<()> {
        let whole = chunk.begin + chunk.buffer.len() as u64 == chunk.next;
        let tail = if whole { chunk.buffer.len().min(TAIL_BYTES) } else { 0 };
        self.tail = chunk.buffer[chunk.buffer.len() - tail..].to_vec();
        if chunk.after == 0 {
            chunk.contradiction =
                rules.splitting.contradiction(&chunk.buffer[..chunk.buffer.len().min(HEAD_BYTES)]);
        }
        if self.head.length < HEAD_BYTES && !self.is_compressed() {
            self.head = Head::of(&content.head()?);
        }
        self.name();
        Ok(())
    }

    /// Verifies that the part of the text that was read is unchanged; returns the outcome if it is not.
    fn changed(
        &mut self,
        content: &mut Content,
        stamp: Stamp,
        closed: bool,
        rules: &TextRules,
    ) -> io::Result<Option<Outcome>> {
        if !rules.follow {
            return Ok((stamp != self.stamp).then_some(Outcome::Changed));
        }
        let position = self.reader.position;
        if position == 0 {
            return self.changed_before_it_was_read(content);
        }
        if self.is_compressed() && !closed {
            return Ok(None);
        }
        let current = self.reader.hash.current();
        if self.is_compressed() {
            // It has to be decompressed up to the position in any case.
            let same = current.is_in(content)?;
            return Ok((!same).then_some(Outcome::Rewritten("it holds another text than it did")));
        }
        if stamp.length < position {
            return Ok(Some(Outcome::Rewritten("it was truncated")));
        }
        let tail = self.tail.len();
        let may_be_another = self.at_rest || closed;
        let same_tail = !may_be_another || content.read(position - tail as u64, tail)? == self.tail;
        // Lines of equal length may end alike, so the tail alone proves too little.
        let same_head = !may_be_another || self.head.begins(&content.head()?);
        // A write that did not change the length has changed the part that was read.
        let in_place = self.at_rest && stamp.length == self.stamp.length && stamp != self.stamp;
        if same_tail && same_head && (!in_place || current.is_in(content)?) {
            return Ok(None);
        }
        // Two texts behind holes begin alike.
        Ok(Some(match self.head.begins(&content.head()?) && !is_hole(&self.head) {
            true => Outcome::Changed,
            false => Outcome::Rewritten("it begins with another text than it did"),
        }))
    }

    /// Does the same while nothing was read: if another file has taken the inode, its head replaces the old one. With
    /// the old head, the next check would take the file for a rewritten one.
    fn changed_before_it_was_read(&mut self, content: &mut Content) -> io::Result<Option<Outcome>> {
        let head = content.head()?;
        if self.head.begins(&head) || weir_runtime::put_back!("head_of_an_earlier_file") {
            return Ok(None);
        }
        if self.partition.is_some() || self.is_compressed() {
            return Ok(Some(Outcome::Rewritten("it begins with another text than it did")));
        }
        self.head = Head::of(&head);
        Ok(None)
    }

    /// Makes events of the partial line, whose line end will never be written.
    pub(super) fn finish_partial_line(&mut self, rules: &TextRules) -> Option<Chunk> {
        let partial_line = self.partial_line.take()?;
        let (buffer, after) = (partial_line.text().to_vec(), self.reader.position);
        let Split { spans, too_long, hole_bytes, .. } =
            rules.splitting.split(&buffer, after, Ending::End, usize::MAX);
        let next = after + buffer.len() as u64;
        self.reader.hash.add(&buffer);
        (self.reader.position, self.reader.scanned) = (next, next);
        self.name();
        let chunk = Chunk {
            buffer,
            spans,
            after,
            begin: after,
            next,
            too_long,
            hole_bytes,
            at_end: true,
            seen: next,
            ..Chunk::default()
        };
        Some(chunk.decode(&rules.splitting))
    }

    /// Returns the same file at the beginning of its next generation; `None` if it is compressed now, so that it has to
    /// be identified.
    pub(super) fn restart(&self, content: Content) -> io::Result<Option<(Text, Content)>> {
        let mut content = content.plain();
        let records = match self.encoding {
            Some(Encoding::Records(rules)) => Some(rules),
            Some(Encoding::Compressed(_)) | None => None,
        };
        if content.packing(records)?.is_some() {
            return Ok(None);
        }
        let head = Head::of(&content.head()?);
        let stamp = content.state()?.stamp;
        let text = Text::new(self.key, self.generation + 1, head, None, stamp, RunningHash::new(0));
        Ok(Some((text, content)))
    }
}

/// Returns whether texts with this beginning may be different texts behind holes.
fn is_hole(head: &Head) -> bool {
    head.is_hole() && !weir_runtime::put_back!("holes_identify_texts")
}

#[cfg(test)]
mod tests;
