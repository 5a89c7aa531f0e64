use weir_grammar::Span;

use super::Description;

/// A flow without a chain.
#[derive(Debug, Clone, PartialEq)]
pub struct EmptyFlow {
    /// The flow.
    pub name: String,
    /// The place of the flow's name.
    pub span: Span,
}

impl EmptyFlow {
    pub(super) fn describe(&self) -> Description {
        Description::new(format!("the flow `{}` moves nothing", self.name), self.span, "has no chain")
            .help("write which way its events go: `some_source -> some_sink`")
    }
}
