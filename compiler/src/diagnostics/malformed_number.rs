use weir_grammar::Span;

use super::Description;

/// A number that isn't one.
#[derive(Debug, Clone, PartialEq)]
pub struct MalformedNumber {
    /// The number as it was written.
    pub text: String,
    /// What is wrong with it.
    pub reason: String,
    /// The unit, if it is what is wrong.
    pub unit: Option<Span>,
    /// A unit that is near.
    pub near: Option<String>,
    /// The number.
    pub span: Span,
}

impl MalformedNumber {
    pub(super) fn describe(&self) -> Description {
        let message = format!("`{}` is no number: {}", self.text, self.reason);
        let place = self.unit.unwrap_or(self.span);
        let description =
            Description::new(message, place, if self.unit.is_some() { "no unit" } else { "no number" });
        match self.unit {
            Some(unit) => description.suggest(unit, self.near.as_deref()).help(units()),
            None => description,
        }
    }
}

fn units() -> String {
    let units = weir_grammar::UNITS
        .map(|(what, names)| format!("{what} end in {}", super::listed(names.iter().copied(), "or")));
    format!("{}; rates in `/s`", units.join("; "))
}
