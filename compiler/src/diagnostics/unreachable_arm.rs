use weir_grammar::Span;

use super::Description;

/// An unreachable arm of a `match`.
#[derive(Debug, Clone, PartialEq)]
pub struct UnreachableArm {
    /// The arm.
    pub span: Span,
    /// The earlier arm that takes everything.
    pub before: Span,
}

impl UnreachableArm {
    pub(super) fn describe(&self) -> Description {
        Description::new("nothing reaches this arm", self.span, "never taken")
            .label(self.before, "this one takes it all")
            .help("arms are tried in their order: put this one before, or leave it out")
    }
}
