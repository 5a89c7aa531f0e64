use weir_grammar::Span;

use super::Description;

/// A constant whose value can't be computed.
#[derive(Debug, Clone, PartialEq)]
pub struct Overflow {
    /// The text of the constant.
    pub text: String,
    /// The reason why the constant has no value.
    pub reason: String,
    /// The place of the constant.
    pub span: Span,
}

impl Overflow {
    pub(super) fn describe(&self) -> Description {
        Description::new(
            format!("`{}` has no value: {}", self.text, self.reason),
            self.span,
            "can't be computed",
        )
    }
}
