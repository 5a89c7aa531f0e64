use weir_grammar::Span;

use super::Description;

/// Settings for a variant that takes no settings.
#[derive(Debug, Clone, PartialEq)]
pub struct NoSettings {
    /// The variant.
    pub variant: String,
    /// The place of the variant's name.
    pub name_span: Span,
    /// The place of the settings.
    pub span: Span,
}

impl NoSettings {
    pub(super) fn describe(&self) -> Description {
        Description::new(
            format!("the variant `{}` takes no settings", self.variant),
            self.span,
            "settings for nothing",
        )
        .label(self.name_span, "a variant without settings")
        .help(format!("write `{}` alone", self.variant))
        .guess("leave the settings out", self.name_span.to(self.span), self.variant.as_str())
    }
}
