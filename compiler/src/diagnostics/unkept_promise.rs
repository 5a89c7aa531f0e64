use weir_grammar::Span;

use super::{Description, Fix, RequiredSetting, joined};

/// A delivery promise that a path of the flow can't keep.
#[derive(Debug, Clone, PartialEq)]
pub struct UnkeptPromise {
    /// The promise.
    pub promise: String,
    /// The place of the promise, or of the flow's name.
    pub promise_span: Span,
    /// Whether the program states the promise; otherwise the flow makes it because it states none.
    pub is_stated: bool,
    /// Whether the flow also promises an order.
    pub has_order: bool,
    /// Whether events may be lost with the promise that would be kept.
    pub may_lose: bool,
    /// The promise that would be kept.
    pub instead: String,
    /// The path that breaks the promise, if it leads over other flows.
    pub path: Option<String>,
    /// The reasons, the weakest component first. There is at least one.
    pub reasons: Vec<UnkeptReason>,
}

/// A reason why a promise can't be kept.
#[derive(Debug, Clone, PartialEq)]
pub struct UnkeptReason {
    /// The place in the program.
    pub place: Span,
    /// What is wrong, as the end of a sentence.
    pub what: String,
    /// The consequence, for a label.
    pub why: String,
    /// The settings that decide; empty if none do.
    pub settings: Vec<RequiredSetting>,
    /// The place in the library that says so.
    pub library: Option<Span>,
    /// The smallest change that removes the reason, in words.
    pub remedy: Option<String>,
    /// The remedy as a change of the text.
    pub fix: Option<Fix>,
}

impl UnkeptPromise {
    pub(super) fn describe(&self) -> Description {
        let promises = match self.is_stated {
            true => format!("promises `{}`", self.promise),
            false => format!("promises `{}`, since it says nothing else", self.promise),
        };
        let message = message(&self.promise, &self.reasons);
        let mut description = labelled(Description::new(message, self.promise_span, promises), &self.reasons);
        description.help.extend(self.path.iter().map(|path| format!("the promise covers the path {path}")));
        let may = if self.may_lose { "lost" } else { "repeated" };
        let instead = format!("say that events may be {may}: `delivers {}`", self.instead);
        let changes = changes(&self.reasons);
        description.help.extend(alternatives(changes.as_deref(), instead));
        description.fix = match &*self.reasons {
            [UnkeptReason { fix: Some(fix), .. }] => Some(fix.clone()),
            _ if changes.is_none() => self.other_promise(),
            _ => None,
        };
        description
    }

    /// Returns the change of the promise to the one that is kept.
    fn other_promise(&self) -> Option<Fix> {
        let title = format!("promise `{}`", self.instead);
        let span = self.promise_span;
        match (self.is_stated, self.has_order) {
            (true, _) => Some(Fix::guess(title, span, &*self.instead)),
            (false, true) => None,
            (false, false) => {
                let behind = Span { start: span.end, ..span };
                Some(Fix::guess(title, behind, format!(" delivers {}", self.instead)))
            }
        }
    }
}

/// Returns the message about a promise: its first reason, and how many others there are.
pub(super) fn message(promise: &str, reasons: &[UnkeptReason]) -> String {
    let first = reasons.first().map_or("", |reason| &*reason.what);
    let others = match reasons.len() {
        0 | 1 => String::new(),
        2 => ", and for another reason".to_owned(),
        more => format!(", and for {} other reasons", more - 1),
    };
    format!("`{promise}` can't be kept: {first}{others}")
}

/// Adds a label for each reason.
pub(super) fn labelled(mut description: Description, reasons: &[UnkeptReason]) -> Description {
    for reason in reasons {
        if reason.settings.is_empty() {
            description = description.label(reason.place, &*reason.why);
            if let Some(library) = reason.library {
                description = description.label(library, "so says the library");
            }
            continue;
        }
        for setting in &reason.settings {
            description = description.label(setting.span, setting.label());
        }
        description = description.label(reason.library.unwrap_or(reason.place), &*reason.why);
    }
    description
}

/// Returns the lines of help: the changes that keep the promise, and what to promise otherwise.
pub(super) fn alternatives(changes: Option<&str>, instead: String) -> Vec<String> {
    match changes {
        Some(changes) => vec![changes.to_owned(), format!("or {instead}")],
        None => vec![instead],
    }
}

/// Returns the changes that remove all reasons, if all can be removed.
pub(super) fn changes(reasons: &[UnkeptReason]) -> Option<String> {
    let mut changes: Vec<&str> =
        reasons.iter().map(|reason| reason.remedy.as_deref()).collect::<Option<_>>()?;
    changes.dedup();
    Some(joined(&changes, "and"))
}
