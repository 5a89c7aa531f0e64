use weir_grammar::Span;

use super::Description;

/// A step that rejects already rejected events.
#[derive(Debug, Clone, PartialEq)]
pub struct RejectsAgain {
    /// The step.
    pub span: Span,
    /// The route of rejected events.
    pub route: Span,
    /// Whether the step is the setting `quality` of a sink.
    pub of_sink: bool,
}

impl RejectsAgain {
    pub(super) fn describe(&self) -> Description {
        let help = match self.of_sink {
            true => "a sink that takes rejected events has no `quality`: give them a sink of their own",
            false => "end the step with `else drop`, `else null` or a value",
        };
        Description::new("what was rejected can't be rejected again", self.span, "rejects")
            .label(self.route, "these events have been rejected")
            .help(help)
    }
}
