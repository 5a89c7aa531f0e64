use weir_grammar::Span;

use super::Description;

/// A file that can't be read.
#[derive(Debug, Clone, PartialEq)]
pub struct UnreadableFile {
    /// The file's name.
    pub name: String,
    /// The reason why the file can't be read.
    pub reason: String,
    /// The place of the import, or the beginning of the file.
    pub span: Span,
}

impl UnreadableFile {
    pub(super) fn describe(&self) -> Description {
        Description::new(format!("can't read {}: {}", self.name, self.reason), self.span, "this file")
    }
}
