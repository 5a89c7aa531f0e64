use weir_grammar::Span;

use super::Description;

/// A text of the program that looks like a secret.
#[derive(Debug, Clone, PartialEq)]
pub struct SecretInText {
    /// The kind of secret, with its article: `a private key`.
    pub what: &'static str,
    /// The place of the text.
    pub span: Span,
}

impl SecretInText {
    pub(super) fn describe(&self) -> Description {
        // The message does not repeat the text.
        let message =
            format!("this text contains {}, which everybody who reads the program can read", self.what);
        Description::new(message, self.span, format!("looks like {}", self.what))
            .help("settings of type Secret take `secret env(\"NAME\")` or `secret file(\"/path\")`")
            .help("a value that is no setting of its own can come from outside: `param name: Text`, with `WEIR_NAME` in the environment")
    }
}
