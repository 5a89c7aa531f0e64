use weir_grammar::Span;

use super::Description;

/// An expression or a step that can fail, in a program that doesn't handle the failure.
#[derive(Debug, Clone, PartialEq)]
pub struct CanFail {
    /// The text of the expression that can fail; empty for a step.
    pub text: String,
    /// The cause of the failure.
    pub reason: String,
    /// The place of the expression or the step.
    pub span: Span,
    /// The end of the step that could handle the failure; none outside of steps.
    pub end: Option<StepEnd>,
}

/// The end of a step that can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepEnd {
    /// The place behind the step.
    pub span: Span,
    /// Whether the flow has a route for rejected events, so that the step can reject.
    pub rejects: bool,
}

impl CanFail {
    pub(super) fn describe(&self) -> Description {
        let message = format!("this can fail: {}", self.reason);
        let description = Description::new(message, self.span, "what happens if it does?");
        let description = match self.end {
            Some(StepEnd { span, rejects: true }) => {
                description.guess("add `else reject`", span, " else reject")
            }
            _ => description,
        };
        match self.end {
            // A step without a value has no substitute value.
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
