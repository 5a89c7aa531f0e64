//! Types conditional values: `if`, `match`, and the fallbacks of expressions that can fail.

use std::cmp::Ordering;
use std::sync::Arc;

use weir_grammar::Span;
use weir_grammar::tree::{Arm, Conditional, Expression, ExpressionKind, Operator, ValueMatch};
use weir_plan::{MatchArm, Operation, Pattern, Value};

use super::{Facts, Merged, Places, Planned, Typed, Typer};
use crate::diagnostics::{CannotFail, NotExhaustive, UnreachableArm, WrongType, with_article};
use crate::names::visit::is_rest;
use crate::types::Type;
use crate::types::columns::arrow;
use crate::types::ranges::IntRange;
use crate::values::literals::found;
use crate::values::numbers::is_number;
use crate::values::operators::compare;

/// The pattern `null`.
const NULL: Pattern = Pattern::Value(Value::Null);

/// The common type of several values.
#[derive(Default)]
struct Common {
    value_type: Option<Type>,
    optional: bool,
    span: Option<Span>,
    /// Whether there is a value that is no number literal, so that the type is settled.
    settled: bool,
    range: Option<IntRange>,
}

impl Common {
    fn add(&mut self, typed: &Typed) {
        self.value_type = Some(typed.value_type.clone());
        self.span.get_or_insert(typed.span);
        self.settled |= !typed.adapts;
        self.range = Some(self.range.map_or(typed.range, |range| range.or(typed.range)));
    }

    /// Returns whether the type of a number literal among the values may become this type.
    fn takes(&self, value_type: &Type) -> bool {
        let literals = self.value_type.as_ref().is_none_or(is_number);
        !self.settled && literals && is_number(value_type)
    }
}

/// The branches of an `if` or a `match`, as far as facts follow from the result.
#[derive(Default)]
struct Branches {
    /// The places that are not null if a branch gives the result and it is true; `None` if no branch can be true.
    if_true: Option<Places>,
    if_false: Option<Places>,
    count: usize,
}

impl Branches {
    /// The maximum number of branches from which facts are derived.
    const MAX: usize = 64;

    /// Adds a branch with the facts that hold in it.
    fn add(&mut self, known: &[Arc<str>], value: Option<&Typed>) {
        self.count += 1;
        let value = value.filter(|value| value.value_type == Type::Bool && self.count <= Self::MAX);
        let Some(value) = value else { return };
        let literal = match value.planned.operation {
            Operation::Literal(Value::Bool(literal)) => Some(literal),
            _ => None,
        };
        let and = |so_far: &mut Option<Places>, facts: &Places| {
            let holds = |place: &Arc<str>| known.contains(place) || facts.contains(place);
            match so_far {
                Some(so_far) => so_far.retain(holds),
                None => *so_far = Some(known.iter().chain(facts).cloned().collect()),
            }
        };
        if literal != Some(false) {
            and(&mut self.if_true, &value.facts.if_true);
        }
        if literal != Some(true) {
            and(&mut self.if_false, &value.facts.if_false);
        }
    }

    fn facts(self) -> Facts {
        if self.count > Self::MAX {
            return Facts::default();
        }
        Facts { if_true: self.if_true.unwrap_or_default(), if_false: self.if_false.unwrap_or_default() }
    }
}

