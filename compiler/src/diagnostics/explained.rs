use super::{Description, Diagnostic, Fix, Label};

/// A diagnostic with the place that explains it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Explained {
    /// The diagnostic; none while it is explained.
    pub inner: Option<Diagnostic>,
    /// The place that explains the diagnostic.
    pub label: Option<Label>,
    /// Whether the place replaces the labels of the diagnostic except the first one.
    pub replaces: bool,
    /// A further suggestion.
    pub help: Option<String>,
    /// The fix that the place makes possible.
    pub fix: Option<Fix>,
}

impl Explained {
    /// Creates an explanation without its diagnostic.
    pub(crate) fn at(label: Label, replaces: bool, help: Option<String>, fix: Option<Fix>) -> Explained {
        Explained { inner: None, label: Some(label), replaces, help, fix }
    }

    pub(super) fn describe(&self) -> Description {
        let mut description = self.inner.as_ref().map(Diagnostic::describe).unwrap_or_default();
        // Of a use of the library's interceptor, the second label is the place in the library.
        let kept = if matches!(self.inner, Some(Diagnostic::Within(_))) { 2 } else { 1 };
        if self.replaces {
            description.labels.truncate(kept);
        }
        description.labels.extend(self.label.clone());
        if let Some(help) = &self.help {
            description.help.insert(0, help.clone());
        }
        description.fix = self.fix.clone().or(description.fix);
        description
    }
}
