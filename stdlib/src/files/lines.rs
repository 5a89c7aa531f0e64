//! Lines of a file, a chunk at a time, without a copy for each line.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use memchr::{memchr, memchr_iter};

/// How much of a file is read at once. It bounds what the views into a chunk keep alive.
const CHUNK_BYTES: usize = 1 << 20;

/// What is done with a line that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LongLine {
    /// Its beginning is taken.
    Truncate,
    /// It is left out.
    Skip,
}

/// How lines are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineRules {
    /// The longest line that is taken whole, in bytes.
    pub(super) line_bytes_max: usize,
    pub(super) long_lines: LongLine,
}

/// Some complete lines of a file.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Chunk {
    /// The bytes that the lines are in.
    pub(super) buffer: Vec<u8>,
    /// The lines, without their ends.
    pub(super) lines: Vec<Line>,
    /// Where reading goes on: behind the last line's end.
    pub(super) next: u64,
    /// How many lines were too long.
    pub(super) too_long: u64,
}

/// Where a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    /// Where it begins in the file.
    pub(super) offset: u64,
    /// Where it begins in the chunk's buffer.
    pub(super) begin: u32,
    /// Its length in bytes.
    pub(super) length: u32,
}

/// Reads the lines from `position`, the beginning of a line, up to `end`, where the file ends.
///
/// A last line without an end counts as a line. The chunk's `next` is behind `position` unless
/// that is `end`.
///
/// # Errors
/// When reading fails, or the file is shorter than `end`.
pub(super) fn read_chunk(file: &File, position: u64, end: u64, rules: LineRules) -> io::Result<Chunk> {
    let buffer = read(file, position, end, CHUNK_BYTES)?;
    let mut chunk = Chunk { next: position, ..Chunk::default() };
    let mut begin = 0;
    for newline in memchr_iter(b'\n', &buffer) {
        chunk.add(&buffer, begin, newline, position, rules);
        begin = newline + 1;
    }
    let reached_end = position + buffer.len() as u64 == end;
    if begin < buffer.len() && reached_end {
        chunk.add(&buffer, begin, buffer.len(), position, rules);
        begin = buffer.len();
    } else if begin == 0 && !buffer.is_empty() {
        return read_long_line(file, position, end, rules);
    }
    chunk.next = position + begin as u64;
    chunk.buffer = buffer;
    Ok(chunk)
}

impl Chunk {
    /// Adds the line between two places of the buffer, as the rules want it.
    fn add(&mut self, buffer: &[u8], begin: usize, end: usize, position: u64, rules: LineRules) {
        let mut length = end - begin;
        if length > 0 && buffer[end - 1] == b'\r' {
            length -= 1;
        }
        if length > rules.line_bytes_max {
            self.too_long += 1;
            if rules.long_lines == LongLine::Skip {
                return;
            }
            length = rules.line_bytes_max;
        }
        // A buffer is never longer than the longest line allowed, 64 MiB, and a chunk.
        self.lines.push(Line { offset: position + begin as u64, begin: begin as u32, length: length as u32 });
    }
}

/// Reads one line that is longer than a chunk.
fn read_long_line(file: &File, position: u64, end: u64, rules: LineRules) -> io::Result<Chunk> {
    // Two bytes more than the line may have, for its end.
    let mut buffer = read(file, position, end, rules.line_bytes_max.saturating_add(2).max(CHUNK_BYTES))?;
    let next = match memchr(b'\n', &buffer) {
        Some(newline) => position + newline as u64 + 1,
        None => find_line_end(file, position + buffer.len() as u64, end)?,
    };
    buffer.truncate(usize::try_from(next - position).unwrap_or(usize::MAX));
    let line_end = if buffer.last() == Some(&b'\n') { buffer.len() - 1 } else { buffer.len() };
    let mut chunk = Chunk { next, ..Chunk::default() };
    chunk.add(&buffer, 0, line_end, position, rules);
    if chunk.too_long > 0 {
        buffer.truncate(rules.line_bytes_max);
    }
    chunk.buffer = buffer;
    Ok(chunk)
}

