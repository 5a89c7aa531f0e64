use weir_grammar::Span;

use super::{Description, with_article};

/// The expectation of a value where a complete lookup table is found.
pub(crate) const TABLE_ROW: &str = "row of the table";

/// A value of the wrong type.
#[derive(Debug, Clone, PartialEq)]
pub struct WrongType {
    /// The expected type.
    pub expected: String,
    /// The actual type or value, in words.
    pub found: String,
    /// The place of the value.
    pub span: Span,
    /// The declaration that requires the type, in words, and its place.
    pub declared: Option<(String, Span)>,
    /// For a name, its declaration in words, and the place of the declaration.
    pub value: Option<(String, Span)>,
    /// The replacement for the value, if it is certain.
    pub replacement: Option<String>,
}

impl WrongType {
    /// Creates the diagnostic without labels and without a replacement.
    pub fn new(expected: impl Into<String>, found: impl Into<String>, span: Span) -> WrongType {
        let (expected, found) = (expected.into(), found.into());
        WrongType { expected, found, span, declared: None, value: None, replacement: None }
    }

    /// Sets the declaration that requires the type, if there is one.
    pub fn declared(self, declared: Option<(String, Span)>) -> WrongType {
        WrongType { declared, ..self }
    }

    pub(super) fn describe(&self) -> Description {
        // The message omits the `?` of an optional type, because the author of a value does not mean null.
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

/// Returns a description of the literals of a type, for types with literals.
fn written(type_name: &str) -> Option<&'static str> {
    Some(match type_name {
        TABLE_ROW => "take a row of it, `table[key]`, or ask for one, `key in table`",
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
