use weir_grammar::Span;

use super::Description;

/// An unknown word after `delivers`.
#[derive(Debug, Clone, PartialEq)]
pub struct UnknownPromise {
    /// The word.
    pub name: String,
    /// A promise with a similar name.
    pub near: Option<String>,
    /// The place of the word.
    pub span: Span,
}

impl UnknownPromise {
    pub(super) fn describe(&self) -> Description {
        Description::new(format!("`{}` is no promise", self.name), self.span, "unknown")
            .suggest(self.span, self.near.as_deref())
            .help("a flow delivers `best_effort`, `at_most_once`, `at_least_once` or `exactly_once`")
            .help("and, if it keeps an order, `ordered`, `ordered by @key` or `ordered totally`")
    }
}
