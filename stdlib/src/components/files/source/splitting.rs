//! How a text is split into events: at its line ends, or into frames of records.

use crate::formats::reading::{FRAME_HEAD_BYTES, RecordRules};
use crate::tools::encoding::TextEncoding;
use crate::tools::lines::{Ending, LineRules, Span, Split};

/// The rule by which a text is split.
#[derive(Debug, Clone)]
pub(super) enum Splitting {
    /// Each line, or group of lines, is an event.
    Lines(LineRules),
    /// Each frame is an event.
    Frames {
        /// The longest body.
        record_bytes_max: usize,
    },
}

impl Splitting {
    /// Returns the rule for the frames of records, if files have records, or else the one for lines.
    pub(super) fn of(lines: LineRules, records: Option<RecordRules>) -> Splitting {
        match records {
            None => Splitting::Lines(lines),
            Some(RecordRules { record_bytes_max, .. }) => Splitting::Frames { record_bytes_max },
        }
    }

    /// Returns the most bytes of a buffer that one event can take up.
    pub(super) fn event_bytes_max(&self) -> usize {
        match self {
            Splitting::Lines(rules) => rules.event_bytes_max(),
            Splitting::Frames { record_bytes_max } => record_bytes_max + FRAME_HEAD_BYTES,
        }
    }

    /// Returns the longest body.
    pub(super) fn body_bytes_max(&self) -> usize {
        match self {
            Splitting::Lines(rules) => rules.line_bytes_max,
            Splitting::Frames { record_bytes_max } => *record_bytes_max,
        }
    }

    /// Returns the encoding of the text. That of frames is none, and is treated as UTF-8.
    pub(super) fn encoding(&self) -> TextEncoding {
        match self {
            Splitting::Lines(rules) => rules.encoding,
            Splitting::Frames { .. } => TextEncoding::Utf8,
        }
    }

    /// Returns how many zeros before a line are no text.
    pub(super) fn hole_bytes(&self, text: &[u8], position: u64) -> usize {
        match self {
            Splitting::Lines(rules) => rules.hole_bytes(text, position),
            Splitting::Frames { .. } => 0,
        }
    }

    /// Returns how a text with this beginning looks like one in another encoding.
    pub(super) fn contradiction(&self, head: &[u8]) -> Option<String> {
        match self {
            Splitting::Lines(rules) => rules.encoding.contradiction(head),
            Splitting::Frames { .. } => None,
        }
    }

    /// Splits a buffer into at most `events_max` events. The buffer begins with an event, at `position` of the text.
    /// Leaves incomplete events.
    pub(super) fn split(&self, buffer: &[u8], position: u64, ending: Ending, events_max: usize) -> Split {
        match self {
            Splitting::Lines(rules) => rules.split(buffer, position, ending, events_max),
            Splitting::Frames { .. } => split_frames(buffer, position, events_max),
        }
    }
}

fn split_frames(buffer: &[u8], position: u64, events_max: usize) -> Split {
    let mut split = Split::default();
    while split.spans.len() < events_max {
        let begin = split.consumed + FRAME_HEAD_BYTES;
        let Some(length) = buffer[split.consumed..].get(8..).and_then(|rest| rest.first_chunk::<4>()) else {
            break;
        };
        let length = u32::from_be_bytes(*length);
        let end = begin + length as usize;
        if end > buffer.len() {
            break;
        }
        // A buffer is never longer than the longest body, which is at most 64 MiB, and a mebibyte.
        split.spans.push(Span { begin: begin as u32, length, behind: position + end as u64 });
        split.consumed = end;
    }
    split
}

/// Returns the number of the record whose body begins at this offset of a buffer of frames.
pub(super) fn record_number(buffer: &[u8], begin: u32) -> i64 {
    let head = buffer.get(begin as usize - FRAME_HEAD_BYTES..).and_then(|head| head.first_chunk::<8>());
    head.map_or(0, |number| i64::from_be_bytes(*number))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_split_and_an_incomplete_one_is_left() {
        let frame = |number: u64, body: &[u8]| {
            [&number.to_be_bytes()[..], &(body.len() as u32).to_be_bytes(), body].concat()
        };
        let buffer = [frame(7, b"one"), frame(8, b""), frame(9, b"three\n")].concat();
        let splitting = Splitting::Frames { record_bytes_max: 100 };
        for cut in 0..buffer.len() {
            let split = splitting.split(&buffer[..cut], 1_000, Ending::End, 10);
            let expected = [15, 27].iter().filter(|end| **end <= cut).count();
            assert_eq!(split.spans.len(), expected, "{cut}");
        }
        let split = splitting.split(&buffer, 1_000, Ending::End, 10);
        let found: Vec<(i64, &[u8], u64)> = split
            .spans
            .iter()
            .map(|span| {
                let body = &buffer[span.begin as usize..][..span.length as usize];
                (record_number(&buffer, span.begin), body, span.behind)
            })
            .collect();
        assert_eq!(found, [(7, &b"one"[..], 1_015), (8, b"", 1_027), (9, b"three\n", 1_045)]);
        assert_eq!(splitting.split(&buffer, 0, Ending::Open, 2).consumed, 27);
    }
}
