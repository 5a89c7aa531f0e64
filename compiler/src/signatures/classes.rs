//! Delivery classes: what a component can do for delivery, and which promises it breaks.

use weir_grammar::tree::Role;
use weir_plan::Delivery;

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
    pub(crate) fn loses(self) -> Option<&'static str> {
        match self {
            Class::FireAndForget => Some("what it has sent is never sent again, so a crash loses it"),
            Class::BestEffort => Some("it may lose what it was given"),
            _ => None,
        }
    }

    /// Why events may be repeated with it, if they may.
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

    /// Why a promise can't be kept with it, if it can't.
    pub(crate) fn breaks(self, delivery: Delivery) -> Option<&'static str> {
        let [no_loss, no_repeat] = rules_out(delivery);
        self.loses().filter(|_| no_loss).or_else(|| self.repeats().filter(|_| no_repeat))
    }
}

/// Whether a promise rules out that events are lost, and that they are repeated.
pub(crate) fn rules_out(delivery: Delivery) -> [bool; 2] {
    match delivery {
        Delivery::BestEffort => [false, false],
        Delivery::AtLeastOnce => [true, false],
        Delivery::AtMostOnce => [false, true],
        Delivery::ExactlyOnce => [true, true],
    }
}