impl Typer<'_, '_> {
    /// Types `if … then … else …`. Each value is typed with the facts that follow from its condition and the earlier
    /// ones.
    pub(super) fn conditional(
        &mut self,
        conditional: &Conditional,
        span: Span,
        expected: Option<&Type>,
    ) -> Option<Typed> {
        let before = self.known.len();
        let mut merged = Merged::default();
        let mut common = Common::default();
        let mut cases = Vec::new();
        let mut branches = Branches::default();
        let mut values = Vec::new();
        let mut whole = true;
        for (condition, value) in &conditional.cases {
            let condition = self.condition(condition);
            let outside = self.known.len();
            self.known.extend(condition.iter().flat_map(|condition| condition.facts.if_true.iter().cloned()));
            let value = self.common(value, expected, &mut common);
            branches.add(&self.known[before..], value.as_ref());
            self.known.truncate(outside);
            self.known
                .extend(condition.iter().flat_map(|condition| condition.facts.if_false.iter().cloned()));
            match (condition, value) {
                (Some(condition), Some(value)) => {
                    merged.add(&condition);
                    merged.add(&value);
                    cases.push(condition.planned);
                    values.push(value);
                }
                _ => whole = false,
            }
        }
        let otherwise = self.common(&conditional.otherwise, expected, &mut common);
        branches.add(&self.known[before..], otherwise.as_ref());
        self.known.truncate(before);
        let otherwise = otherwise.filter(|_| whole)?;
        merged.add(&otherwise);
        values.push(otherwise);
        let mut values = self.of_one_type(values, &common)?;
        let otherwise = Box::new(values.pop()?);
        let operation = Operation::If { cases: cases.into_iter().zip(values).collect(), otherwise };
        self.chosen(merged, operation, common, branches, span)
    }

    /// Returns values with the type that they have in common.
    fn of_one_type(&mut self, values: Vec<Typed>, common: &Common) -> Option<Vec<Planned>> {
        let wanted = common.value_type.as_ref()?;
        let planned = values.into_iter().map(|value| match value.is_null() {
            true => Some(Planned { data_type: arrow(wanted), ..value.planned }),
            false => self.adapted(value, wanted).map(|value| value.planned),
        });
        planned.collect()
    }

    /// Returns the choice of one of several values.
    fn chosen(
        &self,
        merged: Merged,
        operation: Operation,
        common: Common,
        branches: Branches,
        span: Span,
    ) -> Option<Typed> {
        let range = common.range.unwrap_or(IntRange::ALL);
        let typed = merged.typed(operation, common.value_type?, common.optional, span);
        let adapts = !common.settled && is_number(&typed.value_type);
        Some(Typed { adapts, range, facts: branches.facts(), ..typed })
    }

    /// Types a value that must have the common type.
    fn common(&mut self, given: &Expression, expected: Option<&Type>, common: &mut Common) -> Option<Typed> {
        let hint = common.value_type.clone().or_else(|| expected.cloned());
        let typed = self.typed(given, hint.as_ref())?;
        common.optional |= typed.optional;
        if typed.is_null() {
            // Null is of every type. If it comes first, it takes the expected type.
            if common.value_type.is_none() && expected.is_some() {
                common.value_type = expected.cloned();
            }
            return Some(typed);
        }
        let typed = match &common.value_type {
            Some(wanted) if common.settled || !typed.adapts => self.adapted(typed, &wanted.clone())?,
            // A fraction among whole literals makes all of them Floats.
            Some(Type::Float | Type::Decimal(..)) => {
                let wanted = common.value_type.clone()?;
                self.adapted(typed, &wanted)?
            }
            _ => typed,
        };
        match &common.value_type {
            Some(wanted) if *wanted != typed.value_type && !common.takes(&typed.value_type) => {
                let found = with_article(&typed.value_type.to_string());
                let declared = common.span.map(|span| (format!("the others are {wanted}"), span));
                let (expected, span) = (wanted.to_string(), typed.span);
                self.report(WrongType::new(expected, found, span).declared(declared));
                None
            }
            _ => {
                common.add(&typed);
                Some(typed)
            }
        }
    }

    /// Types `(a else b)`.
    pub(super) fn otherwise(
        &mut self,
        first: &Expression,
        second: &Expression,
        span: Span,
        expected: Option<&Type>,
    ) -> Option<Typed> {
        let typed = self.typed(first, expected);
        let hint = typed.as_ref().map(|typed| typed.value_type.clone());
        if let ExpressionKind::Name(name) = &second.kind
            && matches!(&**name, "reject" | "drop")
            && !self.means_something(name, second.span)
        {
            let (expected, found) =
                ("value".to_owned(), format!("`{name}`, which only a step's end may say"));
            let span = second.span;
            self.report(WrongType::new(expected, found, span));
            return None;
        }
        let fallback = self.typed(second, hint.as_ref().or(expected));
        self.replaced(typed?, fallback?, Span { start: first.span.end, ..second.span }, span)
    }

