use weir_grammar::Span;

use super::Description;

/// An arm that nothing reaches.
#[derive(Debug, Clone, PartialEq)]
pub struct UnreachableArm {
    /// The arm.
    pub span: Span,
    /// The arm that takes everything before it.
    pub before: Span,
}

impl UnreachableArm {
    pub(super) fn describe(&self) -> Description {
        Description::new("nothing reaches this arm", self.span, "never taken")
            .label(self.before, "this one takes it all")
            .help("arms are tried in their order: put this one before, or leave it out")
    }
}
