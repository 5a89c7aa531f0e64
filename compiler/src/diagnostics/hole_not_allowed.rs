use weir_grammar::Span;

use super::{Description, with_article};

/// A hole in text that every event has in common.
#[derive(Debug, Clone, PartialEq)]
pub struct HoleNotAllowed {
    /// The hole.
    pub span: Span,
    /// The type that is expected there.
    pub expected: String,
}

impl HoleNotAllowed {
    pub(super) fn describe(&self) -> Description {
        let message = format!("{} can't have holes", with_article(&self.expected));
        Description::new(
            message,
            self.span,
            "nothing can fill this hole: the text is needed before the first event",
        )
        .help("write `{{` and `}}` for braces, or raw text: `r\"…\"`")
    }
}
