use weir_grammar::Span;

use super::Description;

/// A text that exceeds a limit of the language.
#[derive(Debug, Clone, PartialEq)]
pub struct Limit {
    /// The elements that exceed the limit, in words.
    pub what: String,
    /// The limit.
    pub limit: usize,
    /// The place at which the limit is exceeded.
    pub span: Span,
}

impl Limit {
    pub(super) fn describe(&self) -> Description {
        let message = format!("there are more than {} {}", self.limit, self.what);
        Description::new(message, self.span, "the limit is passed here").help("split it into smaller parts")
    }
}
