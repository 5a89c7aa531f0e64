use weir_grammar::Span;

use super::{Description, with_article};

/// A sink whose events lack a required column.
#[derive(Debug, Clone, PartialEq)]
pub struct UnmetNeed {
    /// The sink.
    pub sink: String,
    /// The required column.
    pub column: String,
    /// The required type of the column.
    pub type_name: String,
    /// The type of the column in the events, if they have the column.
    pub found: Option<String>,
    /// The place of the sink in the flow.
    pub span: Span,
    /// The place of the requirement in the library.
    pub declared: Span,
    /// The components that the events come from.
    pub origins: Vec<(String, Span)>,
}

impl UnmetNeed {
    pub(super) fn describe(&self) -> Description {
        let needed = format!("`{}: {}`", self.column, self.type_name);
        let message = match &self.found {
            Some(found) => {
                format!("the sink `{}` needs {needed}, but it is {} here", self.sink, with_article(found))
            }
            None => format!("the sink `{}` needs {needed}, which its events don't have", self.sink),
        };
        let mut description = Description::new(message, self.span, "these events don't do for it");
        for (name, span) in &self.origins {
            description = description.label(*span, format!("events come from `{name}`"));
        }
        description
            .label(self.declared, "needed here")
            .help("lead other events to this sink, or these to another one")
    }
}
