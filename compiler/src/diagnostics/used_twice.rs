use weir_grammar::Span;

use super::Description;

/// An exclusive value that two components have.
#[derive(Debug, Clone, PartialEq)]
pub struct UsedTwice {
    /// The setting.
    pub setting: String,
    /// The value, in words.
    pub value: String,
    /// The first component, and the place of its value.
    pub first: (String, Span),
    /// The second component, and the place of its value.
    pub second: (String, Span),
}

impl UsedTwice {
    pub(super) fn describe(&self) -> Description {
        let message = format!("`{}` and `{}` both use {}", self.first.0, self.second.0, self.value);
        Description::new(message, self.second.1, format!("`{}` of `{}`", self.setting, self.second.0))
            .label(self.first.1, format!("`{}` has it already", self.first.0))
            .help("only one of them can have it: give the other one its own")
    }
}
