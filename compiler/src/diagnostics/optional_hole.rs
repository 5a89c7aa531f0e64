use weir_grammar::Span;

use super::{Description, with_article};

/// The kind of step that computes the value of a hole before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoleStep {
    /// A `let`, for text in a step.
    Let,
    /// A `set` of a header, for a setting of a sink, where no `let` is known.
    Set,
}

impl HoleStep {
    /// Returns the step that computes a value for a hole, and the hole that names it. `path` is the path in the hole
    /// now: `place.city`.
    pub(crate) fn with(self, path: &str, value: &str) -> String {
        let name = format!("{}_text", path.trim_start_matches('@').replace('.', "_"));
        match self {
            HoleStep::Let => format!("`-> let {name} = {value}`, and write `{{{name}}}`"),
            HoleStep::Set => format!("`-> set @{name} = {value}`, and write `{{@{name}}}`"),
        }
    }
}

/// A hole for a value that may be null.
#[derive(Debug, Clone, PartialEq)]
pub struct OptionalHole {
    /// The path in the hole.
    pub column: String,
    /// The type of the value.
    pub type_name: String,
    /// The parts of the path that may be null, the outermost first: `place`, `place.city`. Empty if no step can ask for them.
    pub unknown: Vec<String>,
    /// The step that can replace null.
    pub step: HoleStep,
    /// The hole.
    pub span: Span,
    /// The reason why the value may be null, and the place that causes it.
    pub origin: Option<(String, Span)>,
}

impl OptionalHole {
    pub(super) fn describe(&self) -> Description {
        let OptionalHole { column, type_name, unknown, .. } = self;
        let message =
            format!("`{column}` may be null, so it can't fill a hole: it is {}", with_article(type_name));
        let mut description = Description::new(message, self.span, "not every event can fill this hole");
        if let Some((text, span)) = &self.origin {
            description = description.label(*span, text.as_str());
        }
        if let ([] | [_], Some(default)) = (unknown.as_slice(), default(type_name)) {
            let step = self.step.with(column, &format!("{column} ?? {default}"));
            description = description.help(format!("replace null in a step before: {step}"));
        }
        if unknown.is_empty() {
            return description;
        }
        let conditions: Vec<String> = unknown.iter().map(|part| format!("{part} is not null")).collect();
        let conditions = conditions.join(" and ");
        description.help(format!("let only events that have it come here: `-> keep if {conditions}`"))
    }
}

/// Returns a literal that can replace null in a value of this type, if there is one.
fn default(type_name: &str) -> Option<&'static str> {
    Some(match type_name.trim_end_matches('?') {
        "Text" => "\"…\"",
        "Int" => "0",
        "Float" => "0.0",
        "Duration" => "0s",
        "Size" => "0B",
        _ => return None,
    })
}
