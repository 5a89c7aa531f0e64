use weir_grammar::Span;

use super::Description;

/// A chain that ends where events can't stay.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadEnd {
    /// The last stage.
    pub span: Span,
    /// What the last stage is, in words.
    pub what: String,
    /// Whether it is a copy without branches.
    pub copy: bool,
}

impl DeadEnd {
    pub(super) fn describe(&self) -> Description {
        let message = match self.copy {
            true => "this `copy` has no branches, so the events go nowhere".to_owned(),
            false => format!("this chain ends at {}, so the events go nowhere", self.what),
        };
        Description::new(message, self.span, "nothing follows")
            .help("a chain ends at a channel or a sink: add `-> some_sink`")
    }
}
