//! The kinds of reasons for which events are rejected.

/// The kind of a reason, by which rejected events are counted. The set is closed: texts of a program or an event never
/// become a label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ReasonKind {
    /// The condition of a `reject` is true, or it ends a chain.
    Condition,
    /// The event breaks a rule of a quality.
    Rule,
    /// A parser can't read the body.
    Parse,
    /// A value is not of the type that it has to become.
    Conversion,
    /// The body lacks a field that must have a value.
    Missing,
    /// A result is larger than its type can hold.
    Overflow,
    /// A divisor is 0.
    DivisionByZero,
    /// The event is larger than the system behind a sink takes.
    TooLarge,
    /// A value of the event can't be written as the system behind a sink needs it.
    Unwritable,
}

impl ReasonKind {
    /// The name of the kind, as labels of metrics have it.
    pub fn name(self) -> &'static str {
        match self {
            ReasonKind::Condition => "condition",
            ReasonKind::Rule => "rule",
            ReasonKind::Parse => "parse",
            ReasonKind::Conversion => "conversion",
            ReasonKind::Missing => "missing",
            ReasonKind::Overflow => "overflow",
            ReasonKind::DivisionByZero => "division_by_zero",
            ReasonKind::TooLarge => "too_large",
            ReasonKind::Unwritable => "unwritable",
        }
    }
}
