use weir_grammar::Span;

use super::Description;

/// A part of the language that this version does not carry out.
#[derive(Debug, Clone, PartialEq)]
pub struct Later {
    /// The part.
    pub part: LaterPart,
    /// Where it stands.
    pub span: Span,
}

impl Later {
    pub(super) fn describe(&self) -> Description {
        let message = format!("{} not yet in this version", self.part.in_words());
        Description::new(message, self.span, "this version can't carry this out").help(self.part.instead())
    }
}

/// A part of the language that is still to come.
#[derive(Debug, Clone, PartialEq)]
pub enum LaterPart {
    /// An item, by its word.
    Item(String),
    /// A step or an edge, by its first word.
    Step(String),
    /// A use of an interceptor, by its name.
    Interceptor(String),
    /// An operator.
    Operator(String),
    /// A function or a value from outside.
    Call(String),
    /// The route of rejected events.
    Rejects,
}

impl LaterPart {
    fn in_words(&self) -> String {
        match self {
            LaterPart::Item(word) if matches!(word.as_str(), "enum" | "record" | "extern") => {
                format!("`{word}` items are written by the library alone; in programs they are")
            }
            LaterPart::Item(word) => format!("`{word}` items are"),
            LaterPart::Step(word) if matches!(word.as_str(), "match" | "balance" | "failover") => {
                format!("`-> {word}` is")
            }
            LaterPart::Step(word) => format!("the step `{word}` is"),
            LaterPart::Interceptor(name) => format!("interceptors such as `{name}(…)` are"),
            LaterPart::Operator(operator) => format!("the operator `{operator}` is"),
            LaterPart::Call(name) => format!("`{name}(…)` is"),
            LaterPart::Rejects => "`rejects`, the route of rejected events, is".to_owned(),
        }
    }

    fn instead(&self) -> &'static str {
        match self {
            LaterPart::Item(_) => "items are `param`, `let`, `source`, `channel`, `sink` and `flow`",
            LaterPart::Step(word) if word == "drop" => "write `keep if not (…)`",
            LaterPart::Step(word) if word == "match" => "write `copy` with a `keep if` in each branch",
            LaterPart::Step(_) | LaterPart::Interceptor(_) => {
                "steps are `keep if …`; branches are `copy { … }`"
            }
            LaterPart::Operator(_) => {
                "conditions compare with `==`, `!=`, `<`, `<=`, `>`, `>=` and `is null`"
            }
            LaterPart::Call(_) => {
                "take a value from outside with a `param`: `--set name=value`, or `WEIR_NAME`"
            }
            LaterPart::Rejects => "no step of this version rejects events, so the route can be left out",
        }
    }
}
