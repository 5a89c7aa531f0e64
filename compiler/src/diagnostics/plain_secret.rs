use weir_grammar::Span;

use super::Description;

/// A secret in plain text.
#[derive(Debug, Clone, PartialEq)]
pub struct PlainSecret {
    /// The setting.
    pub setting: String,
    /// Whether the secret came from outside of the program, as the value of a param.
    pub given: bool,
    /// The place of the text, or of the param.
    pub span: Span,
}

impl PlainSecret {
    pub(super) fn describe(&self) -> Description {
        if self.given {
            let message = format!("`{}` is a secret, and was given in plain text", self.setting);
            return Description::new(message, self.span, "`--set` and `WEIR_…` give values that everybody may read")
                .help("let the program say where it is to be found: `= secret env(\"NAME\")` or `= secret file(\"/path\")`");
        }
        let message = format!("`{}` is a secret, and this one stands in plain text", self.setting);
        Description::new(message, self.span, "everybody who reads the program can read it")
            .help("say where it is to be found: `secret env(\"NAME\")` or `secret file(\"/path\")`")
    }
}
