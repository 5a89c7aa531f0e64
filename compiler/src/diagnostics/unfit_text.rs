use weir_grammar::Span;

use super::Description;

/// Text that a setting can't have, by the setting's own rule.
#[derive(Debug, Clone, PartialEq)]
pub struct UnfitText {
    /// The name of the setting.
    pub setting: String,
    /// The text. In a template, an `x` stands for each hole.
    pub text: String,
    /// The rule, in words.
    pub reason: String,
    /// The place of the text.
    pub span: Span,
    /// The place of the rule in the signature.
    pub declared: Span,
}

impl UnfitText {
    pub(super) fn describe(&self) -> Description {
        let message = format!("`{}` can't be {:?}: {}", self.setting, self.text, self.reason);
        Description::new(message, self.span, self.reason.as_str())
            .label(self.declared, "the rule is given here")
    }
}
