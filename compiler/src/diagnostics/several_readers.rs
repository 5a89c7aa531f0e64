use weir_grammar::Span;

use super::Description;

/// More than one arrow out of a source or a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct SeveralReaders {
    /// The role of the component.
    pub role: &'static str,
    /// The name of the component.
    pub name: String,
    /// The place of the first arrow.
    pub first: Span,
    /// The place of the second arrow.
    pub second: Span,
    /// The names of the arrows' targets, for targets with a name.
    pub targets: Vec<String>,
}

impl SeveralReaders {
    pub(super) fn describe(&self) -> Description {
        let message = format!("the {} `{}` is read in two places", self.role, self.name);
        let targets = if self.targets.len() < 2 { "a, b".to_owned() } else { self.targets.join(", ") };
        Description::new(
            message,
            self.second,
            "read again: does each place get every event, or are they shared out?",
        )
        .label(self.first, "read here first")
        .help(format!("for every event in each place, write `{} -> copy {{ {targets} }}`", self.name))
    }
}
