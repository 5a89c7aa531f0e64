use weir_grammar::Span;

use super::Description;

/// A constant that is larger than can be counted.
#[derive(Debug, Clone, PartialEq)]
pub struct Overflow {
    /// How it is written.
    pub text: String,
    /// Why it has no value.
    pub reason: String,
    /// Where it stands.
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
