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
        Description::new(message, self.span, format!("must be {}", self.range))
            .label(self.declared, "the range is set here")
    }
}
