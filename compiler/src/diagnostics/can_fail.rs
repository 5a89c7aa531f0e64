use weir_grammar::Span;

use super::Description;

/// Something that can fail, and nothing says what then.
#[derive(Debug, Clone, PartialEq)]
pub struct CanFail {
    /// The text of what can fail; empty for a step.
    pub text: String,
    /// Why it can.
    pub reason: String,
    /// Where it stands.
    pub span: Span,
    /// The end of the step that could say it; none where no step is.
    pub end: Option<Span>,
}

impl CanFail {
    pub(super) fn describe(&self) -> Description {
        let message = format!("this can fail: {}", self.reason);
        let description = Description::new(message, self.span, "what happens if it does?");
        match self.end {
            // What has no value can't have another one.
            Some(_) if self.text.is_empty() => {
                description.help("end the step with `else reject` or `else drop`")
            }
            Some(_) => description
                .help("end the step with `else reject`, `else drop`, `else null` or a value")
                .help(format!("or write a value in its place: `({} else …)`", self.text)),
            None => description.help(format!("say which value it has then: `({} else …)`", self.text)),
        }
    }
}
