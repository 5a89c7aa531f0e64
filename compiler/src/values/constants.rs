//! Constant expressions: their values are the same for every event.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};

use weir_grammar::Span;
use weir_grammar::tree::{
    Block, Call, Conditional, Entry, Expression, ExpressionKind, Is, Operator, Question, TextPart,
};
use weir_plan::{Decimal, Value};

use crate::analysis::expressions::ExpressionType;
use crate::checker::{Checker, Expectation};
use crate::diagnostics::{
    DuplicateEntry, NoSuchOperation, NotSet, Overflow, UnknownName, WrongType, with_article,
};
use crate::names::scopes::{Meaning, Named};
use crate::names::visit::Mention;
use crate::spelling::literal_elsewhere;
use crate::types::Type;
use crate::values::literals::{exact_number, found, number_type, number_value};
use crate::values::numbers::{are_exact, exact, is_number, unsettled};
use crate::values::operators::{arithmetic, arithmetics, compare, comparison, compute, holds, negative};

/// A value with its type. `null` has no type.
#[derive(Debug, Clone)]
pub(crate) struct Constant {
    pub(crate) value: Value,
    pub(crate) value_type: Option<Type>,
    /// The exact number, if the constant is computed from number literals alone: it takes the type of its place. Until
    /// then the value may be a [`Value::Decimal`] though the type is `Int` or `Float`.
    pub(crate) literal: Option<Decimal>,
}

impl Constant {
    fn new(value: Value, value_type: Type) -> Constant {
        Constant { value, value_type: Some(value_type), literal: None }
    }

    /// A number of literals alone, which is an `Int` or a `Float` if no place asks for another type.
    fn number(number: Decimal, value_type: Type) -> Constant {
        let value = unsettled(number);
        Constant { value, value_type: Some(value_type), literal: Some(number) }
    }

    fn boolean(value: bool) -> Constant {
        Constant::new(Value::Bool(value), Type::Bool)
    }

    fn type_name(&self) -> String {
        self.value_type.as_ref().map_or("null".to_owned(), Type::to_string)
    }
}

/// Returns the name that an expression consists of: a plain name, or a name of another file.
pub(crate) fn mention(given: &Expression) -> Option<Mention<'_>> {
    match &given.kind {
        ExpressionKind::Name(name) => Some(Mention::plain(name, given.span)),
        ExpressionKind::Member(inner, name) => match &inner.kind {
            ExpressionKind::Name(qualifier) => Some(Mention::of_member(qualifier, inner.span, name)),
            _ => None,
        },
        _ => None,
    }
}

/// Returns whether a call reads an environment variable.
pub(crate) fn is_env(call: &Call) -> bool {
    call.function.qualifier.is_none() && &*call.function.name.text == "env"
}

impl<'c> Checker<'c> {
    /// Computes the value of a constant expression.
    pub(crate) fn fold(&mut self, given: &Expression) -> Option<Constant> {
        let constant = self.fold_kind(given);
        let noted = constant.as_ref().and_then(|constant| {
            let (value_type, optional) = (constant.value_type.clone()?, constant.value == Value::Null);
            Some(ExpressionType { value_type, optional, sensitive: false, fails: false })
        });
        self.note_type(given.span, noted);
        let is_computed = matches!(
            given.kind,
            ExpressionKind::Binary(..) | ExpressionKind::Call(_) | ExpressionKind::If(_)
        );
        if let Some(constant) = constant.as_ref().filter(|_| is_computed) {
            self.notes.computed.insert(given.span, constant.value.to_string());
        }
        constant
    }

    fn fold_kind(&mut self, given: &Expression) -> Option<Constant> {
        match &given.kind {
            ExpressionKind::Broken => None,
            ExpressionKind::Null => Some(Constant { value: Value::Null, value_type: None, literal: None }),
            ExpressionKind::Bool(value) => Some(Constant::boolean(*value)),
            ExpressionKind::Number(number) => Some(match exact_number(*number) {
                Some(exact) => Constant::number(exact, number_type(*number)),
                None => Constant::new(number_value(*number), number_type(*number)),
            }),
            ExpressionKind::Text(text) => {
                let text = self.common_text(text, &Type::Text)?;
                Some(Constant::new(Value::Text(text), Type::Text))
            }
            ExpressionKind::List(items) => {
                let items: Vec<Option<Constant>> = items.iter().map(|item| self.fold(item)).collect();
                let items = items.into_iter().collect::<Option<Vec<_>>>()?;
                let item_type = items.first().and_then(|item| item.value_type.clone()).unwrap_or(Type::Text);
                let values = items.into_iter().map(|item| item.value).collect();
                Some(Constant::new(Value::List(values), Type::List(Box::new(item_type))))
            }
            ExpressionKind::Record(block) => self.fold_map(block),
            ExpressionKind::Paren(inner) => self.fold(inner),
            ExpressionKind::Name(_) | ExpressionKind::Member(..) => self.fold_name(given),
            ExpressionKind::Negate(inner) => self.fold_negated(inner, given.span),
            ExpressionKind::Not(inner) => Some(Constant::boolean(!self.fold_bool(inner)?)),
            ExpressionKind::And(parts) => {
                self.fold_all(parts).map(|all| Constant::boolean(!all.contains(&false)))
            }
            ExpressionKind::Or(parts) => {
                self.fold_all(parts).map(|all| Constant::boolean(all.contains(&true)))
            }
            ExpressionKind::Is(is) => self.fold_is(is),
            ExpressionKind::Binary(operator, left, right) => {
                self.fold_binary(*operator, left, right, given.span)
            }
            ExpressionKind::If(conditional) => self.fold_conditional(conditional),
            ExpressionKind::Call(call) if is_env(call) => self.environment(call, given.span),
            _ => self.not_constant(given),
        }
    }

