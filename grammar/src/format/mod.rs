//! The one canonical form of a file.
//!
//! - Lines have up to 100 characters, a level is two blanks, a file ends with one newline; no line ends in
//!   blanks. Line ends are `\n`, and a byte order mark goes.
//! - `{ }` stays on one line if it was written on one and fits, with commas; otherwise each entry has a line
//!   of its own, without commas. The same holds for `[ ]`, which counts as written on one line if its first
//!   element stands behind the bracket, and has commas in both cases. A list or a call of one argument that
//!   is itself in brackets opens and closes with it: `[{ … }]`. Other parentheses are broken only where they
//!   don't fit.
//! - A chain stays on one line if it was written so and fits up to the brace of a `copy`, `match`, `balance` or
//!   `failover` at its end; otherwise each `->` begins a line, one level deeper.
//! - Where an expression doesn't fit, it is broken before each `or`, then before each `and` and `else`, and
//!   after other operators where it must be. `because` and a step's `else` follow on a line of their own.
//! - The values of entries, and the types of a schema's fields, are aligned in rows of entries of one line
//!   each, which end at a blank line; so are comments at the ends of adjacent lines, two blanks behind.
//!   Signatures are not aligned: most of their lines have a comment of their own.
//! - One blank line at most is kept between entries, elements and items, and none at the beginning or end of a
//!   block or behind a `///`. Exactly one stands between items of different kinds (sources, channels
//!   and sinks are one kind; so are enums and records, and all that is `extern`), around an item of several
//!   lines, before one with a doc comment, and after `//!`.
//! - Comments stay with the token that they follow on its line, or that follows them. Names have backticks
//!   only where they need them. Numbers and text stay as they are written.
//!
//! It prints pest's pairs and not the tree, since they have every token in its place. So what it changes are
//! blanks, commas and backticks, and nothing else can be lost.

mod align;
mod brackets;
mod chain;
mod comments;
mod document;
mod expression;
mod node;
mod print;

use pest::Parser;

use crate::error::SyntaxError;
use crate::layout::lay_out;
use crate::parse::{blanked, item_rule, parse};
use crate::tree::CommentKind;
use crate::{FileId, FlowParser};

use align::text_of;
use comments::{Comments, OwnLine};
use node::Nodes;

/// The canonical form of a file.
///
/// # Errors
/// What is wrong with the text, if it can't be read.
pub fn format(file: FileId, text: &str) -> Result<String, Vec<SyntaxError>> {
    let errors = parse(file, text).errors;
    if !errors.is_empty() {
        return Err(errors);
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let layout = lay_out(file, text);
    let mut comments = Comments::new(text, &layout.comments);
    let mut written = Written::default();
    for item in layout.items {
        let source = &text[item.range.clone()];
        let start = item.range.start;
        let before = comments.take_before(start);
        let blank_right_before = comments.blank_right_before(start);
        let copy = blanked(source, &item);
        // It has been read without an error, so there is a rule and it fits.
        let pair = item_rule(source).and_then(|rule| FlowParser::parse(rule, &copy).ok()?.next());
        let lines = match pair {
            Some(pair) => print::print(&Nodes::new(text, start, &mut comments).node(pair)),
            None => return Err(Vec::new()),
        };
        written.item(kind_of(source), &before, blank_right_before, lines.len() > 1, &text_of(lines));
    }
    written.comments(&comments.take_before(text.len()), false);
    debug_assert!(comments.is_empty(), "comments are lost");
    Ok(written.text)
}

/// What has been written so far.
#[derive(Default)]
struct Written {
    text: String,
    /// The kind of the last item, and whether it has several lines.
    last: Option<(&'static str, bool)>,
    /// Whether the last line is one of the file's own documentation.
    after_file_comment: bool,
}

impl Written {
    fn item(&mut self, kind: &'static str, before: &[OwnLine<'_>], blank: bool, tall: bool, text: &str) {
        let is_doc = |comment: &OwnLine<'_>| comment.kind == CommentKind::Item;
        let documented = before.iter().any(is_doc);
        let apart =
            self.last.is_some_and(|(last, last_tall)| last != kind || last_tall || tall || documented);
        // No blank line stays behind a `///`.
        let blank = blank && !before.last().is_some_and(is_doc);
        let kept = before
            .iter()
            .enumerate()
            .any(|(index, comment)| comment.blank_before && !(index > 0 && is_doc(&before[index - 1])));
        self.comments(before, apart && !kept && !blank);
        self.separate(blank || before.is_empty() && apart || self.after_file_comment);
        self.text.push_str(text);
        self.after_file_comment = false;
        self.last = Some((kind, tall));
    }

    /// Writes comments; with a blank line before the first if that must be.
    fn comments(&mut self, comments: &[OwnLine<'_>], apart: bool) {
        let mut after_doc = false;
        for (index, comment) in comments.iter().enumerate() {
            let of_file = comment.kind == CommentKind::File;
            let blank = comment.blank_before && !after_doc || index == 0 && apart;
            self.separate(blank || self.after_file_comment && !of_file);
            self.text.push_str(comment.text);
            self.text.push('\n');
            self.after_file_comment = of_file;
            after_doc = comment.kind == CommentKind::Item;
        }
    }

    fn separate(&mut self, blank: bool) {
        if blank && !self.text.is_empty() {
            self.text.push('\n');
        }
    }
}

/// Items of one kind may stand together.
fn kind_of(item: &str) -> &'static str {
    let end = item.find(|letter: char| !letter.is_ascii_alphanumeric()).unwrap_or(item.len());
    match &item[..end] {
        "source" | "channel" | "sink" => "component",
        "enum" | "record" => "type",
        "import" => "import",
        "param" => "param",
        "let" => "let",
        "extern" => "extern",
        "schema" => "schema",
        "interceptor" => "interceptor",
        "fn" => "fn",
        "quality" => "quality",
        "flow" => "flow",
        "test" => "test",
        _ => "agent",
    }
}
