//! Positions of the protocol: lines, and code units within a line.

use std::cell::Cell;

use gen_lsp_types::{Position, PositionEncodingKind, Range};

/// The code unit in which the client counts the characters of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Bytes.
    Utf8,
    /// Code units of UTF-16, the default of the protocol.
    Utf16,
    /// Unicode scalar values.
    Utf32,
}

impl Encoding {
    /// Returns the first of the client's encodings, since a client lists them by preference.
    pub(crate) fn negotiated(offered: Option<&[PositionEncodingKind]>) -> Encoding {
        let known = |kind: &PositionEncodingKind| match kind {
            PositionEncodingKind::UTF8 => Some(Encoding::Utf8),
            PositionEncodingKind::UTF16 => Some(Encoding::Utf16),
            PositionEncodingKind::UTF32 => Some(Encoding::Utf32),
            PositionEncodingKind::Custom(_) => None,
        };
        offered.into_iter().flatten().find_map(known).unwrap_or(Encoding::Utf16)
    }

    /// Returns the name of the encoding in the protocol.
    pub(crate) fn kind(self) -> PositionEncodingKind {
        match self {
            Encoding::Utf8 => PositionEncodingKind::UTF8,
            Encoding::Utf16 => PositionEncodingKind::UTF16,
            Encoding::Utf32 => PositionEncodingKind::UTF32,
        }
    }

    /// Returns the number of code units of a text.
    pub(crate) fn length(self, text: &str) -> usize {
        match self {
            Encoding::Utf8 => text.len(),
            Encoding::Utf16 => text.chars().map(char::len_utf16).sum(),
            Encoding::Utf32 => text.chars().count(),
        }
    }

    /// Returns the bytes of the first `units` code units of a line. A position within a character is moved to the start
    /// of the character, and a position behind the line to its end.
    fn bytes(self, line: &str, units: usize) -> usize {
        let mut seen = 0;
        for (at, letter) in line.char_indices() {
            seen += match self {
                Encoding::Utf8 => letter.len_utf8(),
                Encoding::Utf16 => letter.len_utf16(),
                Encoding::Utf32 => 1,
            };
            if seen > units {
                return at;
            }
        }
        line.len()
    }
}

/// The last offset of a text whose positions nobody has asked for.
const NONE_ASKED: (usize, usize, Encoding) = (0, 0, Encoding::Utf8);

/// The starts of the lines of a text. Lines end with `\n`, `\r\n` or `\r`, as the protocol says.
#[derive(Debug, Clone)]
pub(crate) struct Lines {
    starts: Vec<u32>,
    /// The last offset whose position was asked for, with the code units before it in its line: the next one often follows
    /// in the same line, which may be long.
    last: Cell<(usize, usize, Encoding)>,
}

impl Lines {
    pub(crate) fn of(text: &str) -> Lines {
        let starts = std::iter::once(0).chain(Lines::starts_after_ends(text)).collect();
        Lines { starts, last: Cell::new(NONE_ASKED) }
    }

    /// Iterates over the offsets behind the line ends of a text.
    fn starts_after_ends(text: &str) -> impl Iterator<Item = u32> + '_ {
        let bytes = text.as_bytes();
        let ends = bytes.iter().enumerate().filter(|(at, byte)| match byte {
            b'\n' => true,
            b'\r' => bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        });
        ends.map(|(at, _)| at as u32 + 1)
    }

    /// Follows a change of the text: `written` bytes stand at `start` where the text had those up to `end`. Reads only the
    /// changed lines.
    pub(crate) fn replaced(&mut self, text: &str, start: usize, end: usize, written: usize) {
        // A written text may join a `\r` before it, or a `\n` behind it, to one line end.
        let first = self.line(start.saturating_sub(1));
        let rest = self.starts.partition_point(|at| *at as usize <= end + 1);
        let moved = |at: u32| (at as usize + start + written - end) as u32;
        let from = self.starts[first];
        let to = self.starts.get(rest).map_or(text.len(), |at| moved(*at) as usize);
        let changed = text.get(from as usize..to).unwrap_or_default();
        let new = std::iter::once(from).chain(Lines::starts_after_ends(changed).map(|at| at + from));
        let is_last = rest == self.starts.len();
        let new: Vec<u32> = new.filter(|at| is_last || (*at as usize) < to).collect();
        self.starts[rest..].iter_mut().for_each(|at| *at = moved(*at));
        self.starts.splice(first..rest, new);
        self.last.set(NONE_ASKED);
    }

    /// Returns the offsets of the starts of all lines.
    #[cfg(test)]
    pub(crate) fn starts(&self) -> &[u32] {
        &self.starts
    }

    /// Returns the number of lines; a text that ends with a newline has an empty last line.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.starts.len()
    }

    /// Returns the line of an offset, from 0.
    pub(crate) fn line(&self, offset: usize) -> usize {
        self.starts.partition_point(|start| *start as usize <= offset).saturating_sub(1)
    }

    /// Returns the start of a line; the end of the text for lines behind the last.
    pub(crate) fn start(&self, text: &str, line: usize) -> usize {
        self.starts.get(line).map_or(text.len(), |start| *start as usize)
    }

    /// Returns a line without its end.
    pub(crate) fn text<'t>(&self, text: &'t str, line: usize) -> &'t str {
        let (start, end) = (self.start(text, line), self.start(text, line + 1));
        text.get(start..end).unwrap_or_default().trim_end_matches(['\n', '\r'])
    }

    /// Returns the position of an offset.
    pub(crate) fn position(&self, text: &str, offset: usize, encoding: Encoding) -> Position {
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        // The line ends before `\r\n`.
        let bytes = text.as_bytes();
        if offset > 0 && bytes.get(offset - 1) == Some(&b'\r') && bytes.get(offset) == Some(&b'\n') {
            offset -= 1;
        }
        let line = self.line(offset);
        let start = self.start(text, line);
        let (from, units) = match self.last.get() {
            (last, units, of) if of == encoding && start <= last && last <= offset => (last, units),
            _ => (start, 0),
        };
        let units = units + encoding.length(text.get(from..offset).unwrap_or_default());
        self.last.set((offset, units, encoding));
        Position { line: line as u32, character: units as u32 }
    }

    /// Returns the offset of a position. Positions outside of the text are moved to the end of the line or the text.
    pub(crate) fn offset(&self, text: &str, position: Position, encoding: Encoding) -> usize {
        let line = position.line as usize;
        self.start(text, line) + encoding.bytes(self.text(text, line), position.character as usize)
    }

    /// Returns the range of two offsets.
    pub(crate) fn range(&self, text: &str, range: std::ops::Range<usize>, encoding: Encoding) -> Range {
        let (start, end) = (range.start, range.end);
        Range { start: self.position(text, start, encoding), end: self.position(text, end, encoding) }
    }
}
