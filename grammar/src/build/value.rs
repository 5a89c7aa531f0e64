//! Values, expressions and text.

use pest::iterators::Pair;

use super::Builder;
use crate::error::{Later, SyntaxErrorKind};
use crate::tree::{Block, Comparator, Entry, Expression, ExpressionKind, Hole, Name, Number, Text, TextPart};
use crate::{Rule, Span, literal};

impl Builder<'_> {
    /// A value or an operand.
    pub(crate) fn value(&mut self, pair: Pair<'_, Rule>) -> Expression {
        let span = self.span_of(&pair);
        let kind = match pair.as_rule() {
            Rule::string => ExpressionKind::Text(self.string(pair)),
            Rule::raw_string => ExpressionKind::Text(raw_string(pair)),
            Rule::number => return self.number(&pair, span, false),
            Rule::negative => match pair.into_inner().find(|pair| pair.as_rule() == Rule::number) {
                Some(number) => return self.number(&number, span, true),
                None => ExpressionKind::Broken,
            },
            Rule::header => ExpressionKind::Header(pair.as_str()[1..].into()),
            Rule::list => {
                let values = pair.into_inner().filter(|pair| !is_punctuation(pair.as_rule()));
                ExpressionKind::List(values.map(|pair| self.value(pair)).collect())
            }
            Rule::block => ExpressionKind::Record(self.block(pair)),
            Rule::named => return self.named(pair),
            Rule::word => self.word(pair.as_str()),
            Rule::paren => match pair.into_inner().find(|pair| pair.as_rule() == Rule::expression) {
                Some(inner) => return self.expression(inner),
                None => ExpressionKind::Broken,
            },
            Rule::secret | Rule::call => {
                let name = pair.as_str().split('(').next().unwrap_or_default().trim_end().to_owned();
                self.report(span, SyntaxErrorKind::Later(Later::Call(name)));
                ExpressionKind::Broken
            }
            _ => ExpressionKind::Broken,
        };
        Expression { span, kind }
    }

    fn word(&self, word: &str) -> ExpressionKind {
        match word {
            "true" => ExpressionKind::Bool(true),
            "false" => ExpressionKind::Bool(false),
            "null" => ExpressionKind::Null,
            _ => ExpressionKind::Name(word.trim_matches('`').into()),
        }
    }

    fn named(&mut self, pair: Pair<'_, Rule>) -> Expression {
        let span = self.span_of(&pair);
        let mut pairs = pair.into_inner();
        let Some(word) = pairs.next() else { return Expression { span, kind: ExpressionKind::Broken } };
        let kind = match pairs.next() {
            Some(block) => ExpressionKind::Variant(self.name(&word), self.block(block)),
            None => self.word(word.as_str()),
        };
        Expression { span, kind }
    }

    pub(super) fn number(&mut self, pair: &Pair<'_, Rule>, span: Span, negative: bool) -> Expression {
        let kind = match literal::number(pair.as_str()) {
            Ok(Number::Int(value)) if negative => ExpressionKind::Number(Number::Int(-value)),
            Ok(Number::Float(value)) if negative => ExpressionKind::Number(Number::Float(-value)),
            Ok(_) if negative => {
                let reason = "durations, sizes and rates are never negative".to_owned();
                self.report(span, SyntaxErrorKind::MalformedNumber { reason, unit: None });
                ExpressionKind::Broken
            }
            Ok(number) => ExpressionKind::Number(number),
            Err(error) => {
                let whole = self.span_of(pair);
                let unit = error.unit_at.map(|at| Span { start: whole.start + at as u32, ..whole });
                self.report(whole, SyntaxErrorKind::MalformedNumber { reason: error.reason, unit });
                ExpressionKind::Broken
            }
        };
        Expression { span, kind }
    }

    pub(super) fn block(&mut self, pair: Pair<'_, Rule>) -> Block {
        let span = self.span_of(&pair);
        let mut entries = Vec::new();
        for pair in pair.into_inner().filter(|pair| pair.as_rule() == Rule::entry) {
            let mut pairs = pair.into_inner();
            let name = self.next_name(&mut pairs);
            if let Some(value) = pairs.find(|pair| pair.as_rule() != Rule::colon) {
                let value = self.value(value);
                entries.push(Entry { name, value });
            }
        }
        Block { span, entries, broken: self.has_blanked(span) }
    }

    fn string(&mut self, pair: Pair<'_, Rule>) -> Text {
        let mut parts = Vec::new();
        let mut literal = String::new();
        for pair in pair.into_inner() {
            match pair.as_rule() {
                Rule::string_text => literal.push_str(pair.as_str()),
                Rule::left_brace => literal.push('{'),
                Rule::right_brace => literal.push('}'),
                Rule::stray_brace => {
                    let reason = "a `}` without `{`".to_owned();
                    let kind = SyntaxErrorKind::MalformedText { reason, instead: Some("}}") };
                    self.report(self.span_of(&pair), kind);
                }
                Rule::escape => match literal::escape(pair.as_str()) {
                    Some(letter) => literal.push(letter),
                    None => {
                        let reason = format!("`{}` is no escape", pair.as_str());
                        let kind = SyntaxErrorKind::MalformedText { reason, instead: None };
                        self.report(self.span_of(&pair), kind);
                    }
                },
                Rule::hole => {
                    if !literal.is_empty() {
                        parts.push(TextPart::Literal(std::mem::take(&mut literal).into()));
                    }
                    parts.push(TextPart::Hole(self.hole(pair)));
                }
                _ => {}
            }
        }
        if !literal.is_empty() {
            parts.push(TextPart::Literal(literal.into()));
        }
        Text { parts }
    }

    fn hole(&self, pair: Pair<'_, Rule>) -> Hole {
        let span = self.span_of(&pair);
        let mut name = Name { text: "".into(), span };
        let mut format = None;
        for pair in pair.into_inner() {
            match pair.as_rule() {
                Rule::hole_path => name = self.name(&pair),
                Rule::hole_format => {
                    let place = pair.as_span();
                    let span = self.span(place.start(), place.end());
                    format = Some(Name { text: pair.as_str().into(), span });
                }
                _ => {}
            }
        }
        Hole { span, name, format }
    }

    /// The condition of an `expression` pair, or of one of the rules below it.
    pub(super) fn expression(&mut self, pair: Pair<'_, Rule>) -> Expression {
        let span = self.span_of(&pair);
        match pair.as_rule() {
            Rule::expression => self.joined(pair, Rule::conjunction, ExpressionKind::Or),
            Rule::conjunction => self.joined(pair, Rule::negation, ExpressionKind::And),
            Rule::negation => {
                let mut negations = 0;
                let mut operand = None;
                for pair in pair.into_inner() {
                    match pair.as_rule() {
                        Rule::not_word => negations += 1,
                        _ => operand = Some(self.comparison(pair)),
                    }
                }
                let operand = operand.unwrap_or(Expression { span, kind: ExpressionKind::Broken });
                // An even number of negations is none; so no chain of them is ever deep.
                if negations % 2 == 0 {
                    operand
                } else {
                    Expression { span, kind: ExpressionKind::Not(operand.into()) }
                }
            }
            _ => self.comparison(pair),
        }
    }

    fn joined(
        &mut self,
        pair: Pair<'_, Rule>,
        part: Rule,
        join: fn(Box<Expression>, Box<Expression>) -> ExpressionKind,
    ) -> Expression {
        let span = self.span_of(&pair);
        let pairs = pair.into_inner().filter(|pair| pair.as_rule() == part);
        let operands: Vec<Expression> = pairs.map(|pair| self.expression(pair)).collect();
        balanced(operands, join).unwrap_or(Expression { span, kind: ExpressionKind::Broken })
    }

    fn comparison(&mut self, pair: Pair<'_, Rule>) -> Expression {
        let span = self.span_of(&pair);
        let mut pairs = pair.into_inner();
        let Some(first) = pairs.next() else { return Expression { span, kind: ExpressionKind::Broken } };
        let left = self.value(first);
        let Some(operator) = pairs.next() else { return left };
        let kind = match operator.as_rule() {
            Rule::is_null => {
                let negated = operator.into_inner().any(|pair| pair.as_rule() == Rule::not_word);
                ExpressionKind::IsNull { operand: left.into(), negated }
            }
            Rule::comparator => {
                let comparator = comparator(operator.as_str());
                match pairs.next() {
                    Some(right) => ExpressionKind::Compare(comparator, left.into(), self.value(right).into()),
                    None => ExpressionKind::Broken,
                }
            }
            _ => {
                let place = self.span_of(&operator);
                self.report(place, SyntaxErrorKind::Later(Later::Operator(operator.as_str().to_owned())));
                ExpressionKind::Broken
            }
        };
        Expression { span, kind }
    }
}

