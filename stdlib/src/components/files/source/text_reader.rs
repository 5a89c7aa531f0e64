//! Reads a text chunk by chunk, and splits each chunk into events. Reading blocks.

use std::io;
use std::ops::Range;

use super::content::Content;
use super::members::Rest;
use super::splitting::Splitting;
use super::text_hash::RunningHash;
use crate::tools::buffers::Buffers;
use crate::tools::lines::{Decoded, Ending, Span, Split};

/// The most bytes that are read at once. Views keep their complete buffer alive, so this bounds the memory they hold.
pub(super) const CHUNK_BYTES: usize = 1 << 20;
/// The fewest bytes that are read at once.
const CHUNK_BYTES_MIN: usize = 16 << 10;
/// The longest partial line that is kept in memory.
const PARTIAL_LINE_BYTES_MAX: usize = 64 << 10;

/// Consecutive events of a text.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    /// The bytes of the text from position `begin` on.
    pub(super) buffer: Vec<u8>,
    /// The events in the buffer.
    pub(super) spans: Vec<Span>,
    /// If the events were decoded: the offset of each behind `begin`.
    pub(super) offsets: Option<Vec<u32>>,
    /// The position in the text at which the chunk begins.
    pub(super) after: u64,
    /// The position of the buffer in the text. If it lies behind `after`, a large hole is between them.
    pub(super) begin: u64,
    /// The position in the text at which the next chunk begins.
    pub(super) next: u64,
    /// The number of lines that were too long.
    pub(super) too_long: u64,
    /// The number of zero bytes in holes before lines.
    pub(super) hole_bytes: u64,
    /// The number of events in which something is not right in the text's encoding.
    pub(super) malformed: u64,
    /// How the text looks like one in another encoding, if this was found.
    pub(super) contradiction: Option<String>,
    /// The bytes that were found behind a compressed text, if this is new.
    pub(super) finds_rest: Rest,
    /// Whether there is no more to be read for now.
    pub(super) at_end: bool,
    /// The position up to which the text was searched for line ends. There is none between `next` and here.
    pub(super) seen: u64,
    /// The partial line behind `next`; empty if there is none, or if it is too long to be kept.
    pub(super) partial_line: Vec<u8>,
}

impl Chunk {
    /// Returns the position in the text at which the event in this row begins.
    pub(super) fn position_of(&self, row: usize) -> u64 {
        let offset = self.offsets.as_ref().map_or(self.spans[row].begin, |offsets| offsets[row]);
        self.begin + u64::from(offset)
    }

    /// Decodes the events.
    pub(super) fn decode(self, rules: &Splitting) -> Chunk {
        let Splitting::Lines(rules) = rules else { return self };
        if !rules.encoding.decodes() {
            return self;
        }
        let Decoded { buffer, spans, offsets, too_long, malformed } = rules.decode(&self.buffer, &self.spans);
        let too_long = self.too_long + too_long;
        Chunk { buffer, spans, offsets: Some(offsets), too_long, malformed, ..self }
    }
}

/// Reads a text chunk by chunk, and holds only one chunk in memory.
#[derive(Clone)]
pub(super) struct TextReader {
    /// The position at which the next event begins.
    pub(super) position: u64,
    /// No line ends between `position` and this position.
    pub(super) scanned: u64,
    pub(super) hash: RunningHash,
    /// The last hole whose end was searched: where it begins, and the position up to which there were only zeros.
    zeros: Range<u64>,
    /// The average size of the last chunk's events, from which the size of the next read is estimated.
    event_bytes: usize,
}

impl TextReader {
    pub(super) fn new(position: u64, hash: RunningHash) -> TextReader {
        TextReader { position, scanned: position, hash, zeros: 0..0, event_bytes: 128 }
    }

    /// Estimates the number of bytes that contain `events_max` events.
    pub(super) fn wanted(&self, events_max: usize) -> usize {
        // Slightly less than estimated, so that a line rarely has to be read twice.
        let wanted = events_max.saturating_mul(self.event_bytes) / 64 * 63;
        wanted.clamp(CHUNK_BYTES_MIN, CHUNK_BYTES)
    }

