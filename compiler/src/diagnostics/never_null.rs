use weir_grammar::Span;

use super::Description;

/// A null test or a `??` default for an expression that is never null.
#[derive(Debug, Clone, PartialEq)]
pub struct NeverNull {
    /// The text of the expression.
    pub name: String,
    /// Whether the test is `is not null`, which is always true.
    pub negated: bool,
    /// Whether the diagnostic is about the default after `??`, which is never taken.
    pub default: bool,
    /// The place of the test or the default.
    pub span: Span,
    /// The kind of the expression in words, and the place of its declaration.
    pub origin: Option<(String, Span)>,
}

impl NeverNull {
    pub(super) fn describe(&self) -> Description {
        if self.default {
            let message = format!("`{}` is never null, so this default is never taken", self.name);
            let description = Description::new(message, self.span, "never taken");
            let description = match &self.origin {
                Some((text, span)) => description.label(*span, text.as_str()),
                None => description,
            };
            return description.help("leave the default out").fix("leave it out", self.span, "");
        }
        let always = if self.negated { "true" } else { "false" };
        let message = format!("`{}` is never null, so this is always {always}", self.name);
        let mut description = Description::new(message, self.span, format!("always {always}"));
        if let Some((text, span)) = &self.origin {
            description = description.label(*span, text.as_str());
        }
        description.help("leave the question out")
    }
}
