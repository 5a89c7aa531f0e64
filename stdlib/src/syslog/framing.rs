//! Messages on a connection (RFC 6587): counted, or ended with a line feed.

use memchr::{memchr, memchr2};

use crate::lines::Span;

/// More digits make no length of a message.
const DIGITS_MAX: usize = 9;

/// What has come of a connection, and where in it the messages are.
#[derive(Debug)]
pub(super) struct Frames {
    message_bytes_max: usize,
    /// What has come and is in no message yet.
    pub(super) kept: Vec<u8>,
    /// What is still to come of a message that is too long.
    skip: Skip,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skip {
    Nothing,
    Bytes(usize),
    Line,
}

/// Some messages, and how many of them were cut.
#[derive(Debug, Default)]
pub(super) struct Messages {
    pub(super) buffer: Vec<u8>,
    pub(super) spans: Vec<Span>,
    pub(super) too_long: u64,
}

impl Frames {
    pub(super) fn new(message_bytes_max: usize) -> Frames {
        Frames { message_bytes_max, kept: Vec::new(), skip: Skip::Nothing }
    }

    /// The messages that are complete, at most so many; what is left is kept. At the end of the
    /// connection a last message needs no end.
    pub(super) fn messages(&mut self, ends: bool, events_max: usize) -> Messages {
        let mut messages = Messages::default();
        let mut begin = 0;
        while begin < self.kept.len() && messages.spans.len() < events_max {
            let Some(behind) = self.next(begin, ends, &mut messages) else { break };
            begin = behind;
        }
        let rest = self.kept[begin..].to_vec();
        messages.buffer = std::mem::replace(&mut self.kept, rest);
        messages.buffer.truncate(begin);
        messages
    }

    /// Takes the message at `begin`, and gives back where the next one begins.
    fn next(&mut self, begin: usize, ends: bool, messages: &mut Messages) -> Option<usize> {
        let text = &self.kept[begin..];
        match self.skip {
            Skip::Nothing => {}
            Skip::Bytes(count) => {
                let skipped = count.min(text.len());
                self.skip = if skipped < count { Skip::Bytes(count - skipped) } else { Skip::Nothing };
                return Some(begin + skipped);
            }
            Skip::Line => {
                let end = memchr(b'\n', text);
                if end.is_some() {
                    self.skip = Skip::Nothing;
                }
                return Some(end.map_or(self.kept.len(), |end| begin + end + 1));
            }
        }
        match counted(text) {
            Counted::Wait if !ends => None,
            Counted::Length { digits, length } => {
                let first = begin + digits + 1;
                let wanted = length.min(self.message_bytes_max);
                if self.kept.len() - first < wanted && !ends {
                    return None;
                }
                let taken = wanted.min(self.kept.len() - first);
                messages.add(first, taken);
                if length > self.message_bytes_max {
                    messages.too_long += 1;
                    self.skip = Skip::Bytes(length - taken);
                }
                Some(first + taken)
            }
            Counted::No | Counted::Wait => self.line(begin, ends, messages),
        }
    }

    /// A message that ends with a line feed, or a zero as some write it.
    fn line(&mut self, begin: usize, ends: bool, messages: &mut Messages) -> Option<usize> {
        let text = &self.kept[begin..];
        let (length, behind) = match memchr2(b'\n', 0, text) {
            Some(end) => (end, end + 1),
            None if ends => (text.len(), text.len()),
            None if text.len() > self.message_bytes_max => {
                self.skip = Skip::Line;
                (text.len(), text.len())
            }
            None => return None,
        };
        if length > self.message_bytes_max {
            messages.too_long += 1;
        }
        let text = &text[..length.min(self.message_bytes_max)];
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        // Between messages some send empty lines.
        if !text.is_empty() {
            messages.add(begin, text.len());
        }
        Some(begin + behind)
    }
}

impl Messages {
    /// A message is bounded far below what fits.
    fn add(&mut self, begin: usize, length: usize) {
        let behind = (begin + length) as u64;
        self.spans.push(Span { begin: begin as u32, length: length as u32, behind });
    }
}

enum Counted {
    /// The message does not begin with its length.
    No,
    /// It may, but not all of the length has come.
    Wait,
    Length {
        digits: usize,
        length: usize,
    },
}

/// `45 <34>…`: the length of a message before it. A message itself begins with no digit.
fn counted(text: &[u8]) -> Counted {
    let digits = text.iter().take(DIGITS_MAX + 1).take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > DIGITS_MAX || text[0] == b'0' {
        return Counted::No;
    }
    match text.get(digits) {
        None => Counted::Wait,
        Some(b' ') => {
            let length =
                text[..digits].iter().fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
            Counted::Length { digits, length }
        }
        Some(_) => Counted::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The messages of what comes in pieces of this length.
    fn messages(text: &[u8], piece: usize) -> (Vec<String>, u64) {
        let mut frames = Frames::new(20);
        let (mut found, mut too_long) = (Vec::new(), 0);
        for end in [false, true] {
            let pieces: Vec<&[u8]> = if end { vec![b""] } else { text.chunks(piece).collect() };
            for piece in pieces {
                frames.kept.extend_from_slice(piece);
                loop {
                    let messages = frames.messages(end, 2);
                    too_long += messages.too_long;
                    for span in &messages.spans {
                        let text = &messages.buffer[span.begin as usize..][..span.length as usize];
                        found.push(String::from_utf8_lossy(text).into_owned());
                    }
                    if messages.buffer.is_empty() {
                        break;
                    }
                }
                assert!(frames.kept.len() <= 20 + piece.len() + DIGITS_MAX + 1, "what is kept is bounded");
            }
        }
        (found, too_long)
    }

    #[test]
    fn counted_and_ended_messages_may_follow_each_other() {
        for piece in [1, 2, 3, 100] {
            let (found, too_long) = messages(b"5 <1>a\n3 <2>\n<3>line\r\n\n<4>zero\0<5>last", piece);
            assert_eq!(found, ["<1>a\n", "<2>", "<3>line", "<4>zero", "<5>last"], "{piece}");
            assert_eq!(too_long, 0);
        }
    }

    #[test]
    fn messages_that_are_too_long_are_cut_and_what_follows_is_found() {
        for piece in [1, 7, 1000] {
            let text = [b"30 ".to_vec(), vec![b'a'; 30], vec![b'b'; 50], b"\n3 <2>".to_vec()].concat();
            let (found, too_long) = messages(&text, piece);
            assert_eq!(found, ["a".repeat(20), "b".repeat(20), "<2>".to_string()], "{piece}");
            assert_eq!(too_long, 2);
        }
    }

    #[test]
    fn lengths_that_are_none_are_text() {
        let (found, _) = messages(b"0 a\n12345678901\n12x\n7", 5);
        assert_eq!(found, ["0 a", "12345678901", "12x", "7"]);
    }
}
