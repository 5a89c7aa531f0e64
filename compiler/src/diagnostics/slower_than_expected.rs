use weir_grammar::Span;

use super::Description;

/// A step that lets events pass more slowly than they are expected to come.
#[derive(Debug, Clone, PartialEq)]
pub struct SlowerThanExpected {
    /// The place of the step.
    pub place: Span,
    /// The events that pass each second.
    pub rate: f64,
    /// The sources, with the places of their expected rates.
    pub expected: Vec<(String, Span)>,
    /// The events that are expected each second.
    pub expected_rate: f64,
}

impl SlowerThanExpected {
    pub(super) fn describe(&self) -> Description {
        let SlowerThanExpected { rate, expected_rate, .. } = self;
        let message = format!(
            "{expected_rate} events a second are expected, but only {rate} of them pass this step: the others pile up for ever"
        );
        let mut description =
            Description::new(message, self.place, format!("{rate} events pass each second"));
        for (source, place) in &self.expected {
            description = description.label(*place, format!("this is expected of `{source}`"));
        }
        description.help("let more events pass, or leave some out before: `sample`, `keep if`")
    }
}
