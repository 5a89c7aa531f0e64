//! What flows promise, and what the classes of components can keep.

use weir_grammar::Span;
use weir_grammar::tree::{Flow, Role};
use weir_plan::Delivery;

use crate::diagnostics::{Diagnostic, LaterPart, PromiseNotKeptYet, UnkeptPromise, UnknownPromise};
use crate::names::nearest;
use crate::sources::Files;

/// What a component can do for delivery, as its signature says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// A source that can be read again from a position.
    Replayable,
    /// A source whose peer waits for an answer, and sends again without one.
    Acknowledging,
    /// A source whose peer never sends again.
    FireAndForget,
    /// A channel on disk.
    Durable,
    /// A channel that hands acknowledgements through.
    Volatile,
    /// A sink that commits data and position as one.
    Transactional,
    /// A sink where a repeat overwrites itself.
    Idempotent,
    /// A sink where a repeat is a duplicate.
    Plain,
    /// A sink that may lose.
    BestEffort,
}

const CLASSES: [(Role, &str, Class); 9] = [
    (Role::Source, "replayable", Class::Replayable),
    (Role::Source, "acknowledging", Class::Acknowledging),
    (Role::Source, "fire_and_forget", Class::FireAndForget),
    (Role::Channel, "durable", Class::Durable),
    (Role::Channel, "volatile", Class::Volatile),
    (Role::Sink, "transactional", Class::Transactional),
    (Role::Sink, "idempotent", Class::Idempotent),
    (Role::Sink, "plain", Class::Plain),
    (Role::Sink, "best_effort", Class::BestEffort),
];

impl Class {
    /// The class of this name, for a component of this role.
    pub(crate) fn of(role: Role, name: &str) -> Option<Class> {
        CLASSES.iter().find(|(of, class, _)| *of == role && *class == name).map(|(.., class)| *class)
    }

    /// The names of the classes for a role.
    pub(crate) fn names(role: Role) -> impl Iterator<Item = &'static str> {
        CLASSES.iter().filter(move |(of, ..)| *of == role).map(|(_, name, _)| *name)
    }

    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        CLASSES.iter().find(|(.., class)| *class == self).map_or("", |(_, name, _)| name)
    }

    /// Why events may be lost with it, if they may.
    fn loses(self) -> Option<&'static str> {
        match self {
            Class::FireAndForget => Some("what it has sent is never sent again, so a crash loses it"),
            Class::BestEffort => Some("it may lose what it was given"),
            _ => None,
        }
    }
}

const PROMISES: [&str; 5] = ["best_effort", "at_most_once", "at_least_once", "exactly_once", "ordered"];

/// A promise and where it is made.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Promised {
    pub(crate) delivery: Delivery,
    pub(crate) span: Span,
}

/// Reads what a flow promises. `None` if that can't be kept, which has been reported.
pub(crate) fn promise(flow: &Flow, files: &Files, diagnostics: &mut Vec<Diagnostic>) -> Option<Promised> {
    let mut promised = Promised { delivery: Delivery::AtLeastOnce, span: flow.name.span };
    let mut kept = true;
    for promise in &flow.promises {
        promised.span = promise.span;
        match &*promise.name.text {
            "best_effort" => promised.delivery = Delivery::BestEffort,
            "at_least_once" => promised.delivery = Delivery::AtLeastOnce,
            "at_most_once" | "exactly_once" | "ordered" => {
                kept = false;
                let text = files.text(promise.span).to_owned();
                diagnostics.push(PromiseNotKeptYet { promise: text, span: promise.span }.into());
            }
            unknown => {
                kept = false;
                let near = nearest(unknown, PROMISES).map(str::to_owned);
                let (name, span) = (unknown.to_owned(), promise.name.span);
                diagnostics.push(UnknownPromise { name, near, span }.into());
            }
        }
    }
    kept.then_some(promised)
}

/// A component on a flow's way.
pub(crate) struct Hop<'h> {
    pub(crate) name: &'h str,
    pub(crate) declared: Span,
    pub(crate) class: Class,
    pub(crate) class_span: Span,
}

/// Holds a promise against the components on its way: the first that can't keep it is reported.
pub(crate) fn keep<'h>(
    promised: Promised,
    hops: impl IntoIterator<Item = Hop<'h>>,
    diagnostics: &mut Vec<Diagnostic>,
) {
    if promised.delivery == Delivery::BestEffort {
        return;
    }
    let weakest = hops.into_iter().find_map(|hop| hop.class.loses().map(|why| (hop, why)));
    if let Some((hop, why)) = weakest {
        diagnostics.push(
            UnkeptPromise {
                promise: promised.delivery.to_string(),
                promise_span: promised.span,
                component: hop.name.to_owned(),
                class: hop.class.name().to_owned(),
                why,
                declared: hop.declared,
                class_span: hop.class_span,
            }
            .into(),
        );
    }
}

/// The route of rejected events, which no step of this version can fill.
pub(crate) fn rejects(span: Span) -> Diagnostic {
    crate::diagnostics::Later { part: LaterPart::Rejects, span }.into()
}
