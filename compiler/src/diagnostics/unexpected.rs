use weir_grammar::Span;

use super::{Description, joined};

/// Something that can't stand where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Unexpected {
    /// What stands there, in words.
    pub found: String,
    /// What could stand there, in words.
    pub expected: Vec<&'static str>,
    /// Where.
    pub span: Span,
}

impl Unexpected {
    pub(super) fn describe(&self) -> Description {
        let expected = match self.expected.as_slice() {
            [] => {
                return Description::new(format!("unexpected {}", self.found), self.span, "can't stand here");
            }
            few if few.len() < 6 => joined(few, "or"),
            many => joined(&many[..5], "or"),
        };
        Description::new(
            format!("expected {expected}, found {}", self.found),
            self.span,
            format!("expected {expected}"),
        )
    }
}
