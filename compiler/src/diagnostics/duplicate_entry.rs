use weir_grammar::Span;

use super::Description;

/// A setting that is given twice.
#[derive(Debug, Clone, PartialEq)]
pub struct DuplicateEntry {
    /// The setting.
    pub name: String,
    /// The place of the first entry.
    pub first: Span,
    /// The place of the second entry.
    pub second: Span,
}

impl DuplicateEntry {
    pub(super) fn describe(&self) -> Description {
        Description::new(format!("`{}` is given twice", self.name), self.second, "given again")
            .label(self.first, "given here first")
            .help("leave one of the two out")
    }
}
