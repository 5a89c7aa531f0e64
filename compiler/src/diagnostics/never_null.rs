use weir_grammar::Span;

use super::Description;

/// A question whether something is null that never is.
#[derive(Debug, Clone, PartialEq)]
pub struct NeverNull {
    /// What is asked about.
    pub name: String,
    /// Whether the answer is always yes.
    pub negated: bool,
    /// Whether it is the default after `??`, which is never taken.
    pub default: bool,
    /// The question.
    pub span: Span,
    /// What it is, and where that comes from.
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
