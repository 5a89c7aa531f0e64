//! Delivery classes: the delivery guarantees of components.

use weir_grammar::tree::Role;

/// The delivery class of a component, from its signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Class {
    /// A source that can be read again from a position.
    Replayable,
    /// A source whose peer waits for an answer, and sends the events again without an answer.
    Acknowledging,
    /// A source whose peer never sends again.
    FireAndForget,
    /// A channel on disk.
    Durable,
    /// A channel that passes acknowledgements through.
    Volatile,
    /// A sink that commits the data and the position in one transaction.
    Transactional,
    /// A sink in which a repeated event overwrites the first one.
    Idempotent,
    /// A sink in which a repeated event is a duplicate.
    Plain,
    /// A sink that may lose and repeat events.
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
    /// Returns the class of this name, for a component of this role.
    pub(crate) fn of(role: Role, name: &str) -> Option<Class> {
        CLASSES.iter().find(|(of, class, _)| *of == role && *class == name).map(|(.., class)| *class)
    }

    /// Returns the names of the classes for a role.
    pub(crate) fn names(role: Role) -> impl Iterator<Item = &'static str> {
        CLASSES.iter().filter(move |(of, ..)| *of == role).map(|(_, name, _)| *name)
    }

    /// Returns the name of the class.
    pub(crate) fn name(self) -> &'static str {
        CLASSES.iter().find(|(.., class)| *class == self).map_or("", |(_, name, _)| name)
    }

    /// Returns the reason why components of the class may lose events, if they may.
    pub(crate) fn loses(self) -> Option<&'static str> {
        match self {
            Class::FireAndForget => Some("what it has sent is never sent again, so a crash loses it"),
            Class::BestEffort => Some("it may lose what it was given"),
            _ => None,
        }
    }

    /// Returns the reason why components of the class may repeat events, if they may.
    pub(crate) fn repeats(self) -> Option<&'static str> {
        match self {
            Class::Acknowledging => {
                Some("its peer sends again what it got no answer for, so a crash repeats it")
            }
            Class::Plain => Some("it can't tell a repeat from another event, so a crash repeats it"),
            Class::BestEffort => Some("it may repeat what it was given"),
            _ => None,
        }
    }
}
