//! The names that steps and functions bind, with what they mean.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use weir_grammar::Span;
use weir_plan::Value;

use super::{Facts, Typed};
use crate::types::Type;
use crate::types::ranges::IntRange;

/// The meaning of a name in steps or in a function that is no column, param or `let` of the program.
#[derive(Debug, Clone)]
pub(crate) enum Binding {
    /// A value that an earlier `let` computed.
    Local { number: u32, value_type: Type, optional: bool, sensitive: bool, range: IntRange, declared: Span },
    /// A constant of a type that only settings have.
    Constant { value: Value, value_type: Type, declared: Span },
    /// A field or a header that an interceptor accesses through a parameter.
    Column {
        name: Arc<str>,
        /// Whether the column must not be null where it is read.
        required: bool,
        /// The span of the column's name in the use of the interceptor.
        span: Span,
        /// The span of the parameter.
        declared: Span,
    },
    /// A name whose declaration has an error, which has been reported.
    Broken,
}

impl Binding {
    /// Returns the span of the declaration, if there is one.
    pub(crate) fn declared(&self) -> Option<Span> {
        match self {
            Binding::Local { declared, .. }
            | Binding::Constant { declared, .. }
            | Binding::Column { declared, .. } => Some(*declared),
            Binding::Broken => None,
        }
    }
}

/// The bindings that are visible at a step or in a function.
#[derive(Debug, Clone, Default)]
pub(crate) struct Bindings {
    pub(crate) names: HashMap<Box<str>, Binding>,
    /// The number of the next local.
    pub(crate) next: u32,
    /// The parts of locals that are known not to be null.
    pub(crate) known: BTreeSet<Arc<str>>,
    /// The facts that follow from the locals that are conditions, by the numbers of the locals.
    pub(crate) conditions: BTreeMap<u32, Facts>,
}

impl Bindings {
    /// Forgets what conditions said about a column that is assigned.
    pub(crate) fn forget(&mut self, column: &str) {
        let is_other = |place: &Arc<str>| place.split(['.', '[']).next() != Some(column);
        for facts in self.conditions.values_mut() {
            facts.if_true.retain(is_other);
            facts.if_false.retain(is_other);
        }
    }

    /// Forgets what conditions said, after steps that may have assigned any column.
    pub(crate) fn forget_all(&mut self) {
        self.conditions.clear();
    }

    /// Binds a name to a new local and returns the local's number.
    pub(crate) fn local(&mut self, name: &str, value: &Typed, declared: Span) -> u32 {
        let number = self.next;
        self.next += 1;
        let binding = Binding::Local {
            number,
            value_type: value.value_type.clone(),
            optional: value.optional,
            sensitive: value.sensitive,
            range: value.range,
            declared,
        };
        self.names.insert(name.into(), binding);
        self.note_condition(number, &value.facts);
        number
    }

    /// Notes the facts that follow from a local that is a condition.
    pub(crate) fn note_condition(&mut self, number: u32, facts: &Facts) {
        if !(facts.if_true.is_empty() && facts.if_false.is_empty()) {
            self.conditions.insert(number, facts.clone());
        }
    }
}
