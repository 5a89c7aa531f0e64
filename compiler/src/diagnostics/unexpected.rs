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
        let message = format!("expected {expected}, found {}", self.found);
        let description = Description::new(message, self.span, format!("expected {expected}"));
        match self.hint() {
            Some(hint) => description.help(hint),
            None => description,
        }
    }

    /// What was most likely meant.
    fn hint(&self) -> Option<&'static str> {
        let after_operand = self.expected.contains(&"an operator");
        match (self.found.as_str(), self.expected.as_slice()) {
            ("`=`", _) if after_operand => Some("`==` compares"),
            ("`<`" | "`>`" | "`==`" | "`!=`", _) if after_operand => {
                Some("comparisons do not chain: write `a < b and b < c`")
            }
            (_, ["`{`"]) => Some("settings stand in braces, also where there are none: `{}`"),
            (_, ["`:`"]) => Some("write `name: value`"),
            _ => None,
        }
    }
}
