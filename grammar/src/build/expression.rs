//! Expressions: applies operator precedence to the grammar's flat lists of operators.

use std::sync::LazyLock;

use pest::iterators::{Pair, Pairs};
use pest::pratt_parser::{Assoc, Op, PrattParser};

use super::{Builder, is_text};
use crate::error::SyntaxErrorKind;
use crate::tree::{
    Argument, Arm, Block, Call, Conditional, Entry, Expression, ExpressionKind, Is, Name, Number, Operator,
    Path, Question, ValueMatch,
};
use crate::{Rule, Span, literal};

/// The maximum depth of an expression, counting brackets and operators. A chain of `and` or of `or` is one
/// level.
const DEPTH_MAX: u32 = 200;

/// The operators by increasing precedence (see "Expressions" in the language reference).
static PRECEDENCE: LazyLock<PrattParser<Rule>> = LazyLock::new(|| {
    let infix = |rule| Op::infix(rule, Assoc::Left);
    PrattParser::new()
        .op(infix(Rule::or_word))
        .op(infix(Rule::and_word))
        .op(Op::prefix(Rule::not_word))
        .op(infix(Rule::comparator)
            | infix(Rule::in_word)
            | infix(Rule::matches_word)
            | Op::postfix(Rule::is_test))
        .op(infix(Rule::coalesce))
        .op(infix(Rule::dots_equal))
        .op(infix(Rule::plus) | infix(Rule::minus))
        .op(infix(Rule::star) | infix(Rule::slash) | infix(Rule::percent))
        .op(Op::prefix(Rule::sign))
        .op(Op::postfix(Rule::index) | Op::postfix(Rule::member) | Op::postfix(Rule::arguments))
});

/// An expression and its depth.
struct Deep {
    expression: Expression,
    depth: u32,
}

