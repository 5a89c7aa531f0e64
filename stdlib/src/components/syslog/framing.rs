//! Finds the messages in the bytes of a connection (RFC 6587). A counted message begins with its length; a terminated
//! message ends with a line feed or a zero.

use memchr::memchr2;

use crate::tools::lines::Span;

/// The most digits of a message's length.
const DIGITS_MAX: usize = 9;

/// The state of a connection's framing.
#[derive(Debug)]
pub(super) struct Frames {
    message_bytes_max: usize,
    /// The rest of a message that is too long, which is skipped.
    skip: Skip,
    /// The first `searched` bytes of the incomplete message have no terminator.
    searched: usize,
    /// How many bytes were searched for terminators.
    #[cfg(test)]
    scanned: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Skip {
    Nothing,
    /// This many bytes, of a counted message.
    Bytes(usize),
    /// The bytes up to the terminator, of a terminated message.
    ToTerminator,
}

/// Some messages of a text.
#[derive(Debug, Default)]
pub(super) struct Messages {
    pub(super) spans: Vec<Span>,
    /// The first `used` bytes of the text are not needed any more.
    pub(super) used: usize,
    /// How many messages were truncated.
    pub(super) too_long: u64,
}

impl Frames {
    pub(super) fn new(message_bytes_max: usize) -> Frames {
        Frames {
            message_bytes_max,
            skip: Skip::Nothing,
            searched: 0,
            #[cfg(test)]
            scanned: 0,
        }
    }

    /// Whether the rest of a message that is too long has not been received yet.
    pub(super) fn are_skipping(&self) -> bool {
        self.skip != Skip::Nothing
    }

    /// Returns at most `events_max` complete messages of `text`. The next call needs the unused bytes again, with the
    /// bytes received since appended. If the connection `ends`, the last message needs no terminator.
    pub(super) fn messages(&mut self, text: &[u8], ends: bool, events_max: usize) -> Messages {
        let mut messages = Messages::default();
        while messages.used < text.len() && messages.spans.len() < events_max {
            let Some(behind) = self.next(text, ends, &mut messages) else { break };
            messages.used = behind;
            self.searched = 0;
        }
        messages
    }

    /// Adds the next message, and returns where the one after it begins. Returns `None` if the message is incomplete.
    fn next(&mut self, all: &[u8], ends: bool, messages: &mut Messages) -> Option<usize> {
        let begin = messages.used;
        let text = &all[begin..];
        match self.skip {
            Skip::Nothing => {}
            Skip::Bytes(count) => {
                let skipped = count.min(text.len());
                self.skip = if skipped < count { Skip::Bytes(count - skipped) } else { Skip::Nothing };
                return Some(begin + skipped);
            }
            Skip::ToTerminator => {
                let end = self.terminator(text);
                if end.is_some() {
                    self.skip = Skip::Nothing;
                }
                return Some(end.map_or(all.len(), |end| begin + end + 1));
            }
        }
        match counted(text) {
            Counted::Wait if !ends => None,
            Counted::Length { digits, length } => {
                let first = begin + digits + 1;
                let wanted = length.min(self.message_bytes_max);
                if all.len() - first < wanted && !ends {
                    return None;
                }
                let taken = wanted.min(all.len() - first);
                messages.add(first, taken);
                if length > self.message_bytes_max {
                    messages.too_long += 1;
                    self.skip = Skip::Bytes(length - taken);
                }
                Some(first + taken)
            }
            Counted::No | Counted::Wait => self.terminated(begin, text, ends, messages),
        }
    }

    /// Adds a terminated message that begins at `begin`, and returns where the next one begins.
    fn terminated(
        &mut self,
        begin: usize,
        text: &[u8],
        ends: bool,
        messages: &mut Messages,
    ) -> Option<usize> {
        let (length, behind) = match self.terminator(text) {
            Some(end) => (end, end + 1),
            None if ends => (text.len(), text.len()),
            None if text.len() > self.message_bytes_max => {
                self.skip = Skip::ToTerminator;
                (text.len(), text.len())
            }
            None => {
                self.searched = text.len();
                return None;
            }
        };
        if length > self.message_bytes_max {
            messages.too_long += 1;
        }
        let text = &text[..length.min(self.message_bytes_max)];
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        // Some clients send empty lines between messages.
        if !text.is_empty() {
            messages.add(begin, text.len());
        }
        Some(begin + behind)
    }

