use weir_grammar::Span;

use super::{Description, Diagnostic, Label};

/// Something that is wrong in the steps of an interceptor, as they are used at a place.
#[derive(Debug, Clone, PartialEq)]
pub struct Within {
    /// What is wrong.
    pub inner: Diagnostic,
    /// Where the interceptor is used.
    pub used_at: Span,
    /// Whether the interceptor is the library's, so that its use is what can be changed.
    pub of_library: bool,
}

impl Within {
    pub(super) fn describe(&self) -> Description {
        let mut description = self.inner.describe();
        let used = Label { span: self.used_at, text: "as it is used here".to_owned() };
        if self.of_library {
            // Nobody edits the library to mend a program.
            description.fix = None;
            description.labels.insert(0, used);
        } else {
            description.labels.push(used);
        }
        description
    }
}