impl Builder<'_> {
    /// Builds the expression of an `expression`, `operation` or `subject` pair.
    pub(crate) fn expression(&mut self, pair: Pair<'_, Rule>) -> Expression {
        self.deep(pair).expression
    }

    /// Returns an expression of this depth; reports it and returns a broken one if it is too deep.
    fn at_depth(&mut self, expression: Expression, depth: u32) -> Deep {
        if depth <= DEPTH_MAX {
            return Deep { expression, depth };
        }
        let kind = SyntaxErrorKind::Limit { what: "operators in one expression", limit: DEPTH_MAX as usize };
        self.report(expression.span, kind);
        Deep { expression: Expression { span: expression.span, kind: ExpressionKind::Broken }, depth: 1 }
    }

    fn deep(&mut self, pair: Pair<'_, Rule>) -> Deep {
        let mut pairs = pair.into_inner();
        let single = pairs.len() == 1;
        match pairs.peek() {
            None => Deep { expression: self.broken(), depth: 1 },
            Some(only) if single => self.primary(only),
            Some(_) => self.operators(&mut pairs),
        }
    }

    fn operators(&mut self, pairs: &mut Pairs<'_, Rule>) -> Deep {
        if let Some(span) = self.too_many_signs(pairs) {
            return self.at_depth(Expression { span, kind: ExpressionKind::Broken }, DEPTH_MAX + 1);
        }
        // All closures of the parser need the builder, but never at the same time.
        let builder = std::cell::RefCell::new(self);
        PRECEDENCE
            .map_primary(|pair| builder.borrow_mut().primary(pair))
            .map_prefix(|operator, operand| builder.borrow_mut().prefix(&operator, operand))
            .map_postfix(|operand, operator| builder.borrow_mut().postfix(operand, operator))
            .map_infix(|left, operator, right| builder.borrow_mut().infix(left, &operator, right))
            .parse(pairs)
    }

    /// Returns the place where `not` and `-` are nested too deep for the recursive parser.
    ///
    /// A sequence of signs nests; `not` also nests after every operator except `and` and `or`, since it binds looser.
    fn too_many_signs(&self, pairs: &Pairs<'_, Rule>) -> Option<Span> {
        let (mut row, mut nots) = (0, 0);
        for pair in pairs.clone() {
            match pair.as_rule() {
                Rule::not_word => (row, nots) = (row + 1, nots + 1),
                Rule::sign => row += 1,
                Rule::and_word | Rule::or_word => (row, nots) = (0, 0),
                _ => row = 0,
            }
            if row > DEPTH_MAX || nots > DEPTH_MAX {
                return Some(self.span_of(&pair));
            }
        }
        None
    }

    fn prefix(&mut self, operator: &Pair<'_, Rule>, operand: Deep) -> Deep {
        let span = self.span_of(operator).to(operand.expression.span);
        let kind = match (operator.as_rule(), operand.expression.kind) {
            (Rule::not_word, ExpressionKind::Not(inner)) => return Deep { expression: *inner, ..operand },
            (Rule::not_word, kind) => {
                ExpressionKind::Not(Box::new(Expression { span: operand.expression.span, kind }))
            }
            (_, ExpressionKind::Number(number)) => self.negative(number, span),
            (_, kind) => ExpressionKind::Negate(Box::new(Expression { span: operand.expression.span, kind })),
        };
        self.at_depth(Expression { span, kind }, operand.depth + 1)
    }

    fn negative(&mut self, number: Number, span: Span) -> ExpressionKind {
        match number {
            Number::Int(value) => ExpressionKind::Number(Number::Int(-value)),
            Number::Point { digits, scale } => {
                ExpressionKind::Number(Number::Point { digits: -digits, scale })
            }
            Number::Duration(value) if value.is_zero() => ExpressionKind::Number(number),
            Number::Duration(value) => ExpressionKind::Number(Number::NegativeDuration(value)),
            Number::NegativeDuration(value) => ExpressionKind::Number(Number::Duration(value)),
            Number::Size(_) | Number::EventRate(_) | Number::ByteRate(_) | Number::Percent(_) => {
                let reason = "sizes, rates and percentages are never negative".to_owned();
                self.report(span, SyntaxErrorKind::MalformedNumber { reason, unit: None });
                ExpressionKind::Broken
            }
        }
    }

    fn postfix(&mut self, operand: Deep, operator: Pair<'_, Rule>) -> Deep {
        let place = self.span_of(&operator);
        let Deep { expression: operand, depth } = operand;
        let span = operand.span.to(place);
        if operand.kind == ExpressionKind::Broken {
            return Deep { expression: Expression { span, kind: ExpressionKind::Broken }, depth: 1 };
        }
        let mut inner_depth = 0;
        let kind = match operator.as_rule() {
            Rule::is_test => {
                if self.is_chained(&operand, place) {
                    ExpressionKind::Broken
                } else {
                    is_test(operand, operator)
                }
            }
            Rule::member => {
                let name = self.next_name(&mut operator.into_inner());
                ExpressionKind::Member(Box::new(operand), name)
            }
            Rule::index => {
                let inner = operator.into_inner().find(|pair| pair.as_rule() == Rule::expression);
                let broken = self.broken();
                let index = inner.map_or(Deep { expression: broken, depth: 0 }, |pair| self.deep(pair));
                inner_depth = index.depth;
                ExpressionKind::Index(Box::new(operand), Box::new(index.expression))
            }
            _ => {
                let arguments = self.arguments(operator, &mut inner_depth);
                self.call(operand, arguments, place)
            }
        };
        self.at_depth(Expression { span, kind }, depth.max(inner_depth) + 1)
    }

    /// Builds a call. Only a name, with or without a qualifier, can be called.
    fn call(&mut self, function: Expression, arguments: Vec<Argument>, place: Span) -> ExpressionKind {
        let span = function.span;
        match function.kind {
            ExpressionKind::Member(receiver, name) if !matches!(receiver.kind, ExpressionKind::Name(_)) => {
                self.method(*receiver, name, arguments, place)
            }
            ExpressionKind::Name(text) => {
                let function = Path { qualifier: None, name: Name { text, span } };
                ExpressionKind::Call(Call { function, arguments })
            }
            ExpressionKind::Member(file, name) => match file.kind {
                ExpressionKind::Name(text) => {
                    let function = Path { qualifier: Some(Name { text, span: file.span }), name };
                    ExpressionKind::Call(Call { function, arguments })
                }
                _ => self.not_a_function(place),
            },
            ExpressionKind::Broken => ExpressionKind::Broken,
            _ => self.not_a_function(place),
        }
    }

    /// Reports the call of a method, `x.lower()`, and builds the call of a function with `x` as its first argument.
    fn method(
        &mut self,
        receiver: Expression,
        name: Name,
        mut arguments: Vec<Argument>,
        place: Span,
    ) -> ExpressionKind {
        if receiver.kind == ExpressionKind::Broken {
            return ExpressionKind::Broken;
        }
        let before = Span { end: receiver.span.start, ..receiver.span };
        // From the point to the opening parenthesis.
        let dot = Span { start: receiver.span.end, end: place.start + 1, ..place };
        let separator = if arguments.is_empty() { "" } else { ", " };
        let edits = vec![(before, format!("{}(", name.text)), (dot, separator.to_owned())];
        let message = format!("a value has no methods: `{}` is a function", name.text);
        let title = format!("write `{}(…)`", name.text);
        self.report_foreign(name.span, message, title, edits);
        arguments.insert(0, Argument { name: None, value: receiver });
        ExpressionKind::Call(Call { function: Path { qualifier: None, name }, arguments })
    }

    fn not_a_function(&mut self, place: Span) -> ExpressionKind {
        let found = "`(`".to_owned();
        let place = Span { end: place.start + 1, ..place };
        let hint = Some("only a function can be called".to_owned());
        self.report(place, SyntaxErrorKind::Unexpected { found, expected: vec!["an operator"], hint });
        ExpressionKind::Broken
    }

    fn infix(&mut self, left: Deep, operator: &Pair<'_, Rule>, right: Deep) -> Deep {
        let place = self.span_of(operator);
        let (left, left_depth) = (left.expression, left.depth);
        let (right, right_depth) = (right.expression, right.depth);
        let span = left.span.to(right.span);
        if left.kind == ExpressionKind::Broken || right.kind == ExpressionKind::Broken {
            return Deep { expression: Expression { span, kind: ExpressionKind::Broken }, depth: 1 };
        }
        let mut depth = left_depth.max(right_depth) + 1;
        let kind = match operator.as_rule() {
            rule @ (Rule::and_word | Rule::or_word) => {
                let is_and = rule == Rule::and_word;
                let operands = match left.kind {
                    ExpressionKind::And(operands) if is_and => Ok(operands),
                    ExpressionKind::Or(operands) if !is_and => Ok(operands),
                    kind => Err(Expression { span: left.span, kind }),
                };
                let operands = match operands {
                    Ok(mut operands) => {
                        depth = left_depth.max(right_depth + 1);
                        operands.push(right);
                        operands
                    }
                    Err(left) => vec![left, right],
                };
                if is_and { ExpressionKind::And(operands) } else { ExpressionKind::Or(operands) }
            }
            _ => {
                let operator = operator_of(operator.as_str());
                if operator.is_question() && self.is_chained(&left, place) {
                    ExpressionKind::Broken
                } else {
                    ExpressionKind::Binary(operator, Box::new(left), Box::new(right))
                }
            }
        };
        self.at_depth(Expression { span, kind }, depth)
    }

    /// Returns whether this is a chained comparison such as `a < b < c`, and reports it.
    fn is_chained(&mut self, left: &Expression, place: Span) -> bool {
        let is_question = match &left.kind {
            ExpressionKind::Binary(operator, ..) => operator.is_question(),
            ExpressionKind::Is(_) => true,
            _ => false,
        };
        if is_question {
            self.report(place, SyntaxErrorKind::Chained);
        }
        is_question
    }

    fn primary(&mut self, pair: Pair<'_, Rule>) -> Deep {
        let span = self.span_of(&pair);
        let mut depth = 0;
        let kind = match pair.as_rule() {
            rule if is_text(rule) => ExpressionKind::Text(self.text_of(pair)),
            Rule::number => self.number(&pair),
            Rule::header => ExpressionKind::Header(pair.as_str()[1..].into()),
            Rule::word => word(pair.as_str()),
            Rule::list => ExpressionKind::List(self.list(pair, &mut depth)),
            Rule::block => ExpressionKind::Record(self.block_deep(pair, &mut depth)),
            Rule::named => return self.named(pair),
            Rule::secret => self.secret(pair, &mut depth),
            Rule::paren => self.paren(pair, &mut depth),
            Rule::conditional => self.conditional(pair, &mut depth),
            Rule::match_value => self.match_value(pair, span, &mut depth),
            _ => ExpressionKind::Broken,
        };
        Deep { expression: Expression { span, kind }, depth: depth + 1 }
    }

    fn list(&mut self, pair: Pair<'_, Rule>, depth: &mut u32) -> Vec<Expression> {
        let pairs = pair.into_inner().filter(|pair| pair.as_rule() == Rule::expression);
        pairs.map(|pair| self.nested(pair, depth)).collect()
    }

    /// Builds an expression inside another one, and raises the other one's depth accordingly.
    fn nested(&mut self, pair: Pair<'_, Rule>, depth: &mut u32) -> Expression {
        let inner = self.deep(pair);
        *depth = inner.depth.max(*depth);
        inner.expression
    }

    fn named(&mut self, pair: Pair<'_, Rule>) -> Deep {
        let span = self.span_of(&pair);
        let mut pairs = pair.into_inner();
        let mut depth = 0;
        let kind = match (pairs.next(), pairs.next()) {
            (Some(name), Some(block)) => {
                ExpressionKind::Variant(self.name(&name), self.block_deep(block, &mut depth))
            }
            (Some(name), None) => word(name.as_str()),
            _ => ExpressionKind::Broken,
        };
        Deep { expression: Expression { span, kind }, depth: depth + 1 }
    }

    fn secret(&mut self, pair: Pair<'_, Rule>, depth: &mut u32) -> ExpressionKind {
        let mut pairs = pair.into_inner();
        let name = self.next_name(&mut pairs);
        let arguments = pairs.next().map(|pair| self.arguments(pair, depth)).unwrap_or_default();
        ExpressionKind::Secret(Call { function: Path { qualifier: None, name }, arguments })
    }

    fn paren(&mut self, pair: Pair<'_, Rule>, depth: &mut u32) -> ExpressionKind {
        let mut pairs =
            pair.into_inner().filter(|pair| matches!(pair.as_rule(), Rule::expression | Rule::otherwise));
        let Some(first) = pairs.next() else { return ExpressionKind::Broken };
        let first = self.nested(first, depth);
        let Some(second) = pairs.next() else { return ExpressionKind::Paren(Box::new(first)) };
        let inner = second.into_inner().find(|pair| pair.as_rule() == Rule::expression);
        match inner {
            Some(inner) => {
                let second = self.nested(inner, depth);
                ExpressionKind::Otherwise(Box::new(first), Box::new(second))
            }
            None => ExpressionKind::Broken,
        }
    }

    fn conditional(&mut self, pair: Pair<'_, Rule>, depth: &mut u32) -> ExpressionKind {
        let pairs = pair.into_inner().filter(|pair| pair.as_rule() == Rule::operation);
        let mut parts: Vec<Expression> = pairs.map(|pair| self.nested(pair, depth)).collect();
        let Some(otherwise) = parts.pop() else { return ExpressionKind::Broken };
        let mut cases = Vec::with_capacity(parts.len() / 2);
        let mut parts = parts.into_iter();
        while let (Some(condition), Some(value)) = (parts.next(), parts.next()) {
            cases.push((condition, value));
        }
        ExpressionKind::If(Box::new(Conditional { cases, otherwise }))
    }

    fn match_value(&mut self, pair: Pair<'_, Rule>, whole: Span, depth: &mut u32) -> ExpressionKind {
        let mut subject = None;
        let mut arms = Vec::new();
        for pair in pair.into_inner() {
            match pair.as_rule() {
                Rule::subject => subject = Some(self.nested(pair, depth)),
                Rule::arm => arms.extend(self.arm(pair, depth)),
                _ => {}
            }
        }
        ExpressionKind::Match(Box::new(ValueMatch { subject, arms, broken: self.has_blanked(whole) }))
    }

    fn arm(&mut self, pair: Pair<'_, Rule>, depth: &mut u32) -> Option<Arm> {
        let span = self.span_of(&pair);
        let pairs = pair.into_inner().filter(|pair| pair.as_rule() == Rule::expression);
        let mut patterns: Vec<Expression> = pairs.map(|pair| self.nested(pair, depth)).collect();
        let value = patterns.pop()?;
        Some(Arm { span, patterns, value })
    }

    pub(super) fn arguments(&mut self, pair: Pair<'_, Rule>, depth: &mut u32) -> Vec<Argument> {
        let pairs = pair.into_inner().filter(|pair| pair.as_rule() == Rule::argument);
        let mut arguments = Vec::new();
        for pair in pairs {
            let mut name = None;
            for pair in pair.into_inner() {
                match pair.as_rule() {
                    Rule::name => name = Some(self.name(&pair)),
                    Rule::expression => {
                        let value = self.nested(pair, depth);
                        arguments.push(Argument { name: name.take(), value });
                    }
                    _ => {}
                }
            }
        }
        arguments
    }

    pub(super) fn block(&mut self, pair: Pair<'_, Rule>) -> Block {
        self.block_deep(pair, &mut 0)
    }

    fn block_deep(&mut self, pair: Pair<'_, Rule>, depth: &mut u32) -> Block {
        let span = self.span_of(&pair);
        let mut entries = Vec::new();
        for pair in pair.into_inner().filter(|pair| pair.as_rule() == Rule::entry) {
            entries.extend(self.entry(pair, depth));
        }
        Block { span, entries, broken: self.has_blanked(span) }
    }

    /// Builds an entry of a block, or of the params of a test.
    pub(super) fn entry(&mut self, pair: Pair<'_, Rule>, depth: &mut u32) -> Option<Entry> {
        let mut pairs = pair.into_inner();
        let name = self.next_name(&mut pairs);
        let value = pairs.find(|pair| pair.as_rule() == Rule::expression)?;
        Some(Entry { name, value: self.nested(value, depth) })
    }

    fn number(&mut self, pair: &Pair<'_, Rule>) -> ExpressionKind {
        match literal::number(pair.as_str()) {
            Ok(number) => ExpressionKind::Number(number),
            Err(error) => {
                let whole = self.span_of(pair);
                let unit = error.unit_at.map(|at| Span { start: whole.start + at as u32, ..whole });
                self.report(whole, SyntaxErrorKind::MalformedNumber { reason: error.reason, unit });
                ExpressionKind::Broken
            }
        }
    }

    /// Builds a number, with its sign if it has one.
    pub(super) fn signed(&mut self, pair: &Pair<'_, Rule>, span: Span, negative: bool) -> Expression {
        let kind = match self.number(pair) {
            ExpressionKind::Number(number) if negative => self.negative(number, span),
            kind => kind,
        };
        Expression { span, kind }
    }
}

