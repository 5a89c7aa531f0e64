//! Where events begin and end in a text: lines, or several lines together.

use memchr::{memchr, memchr_iter};
use regex::bytes::Regex;

/// What is done with a line that is too long.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LongLine {
    /// Its beginning is taken.
    Truncate,
    /// It is left out.
    Skip,
}

/// How a text becomes events.
#[derive(Debug, Clone)]
pub(crate) struct LineRules {
    /// The longest line that is taken whole, in bytes.
    pub(crate) line_bytes_max: usize,
    pub(crate) long_lines: LongLine,
    /// How lines belong together; each is an event without.
    pub(crate) grouping: Option<Grouping>,
}

/// Which lines belong to one event.
#[derive(Debug, Clone)]
pub(crate) struct Grouping {
    pub(crate) pattern: Regex,
    /// Whether a line that matches begins an event; else it belongs to the one before.
    pub(crate) match_begins: bool,
    pub(crate) lines_max: usize,
}

/// What follows the text that there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    /// More, perhaps: what is not complete waits for it.
    Open,
    /// Nothing for now: an event of several lines waits no longer, a line without its end does.
    Pause,
    /// Nothing: what is there is complete.
    End,
}

/// Where an event is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Span {
    /// Where it begins in the buffer.
    pub(crate) begin: u32,
    /// Its length in bytes, without its line's end.
    pub(crate) length: u32,
    /// Where the next line begins, in the text.
    pub(crate) behind: u64,
}

/// The events of a buffer.
#[derive(Debug, Default)]
pub(crate) struct Split {
    pub(crate) spans: Vec<Span>,
    /// Up to here, the buffer is used up.
    pub(crate) consumed: usize,
    /// How many lines were too long.
    pub(crate) too_long: u64,
}

impl LineRules {
    /// The most that one event can take of a buffer: the longest line with its end.
    pub(crate) fn event_bytes_max(&self) -> usize {
        self.line_bytes_max.saturating_add(2)
    }

    /// The events of a buffer that begins with a line's beginning at `position` of the text: at most
    /// `events_max`. What is not complete is left.
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
            self.add(split, buffer, newline, newline + 1, position);
            if split.spans.len() == events_max {
                return;
            }
        }
        if ending == Ending::End && split.consumed < buffer.len() {
            self.add(split, buffer, buffer.len(), buffer.len(), position);
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
        // Of the event that is open: how many lines it has, and where the last of them ends.
        let (mut lines, mut end, mut behind) = (0, 0, 0);
        while behind < buffer.len() && split.spans.len() < events_max {
            let (line_end, next) = match memchr(b'\n', &buffer[behind..]) {
                Some(length) => (behind + length, behind + length + 1),
                None if ending == Ending::End => (buffer.len(), buffer.len()),
                None => {
                    // Whatever this line will be, it would make the event too long.
                    let too_long = buffer.len() - split.consumed >= self.event_bytes_max();
                    if lines > 0 && (too_long || ending == Ending::Pause) {
                        self.add(split, buffer, end, behind, position);
                    }
                    return;
                }
            };
            let line = &buffer[behind..line_end];
            let begins = grouping.pattern.is_match(line) == grouping.match_begins
                || lines == grouping.lines_max
                || line_end - split.consumed > self.line_bytes_max;
            if lines > 0 && begins {
                self.add(split, buffer, end, behind, position);
                lines = 0;
                if split.spans.len() == events_max {
                    return;
                }
            }
            (lines, end, behind) = (lines + 1, line_end, next);
        }
        if ending != Ending::Open && lines > 0 && split.spans.len() < events_max {
            self.add(split, buffer, end, behind, position);
        }
    }

    /// Adds the event up to `end`, behind which the next one begins at `behind`.
    fn add(&self, split: &mut Split, buffer: &[u8], end: usize, behind: usize, position: u64) {
        let begin = std::mem::replace(&mut split.consumed, behind);
        let mut length = end - begin;
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
        // A buffer is never longer than the longest line allowed, 64 MiB, and its end.
        let behind = position + behind as u64;
        split.spans.push(Span { begin: begin as u32, length: length as u32, behind });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: LineRules = LineRules { line_bytes_max: 20, long_lines: LongLine::Truncate, grouping: None };

    fn grouped(pattern: &str, match_begins: bool) -> LineRules {
        let pattern = Regex::new(pattern).unwrap();
        LineRules { grouping: Some(Grouping { pattern, match_begins, lines_max: 3 }), ..PLAIN }
    }

    /// The events of a text, and how much of it was used.
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
    fn line_ends_are_left_out_and_a_last_line_waits_for_its_own() {
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
    fn too_long_lines_are_cut_or_left_out_and_counted() {
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
    fn an_event_ends_at_its_most_lines_and_where_it_would_become_too_long() {
        let rules = grouped(r"^\s", false);
        assert_eq!(events(&rules, "a\n 1\n 2\n 3\nb\n", true).0, ["a\n 1\n 2", " 3", "b"]);
        assert_eq!(events(&rules, "a\n 123456789\n 123456789\n", true).0, ["a\n 123456789", " 123456789"]);
    }

    #[test]
    fn an_endless_line_does_not_hold_the_event_before_it() {
        let rules = grouped(r"^\s", false);
        let text = format!("a\n {}", "x".repeat(40));
        assert_eq!(events(&rules, &text, false), (vec!["a".into()], 2));
    }

    #[test]
    fn after_a_pause_complete_lines_are_an_event_and_others_still_wait() {
        let rules = grouped(r"^\s", false);
        let split = rules.split(b"a\n b\n c", 0, Ending::Pause, 10);
        assert_eq!((split.spans.len(), split.consumed), (1, 5));
        assert_eq!(PLAIN.split(b"a\nb", 0, Ending::Pause, 10).consumed, 2);
    }
}