    /// Returns a map from names to values of one type.
    fn fold_map(&mut self, block: &Block) -> Option<Constant> {
        let mut item_type: Option<Type> = None;
        let mut values = BTreeMap::new();
        let mut whole = !block.broken;
        let mut names: HashMap<&str, Span> = HashMap::new();
        for Entry { name, value: given } in &block.entries {
            if let Some(first) = names.insert(&name.text, name.span) {
                let (name, second) = (name.text.to_string(), name.span);
                self.report(DuplicateEntry { name, first, second });
            }
            let Some(Constant { value, value_type, .. }) = self.fold(given) else {
                whole = false;
                continue;
            };
            let Some(found) = value_type else {
                let (expected, found) = ("value of a map".to_owned(), "`null`".to_owned());
                self.report(WrongType::new(expected, found, given.span));
                whole = false;
                continue;
            };
            match &item_type {
                Some(wanted) if *wanted != found => {
                    let (expected, found) = (wanted.to_string(), with_article(&found.to_string()));
                    let first = block.entries.first().map(|first| first.value.span);
                    let declared = first.map(|first| (format!("the others are {wanted}"), first));
                    self.report(WrongType::new(expected, found, given.span).declared(declared));
                    whole = false;
                }
                _ => item_type = Some(found),
            }
            values.insert(name.text.to_string(), value);
        }
        let value_type = Type::Map(Box::new(item_type.unwrap_or(Type::Text)));
        whole.then(|| Constant::new(Value::Record(values), value_type))
    }

    /// Returns the value of the first case whose condition is true, or the `else` value. All values must have the same
    /// type.
    fn fold_conditional(&mut self, conditional: &Conditional) -> Option<Constant> {
        let mut chosen = self.fold(&conditional.otherwise);
        let wanted = chosen.as_ref().and_then(|constant| constant.value_type.clone());
        for (condition, given) in conditional.cases.iter().rev() {
            let condition = self.fold_bool(condition);
            let value = self.fold(given);
            if let (Some(wanted), Some(Constant { value_type: Some(found), .. })) = (&wanted, &value)
                && wanted != found
                && !(is_number(wanted) && is_number(found) && takes_type(&value, &chosen))
            {
                let (expected, found) = (wanted.to_string(), with_article(&found.to_string()));
                let span = given.span;
                self.report(WrongType::new(expected, found, span));
                return None;
            }
            if condition? {
                chosen = value;
            }
        }
        chosen
    }

    fn not_constant(&mut self, given: &Expression) -> Option<Constant> {
        let (expected, found, span) = ("constant".to_owned(), found(given), given.span);
        self.report(WrongType::new(expected, found, span));
        None
    }

    fn fold_name(&mut self, given: &Expression) -> Option<Constant> {
        let Some(mention) = mention(given) else { return self.not_constant(given) };
        let Some(Named { meaning, declared }) = self.scopes.mention(mention) else {
            let literal = literal_elsewhere(mention.name).map(str::to_owned);
            let near = literal.or_else(|| self.scopes.near(mention, Meaning::is_value));
            let name = self.files.text(given.span).to_owned();
            self.report(UnknownName { name, wanted: "param or let", near, quote: false, span: given.span });
            return None;
        };
        match meaning {
            Meaning::Broken => None,
            Meaning::Let(item) => {
                self.uses(mention, declared);
                self.fold(&item.value)
            }
            Meaning::Param => {
                self.uses(mention, declared);
                let param = self.params.get(&declared)?.clone()?;
                let value = param.value?;
                let value_type = (value != Value::Null).then_some(param.value_type);
                Some(Constant { value_type, value, literal: None })
            }
            _ => {
                let found = format!("{} `{}`", meaning.in_words(), mention.name);
                let (expected, span) = ("constant".to_owned(), given.span);
                self.report(WrongType::new(expected, found, span));
                None
            }
        }
    }