    /// Returns a value that can fail, with the fallback that replaces it on failure.
    pub(crate) fn replaced(
        &mut self,
        typed: Typed,
        fallback: Typed,
        words: Span,
        span: Span,
    ) -> Option<Typed> {
        if typed.fails.is_none() {
            let what = format!("`{}`", self.checker.files.text(typed.span));
            self.report(CannotFail { span: words, what });
        }
        let value_type = typed.value_type.clone();
        let fallback = self.adapted(fallback, &value_type)?;
        if value_type != fallback.value_type {
            return self.mismatch(&fallback, &value_type);
        }
        let mut merged = Merged::of([&typed, &fallback]);
        merged.fails.clone_from(&fallback.fails);
        let optional = typed.optional || fallback.optional;
        let range = typed.range.or(fallback.range);
        let operation = Operation::Otherwise(Box::new(typed.planned), Box::new(fallback.planned));
        Some(Typed { range, ..merged.typed(operation, value_type, optional, span) })
    }

    pub(super) fn matching(
        &mut self,
        given: &ValueMatch,
        span: Span,
        expected: Option<&Type>,
    ) -> Option<Typed> {
        match &given.subject {
            Some(subject) => self.match_of(subject, given, span, expected),
            None => self.match_of_questions(given, span, expected),
        }
    }

    /// Types a `match` without a subject, whose arms are conditions: it equals a chain of `if`.
    fn match_of_questions(
        &mut self,
        given: &ValueMatch,
        span: Span,
        expected: Option<&Type>,
    ) -> Option<Typed> {
        let rest = self.arms_before_rest(&given.arms);
        let Some(last) = rest else {
            if !given.broken {
                self.not_exhaustive("what answers no question with yes".to_owned(), span);
            }
            return None;
        };
        let mut cases = Vec::new();
        for arm in &given.arms[..last] {
            let condition = match arm.patterns.as_slice() {
                [only] => only.clone(),
                several => Expression { span: arm.span, kind: ExpressionKind::Or(several.to_vec()) },
            };
            cases.push((condition, arm.value.clone()));
        }
        let otherwise = given.arms[last].value.clone();
        if cases.is_empty() {
            return self.typed(&otherwise, expected).map(|typed| Typed { span, ..typed });
        }
        self.conditional(&Conditional { cases, otherwise }, span, expected)
    }

    /// Returns the index of the `_` arm, and reports the arms after it.
    fn arms_before_rest(&mut self, arms: &[Arm]) -> Option<usize> {
        let rest = arms.iter().position(|arm| arm.patterns.iter().any(is_rest))?;
        if let Some(arm) = arms.get(rest + 1) {
            self.report(UnreachableArm { span: arm.span, before: arms[rest].span });
        }
        Some(rest)
    }

    fn not_exhaustive(&mut self, missing: String, span: Span) {
        let span = Span { end: (span.start + 5).min(span.end), ..span };
        self.report(NotExhaustive { missing, span, events: false });
    }

