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
    /// What it is: its class, or what it is set to.
    pub what: String,
    /// What that means for the promise.
    pub why: String,
    /// Whether events may be lost, not only repeated.
    pub loses: bool,
    /// Where the component is declared.
    pub declared: Span,
    /// Where the library says what it is.
    pub library_span: Span,
}

impl UnkeptPromise {
    pub(super) fn describe(&self) -> Description {
        let message = format!("`{}` can't be kept: `{}` is {}", self.promise, self.component, self.what);
        Description::new(message, self.promise_span, format!("promises `{}`", self.promise))
            .label(self.declared, &*self.why)
            .label(self.library_span, "so says the library")
            .help(match self.loses {
                true => "say that events may be lost: `delivers best_effort`",
                false => "say that events may be repeated: `delivers at_least_once`",
            })
    }
}
