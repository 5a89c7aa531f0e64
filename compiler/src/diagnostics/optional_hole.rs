use weir_grammar::Span;

use super::{Description, with_article};

/// A hole for a column that may be null.
#[derive(Debug, Clone, PartialEq)]
pub struct OptionalHole {
    /// The column.
    pub column: String,
    /// The type of the column.
    pub type_name: String,
    /// The hole.
    pub span: Span,
    /// The reason why the column may be null, and the place that causes it.
    pub origin: Option<(String, Span)>,
}

impl OptionalHole {
    pub(super) fn describe(&self) -> Description {
        let message = format!(
            "`{}` may be null, so it can't fill a hole: it is {}",
            self.column,
            with_article(&self.type_name)
        );
        let mut description = Description::new(message, self.span, "not every event can fill this hole");
        if let Some((text, span)) = &self.origin {
            description = description.label(*span, text.as_str());
        }
        description
            .help(format!("let only events that have it come here: `-> keep if {} is not null`", self.column))
    }
}