/// Where the line that `position` is in has its end, the newline included.
fn find_line_end(file: &File, mut position: u64, end: u64) -> io::Result<u64> {
    while position < end {
        let buffer = read(file, position, end, CHUNK_BYTES)?;
        if let Some(newline) = memchr(b'\n', &buffer) {
            return Ok(position + newline as u64 + 1);
        }
        position += buffer.len() as u64;
    }
    Ok(end)
}

/// Reads at most `bytes` bytes, as many as there are before `end`.
fn read(file: &File, position: u64, end: u64, bytes: usize) -> io::Result<Vec<u8>> {
    let left = usize::try_from(end - position).unwrap_or(usize::MAX);
    let mut buffer = vec![0; left.min(bytes)];
    file.read_exact_at(&mut buffer, position)?;
    Ok(buffer)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    const RULES: LineRules = LineRules { line_bytes_max: 2 << 20, long_lines: LongLine::Truncate };

    fn file(content: &[u8]) -> (File, u64) {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        (file, content.len() as u64)
    }

    /// All lines with their offsets, and how many were too long.
    fn lines(content: &[u8], rules: LineRules) -> (Vec<(u64, Vec<u8>)>, u64) {
        let (file, end) = file(content);
        let (mut position, mut lines, mut too_long) = (0, Vec::new(), 0);
        while position < end {
            let chunk = read_chunk(&file, position, end, rules).unwrap();
            assert!(chunk.next > position, "reading gets on");
            for line in &chunk.lines {
                let begin = line.begin as usize;
                lines.push((line.offset, chunk.buffer[begin..begin + line.length as usize].to_vec()));
            }
            position = chunk.next;
            too_long += chunk.too_long;
        }
        (lines, too_long)
    }

    #[test]
    fn line_ends_are_left_out_and_a_last_line_needs_none() {
        let (found, too_long) = lines(b"one\r\n\ntwo\nlast", RULES);
        let expected = [(0, b"one".to_vec()), (5, Vec::new()), (6, b"two".to_vec()), (10, b"last".to_vec())];
        assert_eq!((found, too_long), (expected.to_vec(), 0));
    }

    #[test]
    fn a_line_across_chunks_stays_whole() {
        let mut content = vec![b'x'; CHUNK_BYTES - 3];
        content.extend_from_slice(b"\nacross the edge\nrest\n");
        let (found, _) = lines(&content, RULES);
        assert_eq!(found.len(), 3);
        assert_eq!(found[1], (CHUNK_BYTES as u64 - 2, b"across the edge".to_vec()));
        assert_eq!(found[2].1, b"rest");
    }

    #[test]
    fn a_line_longer_than_a_chunk_is_taken_whole_up_to_the_bound() {
        let mut content = vec![b'x'; 2 << 20];
        content.extend_from_slice(b"\r\nnext\n");
        let (found, too_long) = lines(&content, RULES);
        assert_eq!((found[0].1.len(), found[1].1.as_slice(), too_long), (2 << 20, b"next".as_slice(), 0));
    }

    #[test]
    fn too_long_lines_are_cut_or_left_out_and_counted() {
        for length in [11, CHUNK_BYTES + 1, 3 * CHUNK_BYTES] {
            let mut content = b"short\n".to_vec();
            content.extend(std::iter::repeat_n(b'x', length));
            content.extend_from_slice(b"\nend");
            let rules = LineRules { line_bytes_max: 10, long_lines: LongLine::Truncate };
            let (found, too_long) = lines(&content, rules);
            let found: Vec<Vec<u8>> = found.into_iter().map(|(_, line)| line).collect();
            assert_eq!((found, too_long), (vec![b"short".to_vec(), vec![b'x'; 10], b"end".to_vec()], 1));
            let (found, too_long) = lines(&content, LineRules { long_lines: LongLine::Skip, ..rules });
            let found: Vec<Vec<u8>> = found.into_iter().map(|(_, line)| line).collect();
            assert_eq!((found, too_long), (vec![b"short".to_vec(), b"end".to_vec()], 1));
        }
    }

    #[test]
    fn a_file_that_has_shrunk_is_an_error() {
        let (file, end) = file(b"one\ntwo\n");
        assert!(read_chunk(&file, 0, end + 1, RULES).is_err());
    }
}
