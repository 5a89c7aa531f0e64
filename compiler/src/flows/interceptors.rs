//! Interceptors in flows without their parentheses.

use weir_grammar::Span;

use super::FlowReader;
use crate::diagnostics::ForeignForm;
use crate::names::scopes::Meaning;

impl FlowReader<'_, '_> {
    /// Returns whether a name in a flow is that of an interceptor, and reports the missing parentheses.
    pub(super) fn is_interceptor(&mut self, meaning: Option<Meaning<'_>>, name: &str, span: Span) -> bool {
        let parameters = match (meaning, self.library.interceptors.get(name)) {
            (Some(Meaning::Interceptor(item)), _) => &item.parameters,
            (None, Some(item)) => &item.parameters,
            _ => return false,
        };
        let complete = parameters.iter().all(|parameter| parameter.default.is_some());
        let after = Span { start: span.end, ..span };
        let message = format!("`{name}` is an interceptor: its arguments stand in parentheses");
        let (title, edits) = match complete {
            true => (format!("write `{name}()`"), vec![(after, "()".to_owned())]),
            false => (format!("write `{name}(…)`, with its arguments"), Vec::new()),
        };
        self.report(ForeignForm::new(span, message, title, edits));
        self.broken = true;
        true
    }
}