fn is_test(operand: Expression, operator: Pair<'_, Rule>) -> ExpressionKind {
    let mut negated = false;
    let mut question = Question::Null;
    for pair in operator.into_inner() {
        match pair.as_rule() {
            Rule::not_word => negated = true,
            Rule::empty_word => question = Question::Empty,
            _ => {}
        }
    }
    ExpressionKind::Is(Box::new(Is { operand, question, negated }))
}

fn word(word: &str) -> ExpressionKind {
    match word.trim() {
        "true" => ExpressionKind::Bool(true),
        "false" => ExpressionKind::Bool(false),
        "null" => ExpressionKind::Null,
        name => ExpressionKind::Name(name.trim_matches('`').into()),
    }
}

pub(super) fn operator_of(text: &str) -> Operator {
    match text.trim() {
        "+" => Operator::Add,
        "-" => Operator::Subtract,
        "*" => Operator::Multiply,
        "/" => Operator::Divide,
        "%" => Operator::Remainder,
        "..=" => Operator::Range,
        "??" => Operator::Coalesce,
        "==" => Operator::Equal,
        "!=" => Operator::NotEqual,
        "<" => Operator::Less,
        "<=" => Operator::LessOrEqual,
        ">" => Operator::Greater,
        ">=" => Operator::GreaterOrEqual,
        "in" => Operator::In,
        _ => Operator::Matches,
    }
}
