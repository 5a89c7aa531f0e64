//! Assigns the comments of a file to tokens.

use std::collections::HashMap;

use crate::tree::{Comment, CommentKind};

/// A comment on a line of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct OwnLine<'t> {
    /// The text, including the slashes, without trailing blanks.
    pub(super) text: &'t str,
    pub(super) kind: CommentKind,
    /// Whether a blank line precedes the comment.
    pub(super) blank_before: bool,
}

/// The comments that are not yet part of the document.
#[derive(Debug, Default)]
pub(super) struct Comments<'t> {
    text: &'t str,
    /// Comments on lines of their own, by the offset of the following token or of the file's end.
    own_lines: HashMap<usize, Vec<OwnLine<'t>>>,
    /// Comments at ends of lines, by the end of the preceding token.
    trailing: HashMap<usize, &'t str>,
}

impl<'t> Comments<'t> {
    pub(super) fn new(text: &'t str, comments: &[Comment]) -> Comments<'t> {
        let mut read = Comments { text, ..Comments::default() };
        let bytes = text.as_bytes();
        // From the last comment to the first, since several comments may precede one token.
        let (mut next_start, mut next_token) = (text.len(), text.len());
        for comment in comments.iter().rev() {
            let (start, end) = (comment.span.start as usize, comment.span.end as usize);
            let gap = text[end..].bytes().take_while(|&byte| is_between(byte)).count();
            if end + gap != next_start {
                next_token = end + gap;
            }
            next_start = start;
            let line_text = comment.span.slice(text).trim_end();
            let before = bytes[..start].iter().rposition(|&byte| byte == b'\n' || !is_between(byte));
            match before {
                Some(place) if bytes[place] != b'\n' => {
                    read.trailing.insert(place + 1, line_text);
                }
                _ => {
                    let blank_before = blank_line_before(text, start);
                    let own_line = OwnLine { text: line_text, kind: comment.kind, blank_before };
                    read.own_lines.entry(next_token).or_default().push(own_line);
                }
            }
        }
        for own_lines in read.own_lines.values_mut() {
            own_lines.reverse();
        }
        read
    }

    /// Returns whether all comments are taken.
    pub(super) fn is_empty(&self) -> bool {
        self.own_lines.is_empty() && self.trailing.is_empty()
    }

    /// Returns whether comments on lines of their own precede a token.
    pub(super) fn has_before(&self, token: usize) -> bool {
        self.own_lines.contains_key(&token)
    }

    /// Returns whether a comment follows the token that ends here.
    pub(super) fn has_after(&self, end: usize) -> bool {
        self.trailing.contains_key(&end)
    }

    /// Takes the comments on lines of their own before a token.
    pub(super) fn take_before(&mut self, token: usize) -> Vec<OwnLine<'t>> {
        self.own_lines.remove(&token).unwrap_or_default()
    }

    /// Takes the comment after the token that ends here.
    pub(super) fn take_after(&mut self, end: usize) -> Option<&'t str> {
        self.trailing.remove(&end)
    }

    /// Returns whether a blank line precedes a token and its comments.
    pub(super) fn blank_before(&self, token: usize) -> bool {
        match self.own_lines.get(&token).and_then(|own_lines| own_lines.first()) {
            Some(own_line) => own_line.blank_before,
            None => blank_line_before(self.text, token),
        }
    }

    /// Returns whether a blank line is directly before a token.
    pub(super) fn blank_right_before(&self, token: usize) -> bool {
        blank_line_before(self.text, token)
    }
}

/// Returns whether the byte is whitespace or a comma. The formatter adds and removes commas.
fn is_between(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == b','
}

fn blank_line_before(text: &str, place: usize) -> bool {
    let before = text[..place].bytes().rev().take_while(u8::is_ascii_whitespace);
    before.filter(|&byte| byte == b'\n').count() > 1
}
