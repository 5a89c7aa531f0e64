//! Places of the compiler as ranges and locations of the protocol.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use gen_lsp_types::{Location, Position, Range};
use weir_compiler::{Analysis, Library};
use weir_grammar::{FileId, Span};

use crate::positions::{Encoding, Lines};
use crate::uris;

/// The files of an analysis with their lines.
#[derive(Debug)]
pub(crate) struct Places {
    pub(crate) encoding: Encoding,
    analysis: Arc<Analysis>,
    library: Arc<Library>,
    /// The beginning of the URIs of the library's files.
    library_base: Arc<str>,
    lines: RefCell<HashMap<FileId, Rc<Lines>>>,
}

impl Places {
    pub(crate) fn new(
        analysis: Arc<Analysis>,
        library: Arc<Library>,
        library_base: Arc<str>,
        encoding: Encoding,
    ) -> Places {
        Places { encoding, analysis, library, library_base, lines: RefCell::default() }
    }

    /// Returns the text of a file; empty for an unknown file.
    pub(crate) fn text(&self, file: FileId) -> &str {
        self.analysis.files.get(file).map_or("", |file| file.text.as_str())
    }

    pub(crate) fn lines(&self, file: FileId) -> Rc<Lines> {
        let mut all = self.lines.borrow_mut();
        all.entry(file).or_insert_with(|| Rc::new(Lines::of(self.text(file)))).clone()
    }

    pub(crate) fn range(&self, span: Span) -> Range {
        let lines = self.lines(span.file);
        lines.range(self.text(span.file), span.start as usize..span.end as usize, self.encoding)
    }

    /// Returns the offset of a position in a file.
    pub(crate) fn offset(&self, file: FileId, position: Position) -> u32 {
        self.lines(file).offset(self.text(file), position, self.encoding) as u32
    }

    /// Returns the span of a range in a file.
    pub(crate) fn span(&self, file: FileId, range: Range) -> Span {
        let (start, end) = (self.offset(file, range.start), self.offset(file, range.end));
        Span { file, start, end: end.max(start) }
    }

    /// Returns the URI of a file; `None` for a value from outside, which is in no file.
    pub(crate) fn uri(&self, file: FileId) -> Option<String> {
        let name = &self.analysis.files.get(file)?.name;
        if self.library.files().get(file).is_some() {
            return Some(format!("{}{name}", self.library_base));
        }
        self.analysis.tree(file).is_some().then(|| uris::uri(name))
    }

    pub(crate) fn location(&self, span: Span) -> Option<Location> {
        Some(Location { uri: self.uri(span.file)?.into(), range: self.range(span) })
    }
}

/// One file of an analysis, at which a request asks.
#[derive(Debug)]
pub(crate) struct View {
    /// The name of the file.
    pub(crate) name: String,
    pub(crate) analysis: Arc<Analysis>,
    pub(crate) file: FileId,
    pub(crate) places: Places,
    pub(crate) library: Arc<Library>,
}

impl View {
    pub(crate) fn text(&self) -> &str {
        self.places.text(self.file)
    }

    pub(crate) fn offset(&self, position: Position) -> u32 {
        self.places.offset(self.file, position)
    }

    /// Returns the place of a part of this file.
    pub(crate) fn span(&self, start: usize, end: usize) -> Span {
        Span { file: self.file, start: start as u32, end: end as u32 }
    }
}