/// Joins operands into a tree that is as deep as the logarithm of their number, so that a condition of
/// ten thousand operands is no deeper than a hand-written one.
fn balanced(
    mut operands: Vec<Expression>,
    join: fn(Box<Expression>, Box<Expression>) -> ExpressionKind,
) -> Option<Expression> {
    if operands.len() < 2 {
        return operands.pop();
    }
    let right = balanced(operands.split_off(operands.len() / 2), join)?;
    let left = balanced(operands, join)?;
    let span = left.span.to(right.span);
    Some(Expression { span, kind: join(left.into(), right.into()) })
}

fn raw_string(pair: Pair<'_, Rule>) -> Text {
    let text = pair.into_inner().find(|pair| pair.as_rule() == Rule::raw_text);
    let text = text.map(|pair| pair.as_str()).filter(|text| !text.is_empty());
    Text { parts: text.map(|text| TextPart::Literal(text.into())).into_iter().collect() }
}

fn is_punctuation(rule: Rule) -> bool {
    matches!(rule, Rule::comma | Rule::lbracket | Rule::rbracket)
}

fn comparator(text: &str) -> Comparator {
    match text {
        "==" => Comparator::Equal,
        "!=" => Comparator::NotEqual,
        "<" => Comparator::Less,
        "<=" => Comparator::LessOrEqual,
        ">" => Comparator::Greater,
        _ => Comparator::GreaterOrEqual,
    }
}
