//! Converts documents to lines, and decides which groups fit on one line.

use super::align::Line;
use super::document::{Document, Flat, Group};

/// The maximum number of characters of a line. Longer texts and comments are not broken.
pub(super) const WIDTH: usize = 100;

/// The number of blanks of one level of indentation.
const INDENT: usize = 2;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Flat,
    Broken,
}

/// An entry of the stack of parts that are not yet printed.
#[derive(Clone, Copy)]
enum Work<'d, 't> {
    Document(usize, Mode, &'d Document<'t>),
    RowEnd,
}

/// The new line that must begin before the next token, since a comment has ended the last line.
#[derive(Clone, Copy)]
struct Pending {
    indent: usize,
    blank: bool,
}

/// Prints a document as lines.
pub(super) fn print<'t>(document: &Document<'t>) -> Vec<Line<'t>> {
    let mut printer = Printer {
        lines: Vec::new(),
        current: Line::default(),
        pending: None,
        space: false,
        rows: Vec::new(),
        work: vec![Work::Document(0, Mode::Broken, document)],
    };
    printer.run();
    printer.lines
}

struct Printer<'d, 't> {
    lines: Vec<Line<'t>>,
    current: Line<'t>,
    pending: Option<Pending>,
    space: bool,
    /// The open rows: the index of the first line, and whether the row has a line break.
    rows: Vec<(usize, bool)>,
    work: Vec<Work<'d, 't>>,
}

impl<'d, 't> Printer<'d, 't> {
    fn run(&mut self) {
        while let Some(work) = self.work.pop() {
            match work {
                Work::Document(indent, mode, document) => self.document(indent, mode, document),
                Work::RowEnd => {
                    if let Some((first, true)) = self.rows.pop()
                        && let Some(line) = self.lines.get_mut(first)
                    {
                        line.cell = None;
                    }
                }
            }
        }
        if !self.current.is_empty() {
            self.newline(0, false);
        }
    }

    fn document(&mut self, indent: usize, mode: Mode, document: &'d Document<'t>) {
        match document {
            Document::Text(text) => self.text(text),
            Document::Space => self.space = true,
            Document::Comma => self.current.push(","),
            Document::CommaIfBroken if mode == Mode::Broken => self.current.push(","),
            Document::CommaIfBroken => {}
            Document::Line { flat, .. } if mode == Mode::Flat && self.pending.is_none() => match flat {
                Flat::Nothing => {}
                Flat::Space => self.space = true,
                Flat::CommaAndSpace => {
                    self.current.push(",");
                    self.space = true;
                }
            },
            Document::Line { blank, .. } | Document::HardLine { blank } => self.newline(indent, *blank),
            Document::Indent(inner) => self.work.push(Work::Document(indent + INDENT, mode, inner)),
            Document::Group(group) => self.group(indent, mode, group),
            Document::Sequence { parts, .. } => {
                self.work.extend(parts.iter().rev().map(|part| Work::Document(indent, mode, part)));
            }
            Document::OwnLine { text, blank_after } => self.own_line(indent, text, *blank_after),
            Document::Trailing(text) => {
                self.current.comment = Some(text);
                // The rest of the entry is one level deeper than the entry.
                self.pending = Some(Pending { indent: indent + INDENT, blank: false });
            }
            Document::Row(inner) => {
                if mode == Mode::Broken {
                    self.begin_pending();
                    self.rows.push((self.lines.len(), false));
                    self.work.push(Work::RowEnd);
                }
                self.work.push(Work::Document(indent, mode, inner));
            }
            Document::Cell if mode == Mode::Broken => self.current.cell = Some(self.current.width()),
            Document::Cell => {}
        }
    }

    fn group(&mut self, indent: usize, mode: Mode, group: &'d Group<'t>) {
        let fits = mode == Mode::Flat || !group.forced && self.fits(group);
        let content_mode = if fits { Mode::Flat } else { Mode::Broken };
        if let Some(last) = &group.last {
            let indent = if fits { indent } else { indent + INDENT };
            self.work.push(Work::Document(indent, mode, last));
        }
        self.work.push(Work::Document(indent, content_mode, &group.content));
    }

    /// Returns whether a group fits on the rest of the line, including the following parts up to the next possible line
    /// break.
    fn fits(&self, group: &'d Group<'t>) -> bool {
        let mut room = WIDTH.saturating_sub(self.current.width() + usize::from(self.space)) as isize;
        let mut ahead: Vec<(Mode, &Document<'t>)> = Vec::new();
        ahead.extend(group.last.as_ref().map(|last| (Mode::Broken, last)));
        ahead.push((Mode::Flat, &group.content));
        let mut rest = self.work.iter().rev();
        while room >= 0 {
            let (mode, document) = match ahead.pop() {
                Some(next) => next,
                None => match rest.next() {
                    Some(Work::Document(_, mode, document)) => (*mode, *document),
                    Some(Work::RowEnd) => continue,
                    None => return true,
                },
            };
            match document {
                Document::Text(text) => room -= text.chars().count() as isize,
                Document::Space | Document::Comma => room -= 1,
                Document::Line { flat, .. } if mode == Mode::Flat => {
                    room -= match flat {
                        Flat::Nothing => 0,
                        Flat::Space => 1,
                        Flat::CommaAndSpace => 2,
                    }
                }
                Document::Line { .. } | Document::HardLine { .. } => return true,
                Document::OwnLine { .. } | Document::Trailing(_) => return true,
                Document::Indent(inner) | Document::Row(inner) => ahead.push((mode, inner)),
                Document::Group(group) => {
                    ahead.extend(group.last.as_ref().map(|last| (mode, last)));
                    ahead.push((mode, &group.content));
                }
                Document::Sequence { parts, .. } => ahead.extend(parts.iter().rev().map(|part| (mode, part))),
                Document::CommaIfBroken | Document::Cell => {}
            }
        }
        false
    }

    fn text(&mut self, text: &str) {
        self.begin_pending();
        if self.space && !self.current.is_empty() {
            self.current.push(" ");
        }
        self.space = false;
        self.current.push(text);
    }

    fn own_line(&mut self, indent: usize, text: &'t str, blank_after: bool) {
        self.begin_pending();
        if !self.current.is_empty() {
            self.newline(indent + INDENT, false);
        }
        self.current.push(text);
        self.current.is_comment = true;
        self.pending = Some(Pending { indent: self.current.indent, blank: blank_after });
    }

    fn begin_pending(&mut self) {
        if let Some(Pending { indent, blank }) = self.pending {
            self.newline(indent, blank);
        }
    }

    /// Ends the line, unless it is empty.
    fn newline(&mut self, indent: usize, blank: bool) {
        let after_comment = self.pending.take().is_some_and(|pending| pending.blank);
        self.space = false;
        for row in &mut self.rows {
            row.1 = true;
        }
        if !self.current.is_empty() {
            self.lines.push(std::mem::take(&mut self.current));
        }
        if (blank || after_comment) && self.lines.last().is_some_and(|line| !line.is_empty()) {
            self.lines.push(Line::default());
        }
        self.current.indent = indent;
    }
}
