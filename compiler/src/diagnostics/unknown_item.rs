use weir_grammar::Span;

use super::Description;

/// An item with an unknown keyword.
#[derive(Debug, Clone, PartialEq)]
pub struct UnknownItem {
    /// The word.
    pub word: String,
    /// A similar keyword.
    pub near: Option<String>,
    /// The place of the word.
    pub span: Span,
}

impl UnknownItem {
    pub(super) fn describe(&self) -> Description {
        Description::new(format!("no item begins with `{}`", self.word), self.span, "not an item")
            .suggest(self.span, self.near.as_deref())
            .help("items are `import`, `param`, `let`, `schema`, `source`, `channel`, `sink`, `interceptor`, `fn`, `quality`, `flow`, `test` and `agent`")
    }
}
