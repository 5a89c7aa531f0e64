//! Splits a text into events: lines, or groups of lines.

use std::ops::Range;

use memchr::{memchr, memchr_iter};
use regex::bytes::Regex;

/// The byte order mark of UTF-8.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
/// The fewest zero bytes before a line that are taken for a hole, unless they begin the file.
const HOLE_BYTES_MIN: usize = 64;

/// How a line is treated that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LongLine {
    /// The beginning of the line is the event.
    Truncate,
    /// The line is left out.
    Skip,
}

/// The rules by which a text is split into events.
#[derive(Debug, Clone)]
pub(crate) struct LineRules {
    /// The longest line that is not truncated or left out, in bytes.
    pub(crate) line_bytes_max: usize,
    pub(crate) long_lines: LongLine,
    /// How lines are grouped into events; without, each line is an event.
    pub(crate) grouping: Option<Grouping>,
    /// Whether the text is a file. A byte order mark at its beginning and a hole of zero bytes before a line are no part of
    /// a line.
    pub(crate) of_file: bool,
}

/// Which lines belong to one event.
#[derive(Debug, Clone)]
pub(crate) struct Grouping {
    pub(crate) pattern: Regex,
    /// Whether a line that matches begins an event; otherwise it belongs to the event before.
    pub(crate) match_begins: bool,
    pub(crate) lines_max: usize,
}

/// What follows the text in the buffer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Perhaps more text: an incomplete event waits for it.
    Open,
    /// No text for now: a group of complete lines is an event, and a line without its end waits.
    Pause,
    /// The end of the text: all of the buffer is complete.
    End,
}

/// The location of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// The offset of its first byte in the buffer.
    pub(crate) begin: u32,
    /// Its length in bytes, without the end of its line.
    pub(crate) length: u32,
    /// The position of the next line in the text.
    pub(crate) behind: u64,
}

/// The events of a buffer.
#[derive(Debug, Default)]
pub(crate) struct Split {
    pub(crate) spans: Vec<Span>,
    /// The number of bytes of the buffer that the events take up.
    pub(crate) consumed: usize,
    /// The number of lines that were too long.
    pub(crate) too_long: u64,
    /// The number of zero bytes in holes before lines.
    pub(crate) hole_bytes: u64,
}

impl LineRules {
    /// Returns the most bytes of a buffer that one event can take up: the longest line with its end and a byte order mark.
    pub(crate) fn event_bytes_max(&self) -> usize {
        self.line_bytes_max.saturating_add(2 + BYTE_ORDER_MARK.len())
    }

    /// Splits a buffer into at most `events_max` events. The buffer begins with a line, at `position` of the text.
    /// Leaves incomplete events.
    pub(crate) fn split(&self, buffer: &[u8], position: u64, ending: Ending, events_max: usize) -> Split {
        let mut split = Split::default();
        match &self.grouping {
            None => self.split_lines(&mut split, buffer, position, ending, events_max),
            Some(grouping) => self.split_groups(&mut split, grouping, buffer, position, ending, events_max),
        }
        split
    }

    fn split_lines(
        &self,
        split: &mut Split,
        buffer: &[u8],
        position: u64,
        ending: Ending,
        events_max: usize,
    ) {
        for newline in memchr_iter(b'\n', buffer) {
            let begin = split.consumed;
            let begin = begin + self.bytes_before(&buffer[begin..newline], position, begin);
            self.add(split, buffer, begin..newline, newline + 1, position);
            if split.spans.len() == events_max {
                return;
            }
        }
        if ending == Ending::End && split.consumed < buffer.len() {
            let begin = split.consumed;
            let begin = begin + self.bytes_before(&buffer[begin..], position, begin);
            self.add(split, buffer, begin..buffer.len(), buffer.len(), position);
        }
    }

