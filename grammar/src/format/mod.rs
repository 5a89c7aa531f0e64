//! The formatter, which prints the canonical form of a file.
//!
//! - Lines have up to 100 characters, the indentation of a level is two blanks, a file ends with one newline, and no line
//!   ends with blanks. Line ends are `\n`; a byte order mark is removed.
//! - `{ }` that is on one line in the source stays on one line if it fits, with commas; otherwise each entry has a line
//!   of its own, without commas. The same holds for `[ ]`, which counts as being on one line if its first
//!   element follows the bracket on the same line, and has commas in both cases. If the only element or argument is
//!   itself in brackets, both pairs open and close on the same lines: `[{ … }]`. Other parentheses are broken only if they
//!   don't fit.
//! - A chain that is on one line in the source stays on one line if it fits, up to the brace of a `copy`, `match`,
//!   `balance` or `failover` at its end; otherwise each `->` begins a line, one level deeper.
//! - An expression that doesn't fit is broken before each `or`, then before each `and` and `else`, and
//!   then after other operators. `because` and a step's `else` follow on a line of their own.
//! - The values of consecutive one-line entries, and the types of a schema's fields, are aligned; a blank line ends the
//!   alignment. Comments at the ends of adjacent lines are aligned too, two blanks after the longest line.
//!   Signatures are not aligned, since most of their lines have a comment of their own.
//! - At most one blank line is kept between entries, elements and items, and none at the beginning or end of a
//!   block or after a `///`. Exactly one blank line separates items of different kinds (sources, channels
//!   and sinks are one kind; so are enums and records, and all `extern` items). There is also one around an item of several
//!   lines, before an item with a doc comment, and after `//!`.
//! - A comment stays with the token that it follows on the same line, or else with the token that follows it. Names have
//!   backticks only if they need them. Numbers and text stay as they are written.
//!
//! The formatter prints pest's pairs and not the tree, since the pairs contain every token with its place. So it can change
//! only blanks, commas and backticks, and can lose nothing else.

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

/// Returns the canonical form of a file.
///
/// # Errors
/// The syntax errors of the text, if it has any.
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
        let copy = blanked(source, &item).text;
        // The text was parsed without errors, so the item has a rule, and pest accepts it.
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

/// The text written so far.
#[derive(Default)]
struct Written {
    text: String,
    /// The kind of the last item, and whether the item has several lines.
    last: Option<(&'static str, bool)>,
    /// Whether the last line belongs to the file's doc comment.
    after_file_comment: bool,
}

impl Written {
    fn item(&mut self, kind: &'static str, before: &[OwnLine<'_>], blank: bool, tall: bool, text: &str) {
        let is_doc = |comment: &OwnLine<'_>| comment.kind == CommentKind::Item;
        let documented = before.iter().any(is_doc);
        let apart =
            self.last.is_some_and(|(last, last_tall)| last != kind || last_tall || tall || documented);
        // No blank line is kept after a `///`.
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

    /// Writes comments, with a blank line before the first one if it is required.
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

/// The kinds of items. Items of one kind need no blank line between them.
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
