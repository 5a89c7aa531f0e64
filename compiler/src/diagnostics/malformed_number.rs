use weir_grammar::Span;

use super::Description;

/// A malformed number.
#[derive(Debug, Clone, PartialEq)]
pub struct MalformedNumber {
    /// The text of the number.
    pub text: String,
    /// The fault, in words.
    pub reason: String,
    /// The unit, if the unit is at fault.
    pub unit: Option<Span>,
    /// A similar unit.
    pub near: Option<String>,
    /// The place of the number.
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
