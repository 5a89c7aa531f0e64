use weir_grammar::Span;

use super::Description;

/// A value outside of what is allowed.
#[derive(Debug, Clone, PartialEq)]
pub struct OutOfRange {
    /// The setting.
    pub name: String,
    /// The value as it was written.
    pub value: String,
    /// What is allowed, in words.
    pub range: String,
    /// The value.
    pub span: Span,
    /// Where the range is said.
    pub declared: Span,
}

impl OutOfRange {
    pub(super) fn describe(&self) -> Description {
        let message = format!("`{}` is {}, but must be {}", self.name, self.value, self.range);
        let description = Description::new(message, self.span, format!("must be {}", self.range));
        let description = match self.declared == self.span {
            true => description,
            false => description.label(self.declared, "the range is set here"),
        };
        match self.value.starts_with('-') {
            // In other systems this stands for no bound at all.
            true => description.help("no value means that there is no bound: write the one that is meant"),
            false => description,
        }
    }
}
