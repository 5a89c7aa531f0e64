use weir_grammar::Span;

use super::Description;

/// A step that rejects already rejected events.
#[derive(Debug, Clone, PartialEq)]
pub struct RejectsAgain {
    /// The step.
    pub span: Span,
    /// The route of rejected events.
    pub route: Span,
}

impl RejectsAgain {
    pub(super) fn describe(&self) -> Description {
        Description::new("what was rejected can't be rejected again", self.span, "rejects")
            .label(self.route, "these events have been rejected")
            .help("end the step with `else drop`, `else null` or a value")
    }
}