    fn match_of(
        &mut self,
        subject: &Expression,
        given: &ValueMatch,
        span: Span,
        expected: Option<&Type>,
    ) -> Option<Typed> {
        let subject = self.typed(subject, None);
        let rest = self.arms_before_rest(&given.arms);
        let mut common = Common::default();
        let mut merged = Merged::default();
        let mut arms: Vec<(MatchArm, Span)> = Vec::new();
        let mut values = Vec::new();
        let mut whole = subject.is_some();
        let mut null_taken = false;
        let mut branches = Branches::default();
        let before = self.known.len();
        for arm in &given.arms[..rest.unwrap_or(given.arms.len())] {
            let patterns = subject.as_ref().and_then(|subject| self.patterns(&arm.patterns, subject));
            null_taken |= patterns.as_ref().is_some_and(|patterns| patterns.contains(&NULL));
            if let (Some(subject), Some(patterns)) = (&subject, &patterns) {
                let place = subject.place.iter().filter(|_| !patterns.contains(&NULL));
                self.known.extend(place.chain(facts_of(subject, patterns)).cloned());
            }
            let value = self.common(&arm.value, expected, &mut common);
            branches.add(&self.known[before..], value.as_ref());
            self.known.truncate(before);
            let (Some(patterns), Some(value)) = (patterns, value) else {
                whole = false;
                continue;
            };
            if let Some(before) = taken_before(&patterns, &arms) {
                self.report(UnreachableArm { span: arm.span, before });
            }
            merged.add(&value);
            arms.push((MatchArm { patterns, value: value.planned.clone() }, arm.span));
            values.push(value);
        }
        let place = subject.as_ref().and_then(|subject| subject.place.clone());
        self.known.extend(place.filter(|_| null_taken));
        if let (Some(subject), [(MatchArm { patterns, .. }, _)]) = (&subject, arms.as_slice()) {
            // Behind the only other arm, a truth is the opposite of the arm's.
            self.known.extend(facts_of(subject, &opposite(patterns)).iter().cloned());
        }
        let otherwise = rest.map(|rest| self.common(&given.arms[rest].value, expected, &mut common));
        otherwise.iter().for_each(|otherwise| branches.add(&self.known[before..], otherwise.as_ref()));
        self.known.truncate(before);
        let has_otherwise = otherwise.is_some();
        let otherwise = match otherwise {
            Some(otherwise) => Some(otherwise?),
            None => None,
        };
        let subject = subject.filter(|_| whole)?;
        // An arm that only asks for null reveals nothing about the subject.
        let reveals = arms.iter().any(|(arm, _)| arm.patterns.iter().any(|pattern| *pattern != NULL));
        let sensitive = merged.sensitive || (subject.sensitive && reveals);
        merged.add(&subject);
        merged.sensitive = sensitive;
        otherwise.iter().for_each(|otherwise| merged.add(otherwise));
        values.extend(otherwise);
        let last = arms.last().map(|(_, span)| *span);
        let arms: Vec<MatchArm> = arms.into_iter().map(|(arm, _)| arm).collect();
        let missing = if given.broken { None } else { missing(&subject, &arms) };
        self.covers_all(missing, rest.map(|rest| &given.arms[rest]), last.filter(|_| !given.broken), span)?;
        let mut values = self.of_one_type(values, &common)?;
        let otherwise = if has_otherwise { Some(Box::new(values.pop()?)) } else { None };
        let arms = arms.into_iter().zip(values).map(|(arm, value)| MatchArm { value, ..arm }).collect();
        let operation = Operation::Match { subject: Box::new(subject.planned), arms, otherwise };
        self.chosen(merged, operation, common, branches, span)
    }

    /// Reports values that no arm covers, and a rest that nothing is left for. `last` is the last arm before the rest.
    fn covers_all(
        &mut self,
        missing: Option<String>,
        rest: Option<&Arm>,
        last: Option<Span>,
        span: Span,
    ) -> Option<()> {
        match (rest, missing, last) {
            (None, Some(missing), _) => {
                self.not_exhaustive(missing, span);
                return None;
            }
            (Some(rest), None, Some(before)) => self.report(UnreachableArm { span: rest.span, before }),
            _ => {}
        }
        Some(())
    }

    fn patterns(&mut self, given: &[Expression], subject: &Typed) -> Option<Vec<Pattern>> {
        let patterns: Vec<Option<Pattern>> =
            given.iter().map(|pattern| self.pattern(pattern, subject)).collect();
        patterns.into_iter().collect()
    }

