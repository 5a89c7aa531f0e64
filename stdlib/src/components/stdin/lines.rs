//! Splits a stream of bytes into lines, however the stream is divided into reads.

use memchr::memchr;
use serde::Deserialize;

/// How a line that is too long is treated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum LongLine {
    /// The beginning of the line is taken.
    Truncate,
    /// The line is left out.
    Skip,
}

/// How lines are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct LineRules {
    /// The longest complete line in bytes, without its line end.
    pub(super) line_bytes_max: usize,
    pub(super) long_lines: LongLine,
}

/// A complete line, as a part of the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Line {
    /// The number of the line in the stream; the first is 1.
    pub(super) number: u64,
    /// The index of the line's first byte in the buffer.
    pub(super) begin: u32,
    /// The length of the line in bytes, without its line end.
    pub(super) length: u32,
}

/// Collects the lines of a stream until they are taken. Of an unfinished line it keeps at most the bytes that may be
/// taken.
#[derive(Debug)]
pub(super) struct Lines {
    rules: LineRules,
    /// The complete lines without their line ends, then the unfinished line.
    buffer: Vec<u8>,
    lines: Vec<Line>,
    /// The index of the unfinished line's first byte.
    begin: usize,
    /// The unfinished line is too long, and the rest of it is dropped.
    overflows: bool,
    /// The number of the last complete line.
    number: u64,
    /// How many lines were too long since the last [`take_too_long`](Lines::take_too_long).
    too_long: u64,
}

impl Lines {
    pub(super) fn new(rules: LineRules) -> Lines {
        Lines {
            rules,
            buffer: Vec::new(),
            lines: Vec::new(),
            begin: 0,
            overflows: false,
            number: 0,
            too_long: 0,
        }
    }

    /// Reduces the longest line to `line_bytes_max` bytes, if that is less than before.
    pub(super) fn shorten(&mut self, line_bytes_max: usize) {
        self.rules.line_bytes_max = self.rules.line_bytes_max.min(line_bytes_max);
    }

    pub(super) fn rules(&self) -> LineRules {
        self.rules
    }

    /// Returns how many complete lines there are.
    pub(super) fn count(&self) -> usize {
        self.lines.len()
    }

    /// Whether there are complete lines to put, or lines that were too long to report.
    pub(super) fn has_something(&self) -> bool {
        !self.lines.is_empty() || self.too_long > 0
    }

    /// Returns how many bytes the complete lines have.
    pub(super) fn bytes(&self) -> usize {
        self.begin
    }

    /// Returns how many bytes of the unfinished line are kept.
    pub(super) fn unfinished_bytes(&self) -> usize {
        self.buffer.len() - self.begin
    }

    /// Returns how many lines were too long since the last call.
    pub(super) fn take_too_long(&mut self) -> u64 {
        std::mem::take(&mut self.too_long)
    }

    /// Adds the next bytes of the stream.
    pub(super) fn feed(&mut self, mut bytes: &[u8]) {
        while let Some(newline) = memchr(b'\n', bytes) {
            self.extend(&bytes[..newline]);
            self.end_line();
            bytes = &bytes[newline + 1..];
        }
        self.extend(bytes);
    }

    /// Ends the stream. A last line without a line end is complete.
    pub(super) fn finish(&mut self) {
        if self.unfinished_bytes() > 0 || self.overflows {
            self.end_line();
        }
    }

    fn extend(&mut self, bytes: &[u8]) {
        if self.overflows {
            return;
        }
        // One byte more than the longest line is kept, since it may be the carriage return of the line end.
        let space = self.rules.line_bytes_max + 1 - self.unfinished_bytes();
        self.overflows = bytes.len() > space;
        self.buffer.extend_from_slice(&bytes[..bytes.len().min(space)]);
    }

    fn end_line(&mut self) {
        self.number += 1;
        let LineRules { line_bytes_max, long_lines } = self.rules;
        if !self.overflows && self.buffer[self.begin..].last() == Some(&b'\r') {
            self.buffer.pop();
        }
        let too_long = self.overflows || self.unfinished_bytes() > line_bytes_max;
        self.overflows = false;
        if too_long {
            self.too_long += 1;
            let kept = if long_lines == LongLine::Truncate { line_bytes_max } else { 0 };
            self.buffer.truncate(self.begin + kept);
            if long_lines == LongLine::Skip {
                return;
            }
        }
        // The buffer has at most one batch, one read and one line of 64 MiB, so its indexes fit into 32 bits.
        let (begin, length) = (self.begin as u32, self.unfinished_bytes() as u32);
        self.lines.push(Line { number: self.number, begin, length });
        self.begin = self.buffer.len();
    }

    /// Takes the complete lines, and the buffer with their bytes.
    pub(super) fn take(&mut self) -> (Vec<u8>, Vec<Line>) {
        let unfinished = self.buffer.split_off(self.begin);
        self.begin = 0;
        (std::mem::replace(&mut self.buffer, unfinished), std::mem::take(&mut self.lines))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: LineRules = LineRules { line_bytes_max: 4, long_lines: LongLine::Truncate };

    /// Returns the lines of a stream that is read in pieces of this length, and how many were too long.
    fn lines(stream: &[u8], piece: usize, rules: LineRules) -> (Vec<(u64, Vec<u8>)>, u64) {
        let (mut lines, mut found, mut too_long) = (Lines::new(rules), Vec::new(), 0);
        let mut take = |lines: &mut Lines| {
            let (buffer, taken) = lines.take();
            for Line { number, begin, length } in taken {
                found.push((number, buffer[begin as usize..(begin + length) as usize].to_vec()));
            }
            too_long += lines.take_too_long();
        };
        for (index, bytes) in stream.chunks(piece).enumerate() {
            lines.feed(bytes);
            assert!(lines.unfinished_bytes() <= rules.line_bytes_max + 1, "the unfinished line is bounded");
            if index % 3 == 0 {
                take(&mut lines);
            }
        }
        lines.finish();
        take(&mut lines);
        (found, too_long)
    }

    #[test]
    fn lines_are_the_same_however_the_stream_is_divided() {
        let stream = b"one\r\n\n\r\n\0\xff\n1234\r\n12345\nmuch too long\r\n12\r3\r\nlast";
        let expected: [&[u8]; 9] =
            [b"one", b"", b"", b"\0\xff", b"1234", b"1234", b"much", b"12\r3", b"last"];
        for piece in 1..=stream.len() {
            let (found, too_long) = lines(stream, piece, RULES);
            let numbered: Vec<_> = (1..).zip(expected.map(<[u8]>::to_vec)).collect();
            assert_eq!((found, too_long), (numbered, 2), "pieces of {piece}");
            let (found, _) = lines(stream, piece, LineRules { long_lines: LongLine::Skip, ..RULES });
            let numbers: Vec<u64> = found.iter().map(|(number, _)| *number).collect();
            assert_eq!(numbers, [1, 2, 3, 4, 5, 8, 9], "a line that is left out keeps its number");
        }
    }

    #[test]
    fn the_last_line_end_begins_no_line_and_the_last_line_may_be_too_long() {
        assert_eq!(lines(b"", 1, RULES), (vec![], 0));
        assert_eq!(lines(b"a\n", 1, RULES), (vec![(1, b"a".to_vec())], 0));
        assert_eq!(lines(b"123456789", 2, RULES), (vec![(1, b"1234".to_vec())], 1));
        let skip = LineRules { long_lines: LongLine::Skip, ..RULES };
        assert_eq!(lines(b"123456789", 2, skip), (vec![], 1));
    }
}
