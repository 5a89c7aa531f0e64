//! Splits a text into events: lines, or groups of lines.

use std::ops::Range;

use memchr::memchr_iter;
use regex::bytes::Regex;

use super::encoding::{CodeUnits, TextEncoding};

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
    /// The encoding of the text. Lines are cut as the text is; [`LineRules::decode`] decodes them.
    pub(crate) encoding: TextEncoding,
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

/// Decoded events.
#[derive(Debug, Default)]
pub(crate) struct Decoded {
    /// The texts of the events in UTF-8.
    pub(crate) buffer: Vec<u8>,
    /// The events in the buffer.
    pub(crate) spans: Vec<Span>,
    /// The offset of each event in the original buffer.
    pub(crate) offsets: Vec<u32>,
    /// The number of events that became too long.
    pub(crate) too_long: u64,
    /// The number of events in which something is not right, and was replaced.
    pub(crate) malformed: u64,
}

impl LineRules {
    /// Returns the most bytes of a buffer that one event can take up: the longest line with its end and a byte order mark.
    pub(crate) fn event_bytes_max(&self) -> usize {
        self.line_bytes_max
            .saturating_add(self.units().carriage_return().len() * 2 + self.encoding.mark().len())
    }

    fn units(&self) -> CodeUnits {
        self.encoding.units()
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
        if self.units() == CodeUnits::Bytes {
            split.spans.reserve(events_max.min(buffer.len() / 64));
            for newline in memchr_iter(b'\n', buffer) {
                match self.plain_line(&buffer[split.consumed..newline], position + split.consumed as u64) {
                    Some(length) => {
                        let (begin, behind) = (split.consumed as u32, position + newline as u64 + 1);
                        split.spans.push(Span { begin, length: length as u32, behind });
                        split.consumed = newline + 1;
                    }
                    None => self.add_line(split, buffer, newline..newline + 1, position),
                }
                if split.spans.len() == events_max {
                    return;
                }
            }
        } else {
            while let Some(end) = self.units().line_end(&buffer[split.consumed..]) {
                let begin = split.consumed;
                self.add_line(split, buffer, begin + end.start..begin + end.end, position);
                if split.spans.len() == events_max {
                    return;
                }
            }
        }
        if ending == Ending::End && split.consumed < buffer.len() {
            self.add_line(split, buffer, buffer.len()..buffer.len(), position);
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
            let (line_end, next) = match self.units().line_end(&buffer[behind..]) {
                Some(end) => (behind + end.start, behind + end.end),
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
            let begins = self.matches(grouping, &buffer[behind + before..line_end]) == grouping.match_begins
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

    /// Returns whether the pattern matches a line, which it sees decoded and without a carriage return.
    fn matches(&self, grouping: &Grouping, line: &[u8]) -> bool {
        let line = line.strip_suffix(self.units().carriage_return()).unwrap_or(line);
        if !self.encoding.decodes() {
            return grouping.pattern.is_match(line);
        }
        let mut decoded = Vec::new();
        self.encoding.decode_onto(line, &mut decoded);
        grouping.pattern.is_match(&decoded)
    }

    /// Decodes the events of a buffer as UTF-8.
    pub(crate) fn decode(&self, buffer: &[u8], spans: &[Span]) -> Decoded {
        let mut decoded = Decoded::default();
        for span in spans {
            let begin = decoded.buffer.len();
            let text = &buffer[span.begin as usize..][..span.length as usize];
            decoded.malformed += u64::from(!self.encoding.decode_onto(text, &mut decoded.buffer));
            let mut length = decoded.buffer.len() - begin;
            if length > self.line_bytes_max {
                decoded.too_long += 1;
                length = match self.long_lines {
                    LongLine::Truncate => whole_characters(&decoded.buffer[begin..], self.line_bytes_max),
                    LongLine::Skip => 0,
                };
                decoded.buffer.truncate(begin + length);
                if self.long_lines == LongLine::Skip {
                    continue;
                }
            }
            // A buffer of at most 64 MiB becomes three times as long at most.
            decoded.spans.push(Span { begin: begin as u32, length: length as u32, behind: span.behind });
            decoded.offsets.push(span.begin);
        }
        decoded
    }

    /// Returns the length of the event of a line in bytes, without its carriage return; `None` if the line may begin with a
    /// byte order mark or a hole, or is too long. Almost all lines are plain, and cost the least here.
    #[inline]
    fn plain_line(&self, line: &[u8], position: u64) -> Option<usize> {
        let is_plain = position > 0 && line.first() != Some(&0) && line.len() <= self.line_bytes_max;
        is_plain.then(|| line.strip_suffix(b"\r").unwrap_or(line).len())
    }

    /// Adds the line up to this line end.
    fn add_line(&self, split: &mut Split, buffer: &[u8], end: Range<usize>, position: u64) {
        let begin = split.consumed;
        let begin = begin + self.bytes_before(&buffer[begin..end.start], position, begin);
        self.add(split, buffer, begin..end.start, end.end, position);
    }

    /// Returns the number of bytes before the text of a line, which begins at `at` of a buffer at `position`: a byte order
    /// mark at the beginning of a file, or a hole.
    fn bytes_before(&self, line: &[u8], position: u64, at: usize) -> usize {
        if !self.of_file {
            return 0;
        }
        let (position, mark) = (position + at as u64, self.encoding.mark());
        match line.first() {
            Some(0) => self.hole_bytes(line, position),
            Some(first) if position == 0 && mark.first() == Some(first) && line.starts_with(mark) => {
                mark.len()
            }
            _ => 0,
        }
    }

    /// Returns the number of zero bytes with which a text at `position` of a file begins, if they are a hole: a writer
    /// without `O_APPEND` leaves one where its file was truncated, and a crash of the machine may leave one.
    pub(crate) fn hole_bytes(&self, text: &[u8], position: u64) -> usize {
        if !self.of_file {
            return 0;
        }
        let zeros = text.iter().position(|byte| *byte != 0).unwrap_or(text.len());
        let zeros = self.units().whole(zeros);
        if position == 0 || zeros >= HOLE_BYTES_MIN { zeros } else { 0 }
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
        let carriage_return = self.units().carriage_return();
        if buffer[begin..end].ends_with(carriage_return) {
            length -= carriage_return.len();
        }
        if length > self.line_bytes_max {
            split.too_long += 1;
            if self.long_lines == LongLine::Skip {
                return;
            }
            length = self.units().whole(self.line_bytes_max);
        }
        // A buffer is never longer than the longest line, which is at most 64 MiB, and its end.
        let behind = position + behind as u64;
        split.spans.push(Span { begin: begin as u32, length: length as u32, behind });
    }
}

/// Returns the length of the whole characters within the first `bytes_max` bytes of a text.
fn whole_characters(text: &[u8], bytes_max: usize) -> usize {
    let is_character = |at: &usize| text.get(*at).is_none_or(|byte| byte & 0xc0 != 0x80);
    (0..=bytes_max.min(text.len())).rev().find(is_character).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: LineRules = LineRules {
        line_bytes_max: 20,
        long_lines: LongLine::Truncate,
        grouping: None,
        of_file: true,
        encoding: TextEncoding::Utf8,
    };

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

    #[test]
    fn lines_of_wide_characters_are_cut_at_whole_ones_and_decoded() {
        let text = "\u{feff}one\r\n\u{a0a} two\n\r\nlong äöü äöü äöü äöü\nlast";
        for encoding in [TextEncoding::Utf16Le, TextEncoding::Utf16Be] {
            let bytes = |unit: u16| match encoding {
                TextEncoding::Utf16Le => unit.to_le_bytes(),
                _ => unit.to_be_bytes(),
            };
            let raw: Vec<u8> = text.encode_utf16().flat_map(bytes).collect();
            let rules = LineRules { encoding, ..PLAIN };
            let split = rules.split(&raw, 0, Ending::End, 10);
            assert_eq!((split.consumed, split.too_long), (raw.len(), 1));
            let decoded = rules.decode(&raw, &split.spans);
            let texts = decoded.spans.iter().map(|span| {
                let text = &decoded.buffer[span.begin as usize..][..span.length as usize];
                str::from_utf8(text).unwrap()
            });
            assert_eq!(texts.collect::<Vec<_>>(), ["one", "\u{a0a} two", "", "long äöü ä", "last"]);
            assert_eq!(decoded.offsets, [2, 12, 24, 28, 70]);
            let open = rules.split(&raw[..raw.len() - 1], 0, Ending::Open, 10);
            assert_eq!(open.consumed, 70);
            assert_eq!(rules.split(&raw[..11], 0, Ending::Open, 10).consumed, 0);
            // A hole has whole characters, too.
            let holed = [&[0; 100], &raw[2..]].concat();
            let split = rules.split(&holed, 0, Ending::End, 10);
            assert_eq!((split.spans[0].begin, split.hole_bytes), (100, 100));
        }
    }

    #[test]
    fn a_line_that_becomes_too_long_when_it_is_decoded_is_cut_at_a_whole_character() {
        let rules = LineRules { encoding: TextEncoding::Latin1, ..PLAIN };
        let text = [b"x".to_vec(), vec![0xe4; 15], b"\nnext".to_vec()].concat();
        let split = rules.split(&text, 0, Ending::End, 10);
        let decoded = rules.decode(&text, &split.spans);
        assert_eq!((decoded.spans[0].length, decoded.too_long, decoded.spans.len()), (19, 1, 2));
        let skipping = LineRules { long_lines: LongLine::Skip, ..rules };
        let decoded = skipping.decode(&text, &split.spans);
        assert_eq!((&decoded.buffer[..], decoded.offsets), (&b"next"[..], vec![17]));
    }

    #[test]
    fn patterns_see_decoded_lines() {
        let rules = LineRules { encoding: TextEncoding::Utf16Le, ..grouped("^ä$", true) };
        let raw: Vec<u8> = "ä\r\n1\nä\n2\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
        assert_eq!(rules.split(&raw, 0, Ending::End, 10).spans.len(), 2);
    }
}
