use weir_grammar::Span;

use super::Description;

/// A flow that rejects events without a route for rejected events.
#[derive(Debug, Clone, PartialEq)]
pub struct NoRejectRoute {
    /// The flow.
    pub flow: String,
    /// The first step that rejects events.
    pub span: Span,
    /// The further steps that reject events.
    pub others: Vec<Span>,
    /// The place of the flow's declaration.
    pub flow_span: Span,
}

impl NoRejectRoute {
    pub(super) fn describe(&self) -> Description {
        let message = format!("`{}` rejects events, but has no route for them", self.flow);
        let mut description =
            Description::new(message, self.span, "rejected here").label(self.flow_span, "this flow");
        for span in self.others.iter().take(2) {
            description = description.label(*span, "and here");
        }
        description.help("a reject is never lost: add `rejects -> dead` with a sink for them, or `else drop` where losing is meant")
    }
}
