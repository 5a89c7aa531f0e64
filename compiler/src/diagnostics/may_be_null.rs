use weir_grammar::Span;

use super::{Description, with_article};

/// An operand that may be null at a place that needs a value.
#[derive(Debug, Clone, PartialEq)]
pub struct MayBeNull {
    /// The text of the operand.
    pub name: String,
    /// The type of the operand.
    pub type_name: String,
    /// Whether a condition can narrow the operand, since it has a name.
    pub narrows: bool,
    /// The place of the operand.
    pub span: Span,
    /// The reason why the operand may be null, and the place that causes it.
    pub origin: Option<(String, Span)>,
}

impl MayBeNull {
    pub(super) fn describe(&self) -> Description {
        let message = format!("`{}` may be null: it is {}", self.name, with_article(&self.type_name));
        let mut description = Description::new(message, self.span, "this may be null");
        if let Some((text, span)) = &self.origin {
            description = description.label(*span, text.as_str());
        }
        description.help(match self.narrows {
            true => format!(
                "ask first: `{0} is not null and …`, or `-> keep if {0} is not null` before",
                self.name
            ),
            false => format!(
                "replace null: `({0} ?? …)`, or name the value in a step before: `-> let value = {0}`, \
                 `-> keep if value is not null`",
                self.name
            ),
        })
    }
}