    /// Returns the position of a terminated message's terminator, whether the message is taken or skipped.
    fn terminator(&mut self, text: &[u8]) -> Option<usize> {
        let end = memchr2(b'\n', 0, &text[self.searched..]).map(|end| self.searched + end);
        #[cfg(weir_bug)]
        let end = if weir_runtime::put_back!("skip_looks_for_a_line_end") && self.skip == Skip::ToTerminator {
            memchr::memchr(b'\n', text)
        } else {
            end
        };
        #[cfg(test)]
        {
            self.scanned += end.unwrap_or(text.len()) - self.searched;
        }
        end
    }
}

impl Messages {
    /// Adds a message. A message is at most a mebibyte long, so begin and length fit into 32 bits.
    fn add(&mut self, begin: usize, length: usize) {
        let behind = (begin + length) as u64;
        self.spans.push(Span { begin: begin as u32, length: length as u32, behind });
    }
}

/// Whether a message is counted.
enum Counted {
    /// The message does not begin with its length.
    No,
    /// The message may begin with its length, of which more digits may come.
    Wait,
    Length {
        digits: usize,
        length: usize,
    },
}

/// Reads the length before a counted message, as in `45 <34>…`. A counted message begins with a priority (RFC 6587); other text
/// that begins with a number is a terminated message.
fn counted(text: &[u8]) -> Counted {
    let digits = text.iter().take(DIGITS_MAX + 1).take_while(|byte| byte.is_ascii_digit()).count();
    if digits == 0 || digits > DIGITS_MAX || text[0] == b'0' {
        return Counted::No;
    }
    match (text.get(digits), text.get(digits + 1)) {
        (None, _) | (Some(b' '), None) => Counted::Wait,
        (Some(b' '), Some(b'<')) => {
            let length =
                text[..digits].iter().fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
            Counted::Length { digits, length }
        }
        _ => Counted::No,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the messages of a text that is received in pieces of this length, and how many were too long.
    fn messages(text: &[u8], piece: usize) -> (Vec<String>, u64) {
        let mut frames = Frames::new(20);
        let (mut found, mut too_long, mut kept) = (Vec::new(), 0, Vec::new());
        for end in [false, true] {
            let pieces: Vec<&[u8]> = if end { vec![b""] } else { text.chunks(piece).collect() };
            for piece in pieces {
                kept.extend_from_slice(piece);
                loop {
                    let messages = frames.messages(&kept, end, 2);
                    too_long += messages.too_long;
                    for span in &messages.spans {
                        let text = &kept[span.begin as usize..][..span.length as usize];
                        found.push(String::from_utf8_lossy(text).into_owned());
                    }
                    if messages.used == 0 {
                        break;
                    }
                    kept.drain(..messages.used);
                }
                assert!(kept.len() <= 20 + piece.len() + DIGITS_MAX + 1, "what is kept is bounded");
            }
        }
        assert!(frames.scanned <= text.len(), "each byte is looked at once");
        (found, too_long)
    }

    #[test]
    fn counted_and_terminated_messages_may_follow_each_other() {
        for piece in [1, 2, 3, 100] {
            let (found, too_long) = messages(b"5 <1>a\n3 <2>\n<3>line\r\n\n<4>zero\0<5>last", piece);
            assert_eq!(found, ["<1>a\n", "<2>", "<3>line", "<4>zero", "<5>last"], "{piece}");
            assert_eq!(too_long, 0);
        }
    }

    #[test]
    fn messages_that_are_too_long_are_truncated_and_the_next_message_is_found() {
        for piece in [1, 7, 1000] {
            let text = [b"30 <".to_vec(), vec![b'a'; 29], vec![b'b'; 50], b"\n3 <2>".to_vec()].concat();
            let (found, too_long) = messages(&text, piece);
            assert_eq!(found, [format!("<{}", "a".repeat(19)), "b".repeat(20), "<2>".to_string()], "{piece}");
            assert_eq!(too_long, 2);
        }
    }

    #[test]
    fn a_message_that_is_too_long_ends_at_either_terminator() {
        for piece in [1, 7, 21, 1000] {
            for end in [0, b'\n'] {
                let text = [&b"<1>first"[..], &[end], &[b'l'; 50], &[end], b"<2>after", &[end]].concat();
                let (found, too_long) = messages(&text, piece);
                assert_eq!(
                    found,
                    ["<1>first".to_string(), "l".repeat(20), "<2>after".to_string()],
                    "{piece}"
                );
                assert_eq!(too_long, 1);
            }
        }
    }

    #[test]
    fn digits_that_are_no_valid_length_are_text() {
        for piece in [1, 5, 100] {
            let (found, _) = messages(b"0 a\n12345678901\n12x\n7", piece);
            assert_eq!(found, ["0 a", "12345678901", "12x", "7"]);
        }
    }

    #[test]
    fn text_that_begins_with_a_number_is_a_message_of_its_own() {
        for piece in [1, 2, 3, 100] {
            let (found, too_long) = messages(b"15 users\n3 <2>2048 bytes were\n3 \n12 ", piece);
            assert_eq!(found, ["15 users", "<2>", "2048 bytes were", "3 ", "12 "], "{piece}");
            assert_eq!(too_long, 0);
        }
    }
}
