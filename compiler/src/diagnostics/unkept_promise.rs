use weir_grammar::Span;

use super::Description;

/// A promise that a component on the way can't keep.
#[derive(Debug, Clone, PartialEq)]
pub struct UnkeptPromise {
    /// The promise.
    pub promise: String,
    /// Where it is made, or the flow's name.
    pub promise_span: Span,
    /// The component.
    pub component: String,
    /// Its class.
    pub class: String,
    /// What its class means for the promise.
    pub why: &'static str,
    /// Where the component is declared.
    pub declared: Span,
    /// Where the library says its class.
    pub class_span: Span,
}

impl UnkeptPromise {
    pub(super) fn describe(&self) -> Description {
        let message = format!("`{}` can't be kept: `{}` is {}", self.promise, self.component, self.class);
        Description::new(message, self.promise_span, format!("promises `{}`", self.promise))
            .label(self.declared, self.why)
            .label(self.class_span, "its class")
            .help(match self.why.contains("lose") {
                true => "say that events may be lost: `delivers best_effort`",
                false => "say that events may be repeated: `delivers at_least_once`",
            })
    }
}