    fn split_groups(
        &self,
        split: &mut Split,
        grouping: &Grouping,
        buffer: &[u8],
        position: u64,
        ending: Ending,
        events_max: usize,
    ) {
        // Of the current event: its begin, the number of its lines, the end of the last line, and the begin of the next line.
        let (mut begin, mut lines, mut end, mut behind) = (0, 0, 0, 0);
        while behind < buffer.len() && split.spans.len() < events_max {
            let (line_end, next) = match memchr(b'\n', &buffer[behind..]) {
                Some(length) => (behind + length, behind + length + 1),
                None if ending == Ending::End => (buffer.len(), buffer.len()),
                None => {
                    // However this line goes on, it would make the event too long.
                    let too_long = buffer.len() - begin >= self.event_bytes_max();
                    if lines > 0 && (too_long || ending == Ending::Pause) {
                        self.add(split, buffer, begin..end, behind, position);
                    }
                    return;
                }
            };
            let before = self.bytes_before(&buffer[behind..line_end], position, behind);
            let line = &buffer[behind + before..line_end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let begins = grouping.pattern.is_match(line) == grouping.match_begins
                || lines == grouping.lines_max
                || before > 0
                || line_end - begin > self.line_bytes_max;
            if lines > 0 && begins {
                self.add(split, buffer, begin..end, behind, position);
                lines = 0;
                if split.spans.len() == events_max {
                    return;
                }
            }
            if lines == 0 {
                begin = behind + before;
            }
            (lines, end, behind) = (lines + 1, line_end, next);
        }
        if ending != Ending::Open && lines > 0 && split.spans.len() < events_max {
            self.add(split, buffer, begin..end, behind, position);
        }
    }

    /// Returns the number of bytes before the text of a line, which begins at `at` of a buffer at `position`: a byte order
    /// mark at the beginning of a file, or a hole.
    fn bytes_before(&self, line: &[u8], position: u64, at: usize) -> usize {
        match line.first() {
            Some(0) if self.of_file => hole_bytes(line, position + at as u64),
            Some(0xef) if self.of_file && position + at as u64 == 0 && line.starts_with(BYTE_ORDER_MARK) => {
                BYTE_ORDER_MARK.len()
            }
            _ => 0,
        }
    }

    /// Adds the event with this text. The next one begins at `behind`.
    fn add(&self, split: &mut Split, buffer: &[u8], text: Range<usize>, behind: usize, position: u64) {
        let Range { start: begin, end } = text;
        let from = std::mem::replace(&mut split.consumed, behind);
        if begin > from && buffer[from] == 0 {
            split.hole_bytes += (begin - from) as u64;
        }
        let mut length = end - begin;
        if length == 0 && begin > from && end == behind {
            // The text ends without a line behind the mark or the hole.
            return;
        }
        if length > 0 && buffer[end - 1] == b'\r' {
            length -= 1;
        }
        if length > self.line_bytes_max {
            split.too_long += 1;
            if self.long_lines == LongLine::Skip {
                return;
            }
            length = self.line_bytes_max;
        }
        // A buffer is never longer than the longest line, which is at most 64 MiB, and its end.
        let behind = position + behind as u64;
        split.spans.push(Span { begin: begin as u32, length: length as u32, behind });
    }
}

/// Returns the number of zero bytes with which a text at `position` of a file begins, if they are a hole: a writer without
/// `O_APPEND` leaves one where its file was truncated, and a crash of the machine may leave one.
pub(crate) fn hole_bytes(text: &[u8], position: u64) -> usize {
    let zeros = text.iter().position(|byte| *byte != 0).unwrap_or(text.len());
    if position == 0 || zeros >= HOLE_BYTES_MIN { zeros } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: LineRules =
        LineRules { line_bytes_max: 20, long_lines: LongLine::Truncate, grouping: None, of_file: true };

    fn grouped(pattern: &str, match_begins: bool) -> LineRules {
        let pattern = Regex::new(pattern).unwrap();
        LineRules { grouping: Some(Grouping { pattern, match_begins, lines_max: 3 }), ..PLAIN }
    }

    /// Splits a text. Returns the events and the number of bytes that they take up.
    fn events(rules: &LineRules, text: &str, ends: bool) -> (Vec<String>, usize) {
        let ending = if ends { Ending::End } else { Ending::Open };
        let split = rules.split(text.as_bytes(), 100, ending, 1_000);
        let mut before = 100;
        let text = split.spans.iter().map(|span| {
            assert!(span.behind > before, "positions grow");
            before = span.behind;
            text[span.begin as usize..][..span.length as usize].to_string()
        });
        (text.collect(), split.consumed)
    }

    #[test]
    fn line_ends_are_left_out_and_a_last_line_waits_for_its_end() {
        let text = "one\r\n\ntwo\nlast";
        assert_eq!(events(&PLAIN, text, false), (vec!["one".into(), "".into(), "two".into()], 10));
        let all = vec!["one".into(), "".into(), "two".into(), "last".into()];
        assert_eq!(events(&PLAIN, text, true), (all, 14));
    }

    #[test]
    fn no_more_events_than_wanted_are_taken() {
        let split = PLAIN.split(b"1\n2\n3\n", 0, Ending::End, 2);
        assert_eq!((split.spans.len(), split.consumed), (2, 4));
    }

    #[test]
    fn lines_that_are_too_long_are_truncated_or_left_out_and_counted() {
        let text = "short\nthis one is longer than twenty\nend\n";
        assert_eq!(events(&PLAIN, text, false).0, ["short", "this one is longer t", "end"]);
        let skipping = LineRules { long_lines: LongLine::Skip, ..PLAIN };
        assert_eq!(events(&skipping, text, false).0, ["short", "end"]);
        assert_eq!(skipping.split(text.as_bytes(), 0, Ending::Open, 10).too_long, 1);
    }

    #[test]
    fn lines_that_continue_belong_to_the_one_before() {
        let rules = grouped(r"^\s", false);
        let text = "a\n b\n c\nd\n e\n";
        assert_eq!(events(&rules, text, false), (vec!["a\n b\n c".into()], 8));
        assert_eq!(events(&rules, text, true), (vec!["a\n b\n c".into(), "d\n e".into()], 13));
    }

    #[test]
    fn a_line_that_begins_an_event_ends_the_one_before() {
        let rules = grouped(r"^\d", true);
        let text = "x\n1 a\nb\r\n2 c\n";
        assert_eq!(events(&rules, text, true).0, ["x", "1 a\nb", "2 c"]);
    }

    #[test]
    fn patterns_do_not_see_the_line_end() {
        for (pattern, match_begins) in [("^BEGIN$", true), ("^ .*[^\r]$", false)] {
            let rules = grouped(pattern, match_begins);
            let text = "BEGIN\r\n 1\r\nBEGIN\r\n 2\r\n";
            assert_eq!(events(&rules, text, true).0, ["BEGIN\r\n 1", "BEGIN\r\n 2"], "{pattern}");
        }
    }

    #[test]
    fn an_event_ends_at_its_most_lines_and_where_it_would_become_too_long() {
        let rules = grouped(r"^\s", false);
        assert_eq!(events(&rules, "a\n 1\n 2\n 3\nb\n", true).0, ["a\n 1\n 2", " 3", "b"]);
        assert_eq!(events(&rules, "a\n 123456789\n 123456789\n", true).0, ["a\n 123456789", " 123456789"]);
    }

    #[test]
    fn a_line_without_end_does_not_hold_up_the_event_before_it() {
        let rules = grouped(r"^\s", false);
        let text = format!("a\n {}", "x".repeat(40));
        assert_eq!(events(&rules, &text, false), (vec!["a".into()], 2));
    }

    #[test]
    fn after_a_pause_complete_lines_are_an_event_and_an_incomplete_line_waits() {
        let rules = grouped(r"^\s", false);
        let split = rules.split(b"a\n b\n c", 0, Ending::Pause, 10);
        assert_eq!((split.spans.len(), split.consumed), (1, 5));
        assert_eq!(PLAIN.split(b"a\nb", 0, Ending::Pause, 10).consumed, 2);
    }

    #[test]
    fn a_byte_order_mark_at_the_beginning_of_a_file_belongs_to_no_line() {
        let grouped = grouped("^BEGIN$", true);
        for rules in [&PLAIN, &grouped] {
            let split = |text: &str, position| {
                let split = rules.split(text.as_bytes(), position, Ending::End, 10);
                split.spans.iter().map(|span| (span.begin, span.length)).collect::<Vec<_>>()
            };
            assert_eq!(split("\u{feff}BEGIN\r\n\u{feff}BEGIN\n", 0)[0].0, 3);
            assert_eq!(split("\u{feff}\n", 0), [(3, 0)]);
            assert_eq!(split("\u{feff}", 0), []);
            assert_eq!(split("\u{feff}BEGIN", 1_000), [(0, 8)]);
            // It does not make a line too long.
            let long = format!("\u{feff}{}\n", "x".repeat(20));
            assert_eq!(split(&long, 0), [(3, 20)]);
            assert_eq!(rules.split(long.as_bytes(), 0, Ending::End, 9).too_long, 0);
        }
        let split = grouped.split("\u{feff}BEGIN\n1\nBEGIN\n2\n".as_bytes(), 0, Ending::End, 10);
        assert_eq!((split.spans[0].begin, split.spans[0].length, split.spans.len()), (3, 7, 2));
    }

    #[test]
    fn a_hole_before_a_line_belongs_to_no_line() {
        for rules in [&PLAIN, &grouped(r"^\s", false)] {
            let hole = "\0".repeat(HOLE_BYTES_MIN);
            let text = format!("{hole}one\n{hole}two\n\0three\n");
            let split = rules.split(text.as_bytes(), 7, Ending::End, 10);
            let places = split.spans.iter().map(|span| (span.begin, span.length, span.behind));
            assert_eq!(places.collect::<Vec<_>>(), [(64, 3, 75), (132, 3, 143), (136, 6, 150)]);
            assert_eq!((split.hole_bytes, split.too_long), (128, 0));
            let split = rules.split(b"\0\0one\n\0", 0, Ending::Pause, 10);
            assert_eq!((split.spans[0].begin, split.spans[0].length, split.consumed), (2, 3, 6));
            // The zeros may be a place for text that is still to come.
            assert_eq!(rules.split(hole.as_bytes(), 0, Ending::Pause, 10).consumed, 0);
            let end = rules.split(hole.as_bytes(), 1, Ending::End, 10);
            assert_eq!((end.spans.len(), end.consumed, end.hole_bytes), (0, 64, 64));
        }
    }
}
