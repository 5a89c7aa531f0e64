use weir_grammar::Span;

use super::Description;

/// An item that only the library may declare.
#[derive(Debug, Clone, PartialEq)]
pub struct LibraryOnly {
    /// The keyword of the item.
    pub word: String,
    /// The place of the keyword.
    pub span: Span,
}

impl LibraryOnly {
    pub(super) fn describe(&self) -> Description {
        let message = format!("`{}` items are written by the library alone", self.word);
        Description::new(message, self.span, "not in a program").help(
            "the types of a program's events are `schema` items, its functions `fn`, its steps `interceptor`",
        )
    }
}
