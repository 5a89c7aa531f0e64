use weir_grammar::Span;

use super::Description;

/// A system outside of the program that a component can't use, as an attempt has shown.
#[derive(Debug, Clone, PartialEq)]
pub struct CannotConnect {
    /// The component, as `sink lake`.
    pub component: String,
    /// The reason, in the words of the component.
    pub reason: String,
    /// The place of the setting that is wrong, or of the component's name.
    pub span: Span,
    /// The name of the setting; none if the failure has none.
    pub setting: Option<String>,
}

impl CannotConnect {
    pub(super) fn describe(&self) -> Description {
        let label = match &self.setting {
            Some(setting) => format!("because of `{setting}`"),
            None => "this component".to_owned(),
        };
        Description::new(format!("{} can't run now: {}", self.component, self.reason), self.span, label)
    }
}
