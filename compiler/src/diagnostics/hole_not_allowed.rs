use weir_grammar::Span;

use super::{Description, with_article};

/// A hole for a value of the event, in text that is the same for all events.
#[derive(Debug, Clone, PartialEq)]
pub struct HoleNotAllowed {
    /// The hole.
    pub span: Span,
    /// The expected type of the text.
    pub expected: String,
}

impl HoleNotAllowed {
    pub(super) fn describe(&self) -> Description {
        let message = format!("no event fills holes in {}", with_article(&self.expected));
        Description::new(message, self.span, "only the holes of a template are filled by events")
            .help("params and lets can fill it")
            .help("write `{{` and `}}` for braces, or raw text: `r\"…\"`")
    }
}
