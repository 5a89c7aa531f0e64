use weir_grammar::Span;

use super::Description;

/// A value outside of its allowed range.
#[derive(Debug, Clone, PartialEq)]
pub struct OutOfRange {
    /// The setting.
    pub name: String,
    /// The text of the value.
    pub value: String,
    /// The allowed range, in words.
    pub range: String,
    /// The place of the value.
    pub span: Span,
    /// The place of the range's declaration.
    pub declared: Span,
}

impl OutOfRange {
    pub(super) fn describe(&self) -> Description {
        let message = format!("`{}` is {}, but must be {}", self.name, self.value, self.range);
        let description = Description::new(message, self.span, format!("must be {}", self.range));
        let description = match self.declared == self.span {
            true => description,
            false => description.label(self.declared, "the range is set here"),
        };
        let is_negative_integer = self
            .value
            .strip_prefix('-')
            .is_some_and(|digits| digits.bytes().all(|letter| letter.is_ascii_digit() || letter == b'_'));
        match is_negative_integer {
            // Other systems use a negative number for "no bound".
            true => description.help("no value means that there is no bound: write the one that is meant"),
            false => description,
        }
    }
}
