use weir_grammar::Span;

use super::unkept_promise::{alternatives, changes, labelled, message};
use super::{Description, UnkeptReason};

/// A promise about order that a path of the flow can't keep.
#[derive(Debug, Clone, PartialEq)]
pub struct UnkeptOrder {
    /// The promise.
    pub promise: String,
    /// The place of the promise.
    pub promise_span: Span,
    /// The promise about order that would be kept; `None` if no order is kept.
    pub kept: Option<String>,
    /// The reasons.
    pub reasons: Vec<UnkeptReason>,
}

impl UnkeptOrder {
    pub(super) fn describe(&self) -> Description {
        let message = message(&self.promise, &self.reasons);
        let promises = format!("promises `{}`", self.promise);
        let description = Description::new(message, self.promise_span, promises);
        let description = labelled(description, &self.reasons);
        let instead = match &self.kept {
            Some(kept) => format!("promise what is kept: `{kept}`"),
            None => "leave the promise out".to_owned(),
        };
        let mut description = description;
        description.help.extend(alternatives(changes(&self.reasons).as_deref(), instead));
        match &self.kept {
            Some(kept) => description.guess(format!("promise `{kept}`"), self.promise_span, &**kept),
            None => description,
        }
    }
}