    /// Reads the next events, at most `events_max`. `ending` says whether the last line of the text needs a line end.
    ///
    /// # Errors
    /// When reading fails.
    pub(super) fn read_chunk(
        &mut self,
        content: &mut Content,
        buffers: &Buffers,
        rules: &Splitting,
        events_max: usize,
        ending: Ending,
    ) -> io::Result<Chunk> {
        let enough = rules.event_bytes_max().max(CHUNK_BYTES);
        let mut bytes = self.wanted(events_max);
        let mut begin = self.position;
        if self.scanned > begin + enough as u64 {
            return self.long_line(content, rules, ending, begin, Vec::new());
        }
        loop {
            let mut buffer = buffers.take_filled(bytes);
            content.read_into(begin, bytes, &mut buffer)?;
            let at_end = buffer.len() < bytes;
            let here = if at_end && !content.is_incomplete() { ending } else { Ending::Open };
            let split = rules.split(&buffer, begin, here, events_max);
            if split.consumed > 0 || at_end {
                // Zeros at the end of a growing file may be a place for text that is still to come.
                let is_consumed = split.consumed > 0 || here == Ending::End;
                let next = if is_consumed { begin + split.consumed as u64 } else { self.position };
                let at_end = at_end && (split.consumed == buffer.len() || split.spans.len() < events_max);
                let mut chunk = self.chunk(content, buffer, split, begin..next, at_end)?;
                buffers.fit(&mut chunk.buffer);
                return Ok(chunk);
            }
            if bytes == enough {
                match rules.hole_bytes(&buffer, begin) {
                    1.. => begin = self.end_of_zeros(content, rules, ending, begin..u64::MAX)?,
                    0 => return self.long_line(content, rules, ending, begin, buffer),
                }
            }
            bytes = enough;
            buffers.give_back(buffer);
        }
    }

    /// Returns the end of the hole at `begin`, at most `through`. In a text that is still written, zeros that were seen before
    /// are not read again while the first ones are still there and no text is behind them: they may be a file that was
    /// allocated in advance.
    fn end_of_zeros(
        &mut self,
        content: &mut Content,
        rules: &Splitting,
        ending: Ending,
        hole: Range<u64>,
    ) -> io::Result<u64> {
        let Range { start: begin, end: through } = hole;
        let is_known = ending == Ending::Open && (self.zeros.start..=self.zeros.end).contains(&begin);
        let mut known = if is_known { self.zeros.end } else { begin };
        let (mut position, mut has_skipped) = (begin, false);
        while position < through {
            let text = content.read(position, CHUNK_BYTES)?;
            match text.iter().position(|byte| *byte != 0) {
                // There may be text in the zeros that were not read again.
                Some(_) if has_skipped => (position, known, has_skipped) = (begin, begin, false),
                Some(zeros) => {
                    position += zeros as u64;
                    break;
                }
                None if text.is_empty() => break,
                None => {
                    position += text.len() as u64;
                    has_skipped |= position < known;
                    position = position.max(known);
                }
            }
        }
        let end = position.min(through);
        self.zeros = begin..end;
        Ok(begin + rules.encoding().units().whole(end - begin))
    }

    /// Makes a chunk of the events in a buffer, and moves on to its end. `place` is the position of the buffer and that of
    /// the next chunk. There may be a hole between the reader's position and the buffer.
    fn chunk(
        &mut self,
        content: &mut Content,
        mut buffer: Vec<u8>,
        split: Split,
        place: Range<u64>,
        at_end: bool,
    ) -> io::Result<Chunk> {
        let Split { spans, consumed, too_long, mut hole_bytes } = split;
        let (after, Range { start: begin, end: next }) = (self.position, place);
        let seen = if consumed == buffer.len() { next } else { begin + buffer.len() as u64 };
        let partial_line = match buffer.len() - consumed {
            waiting if at_end && waiting <= PARTIAL_LINE_BYTES_MAX && next >= begin => {
                buffer[consumed..].to_vec()
            }
            _ => Vec::new(),
        };
        buffer.truncate(consumed);
        self.event_bytes = consumed.checked_div(spans.len()).unwrap_or(self.event_bytes).max(1);
        if next > after {
            hole_bytes += begin - after;
            self.add_to_hash(content, begin)?;
            self.hash.add(&buffer);
        }
        (self.position, self.scanned) = (next, next);
        let chunk = Chunk { buffer, spans, after, begin, next, too_long, hole_bytes, ..Chunk::default() };
        Ok(Chunk { at_end, seen, partial_line, ..chunk })
    }

    fn add_to_hash(&mut self, content: &mut Content, through: u64) -> io::Result<()> {
        match self.hash.read_through(content, through)? {
            true => Ok(()),
            false => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it has become shorter")),
        }
    }

