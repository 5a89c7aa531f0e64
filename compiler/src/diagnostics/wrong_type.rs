use weir_grammar::Span;

use super::{Description, with_article};

/// A value of another type than the one that is expected.
#[derive(Debug, Clone, PartialEq)]
pub struct WrongType {
    /// The type that is expected.
    pub expected: String,
    /// What was found, in words.
    pub found: String,
    /// The value.
    pub span: Span,
    /// What asks for the type, and where.
    pub declared: Option<(String, Span)>,
    /// For a name, what it is, and where that is said.
    pub value: Option<(String, Span)>,
    /// What would be right, if that is sure.
    pub replacement: Option<String>,
}

impl WrongType {
    /// What was found is not what was expected; more there is not to say.
    pub fn new(expected: impl Into<String>, found: impl Into<String>, span: Span) -> WrongType {
        let (expected, found) = (expected.into(), found.into());
        WrongType { expected, found, span, declared: None, value: None, replacement: None }
    }

    /// With what asks for the type, if something does.
    pub fn declared(self, declared: Option<(String, Span)>) -> WrongType {
        WrongType { declared, ..self }
    }

    pub(super) fn describe(&self) -> Description {
        // That null would do as well helps nobody who meant a value.
        let expected = with_article(self.expected.trim_end_matches('?'));
        let message = format!("expected {expected}, found {}", self.found);
        let mut description = Description::new(message, self.span, format!("expected {expected}"));
        if let Some((text, span)) = &self.value {
            description = description.label(*span, text.as_str());
        }
        if let Some((text, span)) = &self.declared {
            description = description.label(*span, text.as_str());
        }
        match &self.replacement {
            Some(replacement) => description.help(format!("write `{replacement}`")).fix(
                format!("write `{replacement}`"),
                self.span,
                replacement.as_str(),
            ),
            None => match written(self.expected.trim_end_matches('?')) {
                Some(written) => description.help(written),
                None => description,
            },
        }
    }
}

/// How values of a type are written.
fn written(type_name: &str) -> Option<&'static str> {
    Some(match type_name {
        "Bool" => "a Bool is `true` or `false`, or a comparison such as `@offset > 5`",
        "Int" => "an Int is written `42` or `1_000_000`",
        "Float" => "a Float is written `0.5`",
        "Duration" => "a Duration is written `250ms`, `5s`, `10min`, `2h` or `1d`",
        "Size" => "a Size is written `64KiB`, `128MiB` or `10GB`",
        "EventRate" => "an EventRate is written `5_000/s`",
        "ByteRate" => "a ByteRate is written `10MiB/s`",
        "Time" => "a Time is written `\"2026-01-31T12:00:00Z\"`",
        _ => return None,
    })
}
