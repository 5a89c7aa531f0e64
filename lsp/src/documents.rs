//! The documents that the editor has opened, with their unsaved text.

use std::collections::HashMap;

use gen_lsp_types::{Range, TextDocumentContentChangeEvent as Change};

use crate::positions::{Encoding, Lines};

/// The largest document: the language's limit for a file.
const BYTES_MAX: usize = 64 << 20;

/// An open document.
#[derive(Debug)]
pub(crate) struct Document {
    /// The URI in the client's spelling.
    pub(crate) uri: String,
    pub(crate) version: i32,
    pub(crate) text: String,
    pub(crate) lines: Lines,
}

/// The open documents by the names of their files.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    open: HashMap<String, Document>,
}

impl Documents {
    pub(crate) fn get(&self, name: &str) -> Option<&Document> {
        self.open.get(name)
    }

    pub(crate) fn open(&mut self, name: String, uri: String, version: i32, text: String) {
        let lines = Lines::of(&text);
        self.open.insert(name, Document { uri, version, text, lines });
    }

    /// Closes a document. Returns whether it was open.
    pub(crate) fn close(&mut self, name: &str) -> bool {
        self.open.remove(name).is_some()
    }

    /// Applies changes in their order. Returns whether the document is open.
    pub(crate) fn change(
        &mut self,
        name: &str,
        version: i32,
        changes: Vec<Change>,
        encoding: Encoding,
    ) -> bool {
        let Some(document) = self.open.get_mut(name) else { return false };
        document.version = version;
        for change in changes {
            match change {
                Change::TextDocumentContentChangePartial(change) => {
                    document.replace(change.range, &change.text, encoding);
                }
                Change::TextDocumentContentChangeWholeDocument(change) => {
                    document.lines = Lines::of(&change.text);
                    document.text = change.text;
                }
            }
        }
        true
    }

    /// Iterates over the names of the open documents.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.open.keys().map(String::as_str)
    }
}

impl Document {
    fn replace(&mut self, range: Range, text: &str, encoding: Encoding) {
        let offset = |position| self.lines.offset(&self.text, position, encoding);
        let (start, end) = (offset(range.start), offset(range.end));
        let end = end.max(start);
        // A change that would make the text too large is left out: the client's next complete text sets it right.
        if self.text.len() + text.len() <= BYTES_MAX + (end - start) {
            self.text.replace_range(start..end, text);
            self.lines.replaced(&self.text, start, end, text.len());
        }
    }
}
