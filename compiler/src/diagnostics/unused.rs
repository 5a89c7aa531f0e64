use weir_grammar::Span;

use super::Description;

/// A declaration that is never used.
#[derive(Debug, Clone, PartialEq)]
pub struct Unused {
    /// The kind of the declaration.
    pub what: &'static str,
    /// The declared name.
    pub name: String,
    /// The place of the declaration.
    pub span: Span,
}

impl Unused {
    pub(super) fn describe(&self) -> Description {
        let message = format!("the {} `{}` is never used", self.what, self.name);
        let description = Description::new(message, self.span, "never used");
        match self.what {
            "source" | "channel" | "sink" => {
                description.help("lead events through it in a flow, or leave it out")
            }
            "route" => description.help("no step of this flow rejects events: leave the route out"),
            _ => description.help("leave it out, or use it"),
        }
    }
}
