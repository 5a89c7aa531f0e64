use weir_grammar::Span;

use super::{Description, with_article};

/// An operand that may be null where a value is needed.
#[derive(Debug, Clone, PartialEq)]
pub struct MayBeNull {
    /// What may be null, as it is written.
    pub name: String,
    /// Its type.
    pub type_name: String,
    /// Where it is used.
    pub span: Span,
    /// Why it may be null, and where that comes from.
    pub origin: Option<(String, Span)>,
}

impl MayBeNull {
    pub(super) fn describe(&self) -> Description {
        let message = format!("`{}` may be null: it is {}", self.name, with_article(&self.type_name));
        let mut description = Description::new(message, self.span, "this may be null");
        if let Some((text, span)) = &self.origin {
            description = description.label(*span, text.as_str());
        }
        description.help(format!(
            "ask first: `{0} is not null and …`, or `-> keep if {0} is not null` before",
            self.name
        ))
    }
}