    fn pattern(&mut self, given: &Expression, subject: &Typed) -> Option<Pattern> {
        match &given.kind {
            ExpressionKind::Null if subject.optional => Some(Pattern::Value(Value::Null)),
            ExpressionKind::Binary(Operator::Range, least, greatest) => {
                let least = self.pattern_value(least, &subject.value_type);
                let greatest = self.pattern_value(greatest, &subject.value_type);
                let (least, greatest) = (least?, greatest?);
                self.not_empty(&least, &greatest, given.span)?;
                Some(Pattern::Range(least, greatest))
            }
            _ => match self.pattern_value(given, &subject.value_type)? {
                Value::List(values) => Some(Pattern::OneOf(values)),
                value => Some(Pattern::Value(value)),
            },
        }
    }

    fn pattern_value(&mut self, given: &Expression, wanted: &Type) -> Option<Value> {
        let typed = self.typed(given, Some(wanted)).and_then(|typed| self.adapted(typed, wanted))?;
        let list = Type::List(Box::new(wanted.clone()));
        match typed.planned.operation {
            Operation::Literal(value) if typed.value_type == *wanted || typed.value_type == list => {
                Some(value)
            }
            Operation::Literal(_) => self.mismatch(&typed, wanted),
            Operation::List(items) if typed.value_type == list => {
                let values = items.into_iter().map(|item| match item.operation {
                    Operation::Literal(value) => Some(value),
                    _ => None,
                });
                values.collect::<Option<Vec<_>>>().map(Value::List)
            }
            _ => {
                let (expected, found, span) = ("constant".to_owned(), found(given), given.span);
                self.report(WrongType::new(expected, found, span));
                None
            }
        }
    }
}

/// Returns what a condition, the subject of a `match`, says of an arm with these patterns.
fn facts_of<'t>(subject: &'t Typed, patterns: &[Pattern]) -> &'t [Arc<str>] {
    match patterns {
        [Pattern::Value(Value::Bool(true))] => &subject.facts.if_true,
        [Pattern::Value(Value::Bool(false))] => &subject.facts.if_false,
        _ => &[],
    }
}

/// Returns the pattern of the opposite truth, if the patterns are one truth.
fn opposite(patterns: &[Pattern]) -> Vec<Pattern> {
    match patterns {
        [Pattern::Value(Value::Bool(truth))] => vec![Pattern::Value(Value::Bool(!truth))],
        _ => Vec::new(),
    }
}

/// Describes the values that a `match` without `_` does not cover.
fn missing(subject: &Typed, arms: &[MatchArm]) -> Option<String> {
    let has = |value: &Value| arms.iter().any(|arm| arm.patterns.contains(&Pattern::Value(value.clone())));
    if subject.optional && !has(&Value::Null) {
        return Some("null".to_owned());
    }
    if subject.value_type != Type::Bool {
        return Some("the other values".to_owned());
    }
    [true, false].into_iter().find(|value| !has(&Value::Bool(*value))).map(|value| value.to_string())
}

/// Returns the span of an earlier arm, if earlier arms cover all of these patterns.
fn taken_before(patterns: &[Pattern], arms: &[(MatchArm, Span)]) -> Option<Span> {
    let taken = |new: &Pattern| {
        let takes = |earlier: &Pattern| earlier == new || holds(earlier, new);
        arms.iter().find(|(arm, _)| arm.patterns.iter().any(takes)).map(|(_, span)| *span)
    };
    let places: Option<Vec<Span>> = patterns.iter().map(taken).collect();
    places?.last().copied()
}

/// Returns whether a pattern covers all values of another pattern.
fn holds(range: &Pattern, pattern: &Pattern) -> bool {
    let within = |value: &Value| match range {
        Pattern::Range(least, greatest) => {
            compare(value, least).is_some_and(Ordering::is_ge)
                && compare(value, greatest).is_some_and(Ordering::is_le)
        }
        Pattern::OneOf(values) => values.contains(value),
        Pattern::Value(only) => only == value,
    };
    match (pattern, range) {
        (Pattern::Value(value), _) => within(value),
        (Pattern::Range(least, greatest), Pattern::Range(..)) => within(least) && within(greatest),
        (Pattern::OneOf(values), _) => values.iter().all(within),
        (Pattern::Range(..), _) => false,
    }
}
