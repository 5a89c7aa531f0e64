//! The sources of text: the caller provides the text, the compiler never opens a file.

use std::sync::Arc;

use weir_grammar::{FileId, Span};

/// A provider of the files of a program.
pub trait SourceFiles {
    /// Returns the text of a file.
    ///
    /// # Errors
    /// Returns the reason why the file can't be read, in lower case and without a full stop.
    fn read(&self, name: &str) -> Result<String, String>;
}

/// One file as its name and its text.
impl SourceFiles for (&str, &str) {
    fn read(&self, name: &str) -> Result<String, String> {
        if name == self.0 { Ok(self.1.to_owned()) } else { Err("no such file".to_owned()) }
    }
}

/// The name and the text of a file.
#[derive(Debug, PartialEq, Eq)]
pub struct SourceFile {
    /// The name of the file in diagnostics.
    pub name: String,
    /// The text of the file.
    pub text: String,
    line_starts: Vec<u32>,
}

impl SourceFile {
    fn new(name: String, text: String) -> SourceFile {
        let starts = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at as u32 + 1);
        let line_starts = std::iter::once(0).chain(starts).collect();
        SourceFile { name, text, line_starts }
    }

    /// Returns the line of a position, from 0.
    pub(crate) fn line(&self, place: u32) -> usize {
        self.line_starts.partition_point(|start| *start <= place).saturating_sub(1)
    }

    /// Returns the start of a line; the end of the text for the line after the last.
    pub(crate) fn line_start(&self, line: usize) -> Option<usize> {
        match self.line_starts.get(line) {
            Some(start) => Some(*start as usize),
            None if line == self.line_starts.len() => Some(self.text.len()),
            None => None,
        }
    }
}

/// A position in a text: lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column.
    pub column: usize,
}

/// All files that spans refer to: the files of the library first, then the files of the program.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Files {
    files: Vec<Arc<SourceFile>>,
}

impl Files {
    /// Adds a file. Returns its id.
    pub(crate) fn add(&mut self, name: impl Into<String>, text: impl Into<String>) -> FileId {
        let file = SourceFile::new(name.into(), text.into());
        self.files.push(Arc::new(file));
        FileId(self.files.len() as u32 - 1)
    }

    /// Returns a file by its id.
    pub fn get(&self, file: FileId) -> Option<&Arc<SourceFile>> {
        self.files.get(file.0 as usize)
    }

    /// Iterates over the files in the order of their ids.
    pub fn iter(&self) -> impl Iterator<Item = &SourceFile> {
        self.files.iter().map(|file| &**file)
    }

    /// Returns the text of a span.
    pub fn text(&self, span: Span) -> &str {
        self.get(span.file).map_or("", |file| span.slice(&file.text))
    }

    /// Returns the name of a span's file.
    pub fn name(&self, span: Span) -> &str {
        self.get(span.file).map_or("", |file| &file.name)
    }

    /// Returns the start and the end of a span.
    pub fn positions(&self, span: Span) -> (Position, Position) {
        (self.position(span.file, span.start), self.position(span.file, span.end))
    }

    fn position(&self, file: FileId, place: u32) -> Position {
        let Some(file) = self.get(file) else { return Position { line: 1, column: 1 } };
        let line = file.line(place);
        let start = file.line_start(line).unwrap_or_default();
        let column = file.text.get(start..place as usize).map_or(0, |text| text.chars().count());
        Position { line: line + 1, column: column + 1 }
    }
}