    /// Reads an event that is longer than a buffer, once its line end was written. `buffer` is the text from `begin` on, or
    /// is empty.
    fn long_line(
        &mut self,
        content: &mut Content,
        rules: &Splitting,
        ending: Ending,
        mut begin: u64,
        mut buffer: Vec<u8>,
    ) -> io::Result<Chunk> {
        let enough = rules.event_bytes_max();
        let after = self.position;
        let units = rules.encoding().units();
        let mut seen = self.scanned.max(begin + units.whole(buffer.len()) as u64);
        let next = loop {
            let text = content.read(seen, CHUNK_BYTES)?;
            if let Some(end) = units.line_end(&text) {
                break seen + end.end as u64;
            }
            let is_end = text.len() < CHUNK_BYTES;
            if is_end && ending == Ending::End && !content.is_incomplete() {
                break seen + text.len() as u64;
            }
            seen += units.whole(text.len()) as u64;
            if is_end {
                self.scanned = seen;
                return Ok(Chunk {
                    after,
                    begin: after,
                    next: after,
                    at_end: true,
                    seen,
                    ..Chunk::default()
                });
            }
        };
        if buffer.is_empty() {
            buffer = content.read(begin, enough)?;
            if rules.hole_bytes(&buffer, begin) > 0 {
                begin = self.end_of_zeros(content, rules, ending, begin..next)?;
                buffer = content.read(begin, enough)?;
            }
        }
        buffer.truncate(usize::try_from(next - begin).unwrap_or(usize::MAX));
        let Split { mut spans, too_long, hole_bytes, .. } = rules.split(&buffer, begin, Ending::End, 1);
        spans.iter_mut().for_each(|span| span.behind = next);
        buffer.truncate(spans.last().map_or(0, |span| (span.begin + span.length) as usize));
        self.add_to_hash(content, next)?;
        (self.position, self.scanned) = (next, next);
        let hole_bytes = hole_bytes + begin - after;
        Ok(Chunk { buffer, spans, after, begin, next, too_long, hole_bytes, seen: next, ..Chunk::default() })
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::{Seek, SeekFrom, Write};

    use super::*;
    use crate::tools::encoding::{BYTE_ORDER_MARK, TextEncoding};
    use crate::tools::lines::{LineRules, LongLine};

    const RULES: LineRules = LineRules {
        line_bytes_max: 2 << 20,
        long_lines: LongLine::Truncate,
        grouping: None,
        of_file: true,
        encoding: TextEncoding::Utf8,
    };

    fn file(text: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(text).unwrap();
        file
    }

    /// Reads all lines with their offsets, and counts those that were too long.
    fn lines(text: &[u8], rules: &LineRules, events_max: usize) -> (Vec<(u64, Vec<u8>)>, u64) {
        let mut content = Content::Plain(Box::new(file(text)));
        let mut reading = TextReader::new(0, RunningHash::new(0));
        let (mut lines, mut too_long) = (Vec::new(), 0);
        let splitting = Splitting::Lines(rules.clone());
        while reading.position < text.len() as u64 {
            let before = reading.position;
            let chunk = reading
                .read_chunk(&mut content, &Buffers::default(), &splitting, events_max, Ending::End)
                .unwrap();
            assert!(chunk.next > before && chunk.next == reading.position, "each chunk makes progress");
            assert!(chunk.spans.len() <= events_max);
            for span in &chunk.spans {
                let (begin, length) = (span.begin as usize, span.length as usize);
                lines.push((chunk.begin + begin as u64, chunk.buffer[begin..begin + length].to_vec()));
            }
            too_long += chunk.too_long;
        }
        let whole = reading.hash.current();
        assert!(whole.is_in(&mut content).unwrap() && whole.through == text.len() as u64);
        (lines, too_long)
    }

    #[test]
    fn lines_are_not_split_at_chunk_boundaries() {
        let text: Vec<u8> = (0..300_000).flat_map(|n: u32| format!("{n} ok\n").into_bytes()).collect();
        for events_max in [1_000, 4_096, 100_000] {
            let (found, _) = lines(&text, &RULES, events_max);
            assert_eq!(found.len(), 300_000);
            assert_eq!(found[299_999].1, b"299999 ok");
        }
    }

    #[test]
    fn a_line_longer_than_a_chunk_is_complete_up_to_the_length_limit() {
        let mut text = vec![b'x'; 2 << 20];
        text.extend_from_slice(b"\r\nnext\n");
        let (found, too_long) = lines(&text, &RULES, 100);
        assert_eq!((found[0].1.len(), found[1].1.as_slice(), too_long), (2 << 20, b"next".as_slice(), 0));
    }

    #[test]
    fn an_overlong_line_is_truncated_or_skipped_and_the_next_line_is_read() {
        for length in [11, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
            let mut text = b"short\n".to_vec();
            text.extend(std::iter::repeat_n(b'x', length));
            text.extend_from_slice(b"\nend");
            let rules = LineRules { line_bytes_max: 10, ..RULES };
            let (found, too_long) = lines(&text, &rules, 100);
            let found: Vec<Vec<u8>> = found.into_iter().map(|(_, line)| line).collect();
            assert_eq!((found, too_long), (vec![b"short".to_vec(), vec![b'x'; 10], b"end".to_vec()], 1));
            let skipping = LineRules { long_lines: LongLine::Skip, ..rules };
            let (found, too_long) = lines(&text, &skipping, 100);
            let found: Vec<Vec<u8>> = found.into_iter().map(|(_, line)| line).collect();
            assert_eq!((found, too_long), (vec![b"short".to_vec(), b"end".to_vec()], 1));
        }
    }

    #[test]
    fn an_overlong_last_line_needs_no_line_end_in_a_complete_text() {
        let (found, too_long) = lines(&vec![b'x'; 5 * CHUNK_BYTES], &RULES, 100);
        assert_eq!((found.len(), found[0].1.len(), too_long), (1, RULES.line_bytes_max, 1));
    }

    #[test]
    fn an_overlong_line_that_grows_is_neither_kept_nor_searched_twice() {
        let rules = Splitting::Lines(LineRules { line_bytes_max: 10, ..RULES });
        let mut file = file(&vec![b'x'; 3 * CHUNK_BYTES]);
        let mut content = Content::Plain(Box::new(file.try_clone().unwrap()));
        let mut reading = TextReader::new(0, RunningHash::new(0));
        let buffers = Buffers::default();
        let chunk = reading.read_chunk(&mut content, &buffers, &rules, 100, Ending::Open).unwrap();
        assert_eq!((chunk.next, chunk.spans.len(), chunk.at_end), (0, 0, true));
        assert_eq!(reading.scanned, 3 * CHUNK_BYTES as u64);
        file.write_all(b"xx\nnext\n").unwrap();
        let chunk = reading.read_chunk(&mut content, &buffers, &rules, 100, Ending::Open).unwrap();
        assert_eq!((chunk.spans.len(), chunk.too_long, chunk.buffer.len()), (1, 1, 10));
        let chunk = reading.read_chunk(&mut content, &buffers, &rules, 100, Ending::Open).unwrap();
        assert_eq!(chunk.buffer, b"next\n");
    }

    #[test]
    fn arbitrary_bytes_are_read_unchanged() {
        let (found, _) = lines(b"\xff\0\xfe\0\n\0\xc3(\n\0", &RULES, 100);
        let found: Vec<Vec<u8>> = found.into_iter().map(|(_, line)| line).collect();
        assert_eq!(found, [b"\xff\0\xfe\0".to_vec(), b"\0\xc3(".to_vec(), b"\0".to_vec()]);
    }

    #[test]
    fn a_hole_of_any_size_belongs_to_no_line() {
        for hole in [1, 64, 1_000, CHUNK_BYTES - 1, CHUNK_BYTES, (3 << 20) + 7] {
            for end in ["one\ntwo\n", "one\ntwo"] {
                // Behind a line without a line end, zeros belong to the line.
                let behind = if end.ends_with('\n') { hole / 64 * 64 } else { 0 };
                let text = [vec![0; hole], end.as_bytes().to_vec(), vec![0; behind]].concat();
                let (found, too_long) = lines(&text, &RULES, 100);
                assert_eq!(found[0], (hole as u64, b"one".to_vec()));
                assert_eq!(
                    (found[1].1.as_slice(), found.len(), too_long),
                    (&b"two"[..], 2, 0),
                    "{hole} {end:?}"
                );
            }
            // The limit of lines holds for the text alone.
            let long = vec![b'x'; RULES.line_bytes_max];
            let text = [vec![0; hole], long.clone(), b"\r\nnext\n".to_vec()].concat();
            let (found, too_long) = lines(&text, &RULES, 100);
            assert_eq!((found[0].0, found[0].1 == long, found.len(), too_long), (hole as u64, true, 2, 0));
        }
    }

    #[test]
    fn zeros_at_the_end_of_a_growing_file_wait_for_text_that_takes_their_place() {
        for zeros in [10, 100, 3 * CHUNK_BYTES] {
            let mut file = file(&[b"one\n".to_vec(), vec![0; zeros]].concat());
            let mut content = Content::Plain(Box::new(file.try_clone().unwrap()));
            let mut reading = TextReader::new(0, RunningHash::new(0));
            let mut read = || {
                let chunk = reading.read_chunk(
                    &mut content,
                    &Buffers::default(),
                    &Splitting::Lines(RULES),
                    100,
                    Ending::Open,
                );
                chunk.unwrap().buffer
            };
            assert_eq!((read(), read()), (b"one\n".to_vec(), Vec::new()));
            file.seek(SeekFrom::Start(4)).unwrap();
            file.write_all(b"two\n").unwrap();
            assert_eq!((read(), read()), (b"two\n".to_vec(), Vec::new()));
            file.seek(SeekFrom::End(0)).unwrap();
            file.write_all(b"three\n").unwrap();
            assert!(read().ends_with(b"three\n"));
        }
    }

    #[test]
    fn zeros_that_were_seen_are_not_read_again_until_text_is_behind_them() {
        let mut file = file(&vec![0; 8 * CHUNK_BYTES]);
        let mut content = Content::Plain(Box::new(file.try_clone().unwrap()));
        let mut reading = TextReader::new(0, RunningHash::new(0));
        let rules = Splitting::Lines(RULES);
        let mut read = |ending| {
            let chunk = reading.read_chunk(&mut content, &Buffers::default(), &rules, 100, ending).unwrap();
            (chunk.buffer, reading.zeros.clone())
        };
        let end = 8 * CHUNK_BYTES as u64;
        assert_eq!(read(Ending::Open), (Vec::new(), 0..end));
        file.seek(SeekFrom::Start(0)).unwrap();
        file.write_all(b"one\n").unwrap();
        assert_eq!(read(Ending::Open).0, b"one\n");
        assert_eq!(read(Ending::Open), (Vec::new(), 4..end));
        // It is found when text is behind the zeros, or when the file is complete.
        file.seek(SeekFrom::Start(5 * CHUNK_BYTES as u64)).unwrap();
        file.write_all(b"two\n").unwrap();
        assert_eq!(read(Ending::Open), (Vec::new(), 4..end));
        file.seek(SeekFrom::End(0)).unwrap();
        file.write_all(b"three\n").unwrap();
        assert!(read(Ending::Open).0.starts_with(b"two\n"));
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_a_first_line_of_any_length() {
        for length in [0, 3, 20, RULES.line_bytes_max] {
            let text = [BYTE_ORDER_MARK, &vec![b'x'; length], b"\nnext\n"].concat();
            let (found, too_long) = lines(&text, &RULES, 100);
            assert_eq!((found[0].1.len(), found[1].1.as_slice(), too_long), (length, &b"next"[..], 0));
        }
    }

    #[test]
    fn wide_lines_of_any_length_are_cut_at_whole_characters() {
        let rules = LineRules { encoding: TextEncoding::Utf16Le, line_bytes_max: 3 << 20, ..RULES };
        for length in [0, 1, 20_000, CHUNK_BYTES, 2 * CHUNK_BYTES] {
            let line = "ਊ".repeat(length);
            let text = format!("\u{feff}{line}\r\nnext\n{line}\nlast");
            let text: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
            for hole in [0, 2 * CHUNK_BYTES + 2] {
                let text = [&vec![0; hole], &text[2 * usize::from(hole > 0)..]].concat();
                let (found, _) = lines(&text, &rules, 100);
                let found: Vec<(usize, usize)> =
                    found.iter().map(|(offset, line)| (*offset as usize, line.len())).collect();
                let (begin, bytes) = (hole.max(2), (2 * length).min(rules.line_bytes_max));
                let next = begin + 2 * length + 4;
                let behind = next + 10;
                let last = behind + 2 * length + 2;
                assert_eq!(found, [(begin, bytes), (next, 8), (behind, bytes), (last, 8)], "{length} {hole}");
            }
        }
    }
}