    fn fold_bool(&mut self, given: &Expression) -> Option<bool> {
        match self.fold(given)?.value {
            Value::Bool(value) => Some(value),
            _ => {
                let (expected, found, span) = ("Bool".to_owned(), found(given), given.span);
                self.report(WrongType::new(expected, found, span));
                None
            }
        }
    }

    fn fold_all(&mut self, parts: &[Expression]) -> Option<Vec<bool>> {
        let all: Vec<Option<bool>> = parts.iter().map(|part| self.fold_bool(part)).collect();
        all.into_iter().collect()
    }

    fn fold_negated(&mut self, inner: &Expression, span: Span) -> Option<Constant> {
        let constant = self.fold(inner)?;
        if let (Some(number), Some(value_type)) = (constant.literal, &constant.value_type) {
            return Some(Constant::number(number.negated(), value_type.clone()));
        }
        if !matches!(
            &constant.value,
            Value::Int(_)
                | Value::Float(_)
                | Value::Decimal(_)
                | Value::Duration(_)
                | Value::NegativeDuration(_)
        ) {
            let right = (self.files.text(inner.span).to_owned(), constant.type_name(), inner.span);
            let help = "only numbers and durations have a negative".to_owned();
            self.report(NoSuchOperation { operator: "-".to_owned(), left: None, right, help });
            return None;
        }
        match negative(&constant.value) {
            Some(value) => Some(Constant { value, ..constant }),
            None => self.overflow(span, "it is larger than can be counted"),
        }
    }

    fn overflow(&mut self, span: Span, reason: &str) -> Option<Constant> {
        let text = self.files.text(span).to_owned();
        self.report(Overflow { text, reason: reason.to_owned(), span });
        None
    }

    fn fold_is(&mut self, is: &Is) -> Option<Constant> {
        let operand = self.fold(&is.operand)?;
        let answer = match (is.question, &operand.value) {
            (Question::Null, value) => *value == Value::Null,
            (Question::Empty, Value::Text(text)) => text.is_empty(),
            (Question::Empty, Value::List(items)) => items.is_empty(),
            (Question::Empty, _) => {
                let (expected, found, span) = ("Text".to_owned(), found(&is.operand), is.operand.span);
                self.report(WrongType::new(expected, found, span));
                return None;
            }
        };
        Some(Constant::boolean(answer != is.negated))
    }

    fn fold_binary(
        &mut self,
        operator: Operator,
        left_given: &Expression,
        right_given: &Expression,
        span: Span,
    ) -> Option<Constant> {
        let left = self.fold(left_given);
        let (right, left) = (self.fold(right_given)?, left?);
        if operator == Operator::Coalesce {
            return Some(if left.value == Value::Null { right } else { left });
        }
        if operator == Operator::In
            && let Value::List(items) = &right.value
        {
            let is_equal =
                |item: &Value| compare(item, &left.value).map_or(*item == left.value, Ordering::is_eq);
            return Some(Constant::boolean(items.iter().any(is_equal)));
        }
        let (left, right) = self.aligned(left, right, left_given.span, right_given.span)?;
        if let Some(comparison) = comparison(operator)
            && (are_comparable(&left, &right) || left.value == Value::Null || right.value == Value::Null)
        {
            let equal = (left.value == right.value).then_some(std::cmp::Ordering::Equal);
            let ordering = compare(&left.value, &right.value).or(equal);
            return Some(Constant::boolean(ordering.is_some_and(|ordering| holds(comparison, ordering))));
        }
        if let (Some(arithmetic), Some(left_type), Some(right_type)) =
            (arithmetic(operator), &left.value_type, &right.value_type)
            && let Some(arithmetics) = arithmetics(arithmetic, left_type, right_type)
        {
            return match compute(arithmetic, &left.value, &right.value) {
                Ok(value) => {
                    let number = left.literal.and(right.literal).and(exact(&value));
                    Some(match number.filter(|_| is_number(&arithmetics.result)) {
                        Some(number) => Constant::number(number, arithmetics.result),
                        None => Constant::new(value, arithmetics.result),
                    })
                }
                Err(reason) => self.overflow(span, reason),
            };
        }
        let side = |given: &Expression, constant: &Constant| {
            (self.files.text(given.span).to_owned(), constant.type_name(), given.span)
        };
        let (left, right) = (Some(side(left_given, &left)), side(right_given, &right));
        let (operator, help) = (operator.symbol().to_owned(), String::new());
        self.report(NoSuchOperation { operator, left, right, help });
        None
    }

