use weir_grammar::Span;

use super::{Description, Diagnostic, Label};

/// A diagnostic in the steps of an interceptor, for one use of the interceptor.
#[derive(Debug, Clone, PartialEq)]
pub struct Within {
    /// The diagnostic in the steps.
    pub inner: Diagnostic,
    /// The place of the use.
    pub used_at: Span,
    /// Whether the interceptor belongs to the library, so that only its use can be changed.
    pub of_library: bool,
}

impl Within {
    pub(super) fn describe(&self) -> Description {
        let mut description = self.inner.describe();
        let used = Label { span: self.used_at, text: "as it is used here".to_owned() };
        if self.of_library {
            // Users of a program can't edit the library.
            description.fix = None;
            description.labels.insert(0, used);
        } else {
            description.labels.push(used);
        }
        description
    }
}
