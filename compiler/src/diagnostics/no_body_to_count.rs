use weir_grammar::Span;

use super::Description;

/// A rate of bytes for events without a body.
#[derive(Debug, Clone, PartialEq)]
pub struct NoBodyToCount {
    /// The place of the rate.
    pub span: Span,
}

impl NoBodyToCount {
    pub(super) fn describe(&self) -> Description {
        let message = "`throttle` by bytes counts bodies, and these events have no `body`";
        Description::new(message, self.span, "there is no body here")
            .help("throttle before the `parse`, or by events: `throttle 5_000/s`")
    }
}