    /// Evaluates `env("NAME")`: text, or null if the variable is not set.
    pub(crate) fn environment(&mut self, call: &Call, span: Span) -> Option<Constant> {
        let name = match call.arguments.as_slice() {
            [argument] => self.value(&argument.value, &Expectation::plain(&Type::Text))?,
            _ => {
                let usage = "env(name: Text) -> Text?".to_owned();
                let reason = "takes the name of an environment variable".to_owned();
                let name = "env".to_owned();
                self.report(crate::diagnostics::WrongArguments { name, reason, span, usage, declared: None });
                return None;
            }
        };
        let Value::Text(name) = name else { return None };
        match self.environment.and_then(|environment| environment.get(&name)) {
            Some(value) => Some(Constant::new(Value::Text(value.clone()), Type::Text)),
            None => Some(Constant { value: Value::Null, value_type: None, literal: None }),
        }
    }

    /// Gives a number of literals the type of the other side. Beside a decimal number, it has the digits that it is
    /// written with.
    fn aligned(
        &mut self,
        left: Constant,
        right: Constant,
        left_span: Span,
        right_span: Span,
    ) -> Option<(Constant, Constant)> {
        match (left.literal, right.literal) {
            // Two numbers of different types are exact until a place asks for a type.
            (Some(one), Some(other)) if left.value_type != right.value_type => {
                Some((Constant::number(one, Type::Float), Constant::number(other, Type::Float)))
            }
            (Some(number), None) => Some((self.beside(number, left, &right, left_span)?, right)),
            (None, Some(number)) => {
                let right = self.beside(number, right, &left, right_span)?;
                Some((left, right))
            }
            _ => Some((left, right)),
        }
    }

    fn beside(
        &mut self,
        number: Decimal,
        literal: Constant,
        other: &Constant,
        span: Span,
    ) -> Option<Constant> {
        match &other.value_type {
            Some(Type::Float) => {
                let value = self.number_of(number, &Type::Float, span, None)?;
                Some(Constant::new(value, Type::Float))
            }
            Some(Type::Decimal(..)) => Some(Constant::new(Value::Decimal(number), number.own_type().into())),
            _ => Some(literal),
        }
    }

    /// Converts a constant to a value of the expected type.
    pub(crate) fn fitting(
        &mut self,
        constant: Constant,
        given: &Expression,
        expected: &Expectation<'_>,
    ) -> Option<Value> {
        let wanted = expected.value_type;
        match (&constant.value_type, &constant.value) {
            (None, _) if expected.optional => Some(Value::Null),
            (None, _) => {
                match unset_variable(given) {
                    Some(variable) => self.report(NotSet { variable: variable.to_owned(), span: given.span }),
                    None => {
                        self.mismatch("`null`".to_owned(), given.span, None, expected);
                    }
                }
                None
            }
            (Some(Type::Text), Value::Text(text)) if wanted.is_textual() && *wanted != Type::Text => {
                let value = self.checked_text(text.clone(), wanted, given.span)?;
                Some(if *wanted == Type::Template {
                    crate::values::templates::constant_template(value)
                } else {
                    value
                })
            }
            (Some(found), _)
                if is_number(wanted)
                    && (found == wanted || *wanted != Type::Int)
                    && constant.literal.is_some() =>
            {
                self.number_of(constant.literal?, wanted, given.span, expected.declared())
            }
            (Some(found), _) if found == wanted => Some(constant.value),
            (Some(Type::List(_)), Value::List(items))
                if items.is_empty() && matches!(wanted, Type::List(_)) =>
            {
                Some(constant.value)
            }
            (Some(found), _) => {
                let found = with_article(&found.to_string());
                self.mismatch(found, given.span, None, expected)
            }
        }
    }
}

/// Returns whether one of two constants is a number that takes the type of its place.
fn takes_type(one: &Option<Constant>, other: &Option<Constant>) -> bool {
    [one, other].iter().any(|constant| constant.as_ref().is_some_and(|it| it.literal.is_some()))
}

/// Returns whether two constants have one type, or are exact numbers.
fn are_comparable(left: &Constant, right: &Constant) -> bool {
    match (&left.value_type, &right.value_type) {
        (Some(one), Some(other)) => one == other || are_exact(one, other),
        (one, other) => one == other,
    }
}

/// Returns the variable's name if the expression is only `env("NAME")`.
fn unset_variable(given: &Expression) -> Option<&str> {
    let ExpressionKind::Call(call) = &given.kind else { return None };
    let [argument] = call.arguments.as_slice() else { return None };
    match &argument.value.kind {
        ExpressionKind::Text(text) => match text.parts.as_slice() {
            [TextPart::Literal(name)] if is_env(call) => Some(name),
            _ => None,
        },
        _ => None,
    }
}
