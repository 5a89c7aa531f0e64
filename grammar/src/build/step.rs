//! Steps.

use pest::iterators::{Pair, Pairs};

use super::{Builder, is_name, is_text};
use crate::tree::{
    Argument, Call, Expression, ExpressionKind, Failure, Handler, Parse, Step, StepKind, Target,
};
use crate::{Rule, Span};

impl Builder<'_> {
    /// Builds the step of a `…_step` pair.
    pub(super) fn step(&mut self, pair: Pair<'_, Rule>) -> Step {
        let span = self.span_of(&pair);
        let rule = pair.as_rule();
        let handler = pair.clone().into_inner().find(|pair| pair.as_rule() == Rule::handler);
        let handler = handler.and_then(|pair| self.handler(pair)).map(Box::new);
        let because = pair.clone().into_inner().find(|pair| pair.as_rule() == Rule::because);
        let mut pairs = pair.into_inner();
        let kind = match rule {
            Rule::set_step => {
                let target = self.target(&mut pairs);
                StepKind::Set(target, self.next_expression(&mut pairs))
            }
            Rule::unset_step => StepKind::Unset(self.target(&mut pairs)),
            Rule::explode_step => StepKind::Explode(self.target(&mut pairs)),
            Rule::flatten_step => StepKind::Flatten(self.target(&mut pairs)),
            Rule::rename_step => {
                let from = self.target(&mut pairs);
                StepKind::Rename(from, self.target(&mut pairs))
            }
            Rule::select_step => {
                let targets = pairs.filter(|pair| pair.as_rule() == Rule::target);
                let targets = targets.map(|pair| self.next_name(&mut pair.into_inner())).collect();
                StepKind::Select(targets, self.has_blanked(span))
            }
            Rule::parse_step => StepKind::Parse(Box::new(self.parse_step(pairs))),
            Rule::keep_step => StepKind::Keep(self.next_expression(&mut pairs)),
            Rule::drop_step => StepKind::Drop(self.next_expression(&mut pairs)),
            Rule::reject_step if !pairs.clone().any(|pair| pair.as_rule() == Rule::expression) => {
                StepKind::RejectAll(because.and_then(|pair| self.because(pair)))
            }
            Rule::reject_step => {
                let condition = self.next_expression(&mut pairs);
                StepKind::Reject(condition, because.and_then(|pair| self.because(pair)))
            }
            Rule::check_step => StepKind::Check(self.next_path(&mut pairs)),
            Rule::let_step => {
                let name = self.next_name(&mut pairs);
                StepKind::Let(name, self.next_expression(&mut pairs))
            }
            Rule::throttle_step => StepKind::Throttle(self.next_expression(&mut pairs)),
            Rule::sample_step => StepKind::Sample(self.next_expression(&mut pairs)),
            Rule::dedupe_step => {
                let by = self.next_expression(&mut pairs);
                StepKind::Dedupe(by, self.next_expression(&mut pairs))
            }
            _ => {
                let function = self.next_path(&mut pairs);
                let arguments = pairs.find(|pair| pair.as_rule() == Rule::arguments);
                let arguments = arguments.map(|pair| self.arguments(pair, &mut 0)).unwrap_or_default();
                StepKind::Use(Call { function, arguments })
            }
        };
        Step { span, kind, handler }
    }

    fn target(&mut self, pairs: &mut Pairs<'_, Rule>) -> Target {
        let target = pairs.find(|pair| pair.as_rule() == Rule::target);
        match target {
            Some(pair) => self.next_name(&mut pair.into_inner()),
            None => self.next_name(pairs),
        }
    }

    fn handler(&mut self, pair: Pair<'_, Rule>) -> Option<Handler> {
        let whole = self.span_of(&pair);
        let mut start = whole;
        let mut failure = None;
        for pair in pair.into_inner() {
            match pair.as_rule() {
                Rule::else_word => start = self.span_of(&pair),
                Rule::reject_word => failure = Some(Failure::Reject),
                Rule::drop_word => failure = Some(Failure::Drop),
                Rule::expression => failure = Some(Failure::Value(self.expression(pair))),
                _ => {}
            }
        }
        Some(Handler { span: Span { start: start.start, ..whole }, failure: failure? })
    }

    fn parse_step(&mut self, mut pairs: Pairs<'_, Rule>) -> Parse {
        let function = self.next_path(&mut pairs);
        let (mut arguments, mut bare, mut schema, mut strict) = (Vec::new(), false, None, None);
        for pair in pairs {
            match pair.as_rule() {
                Rule::arguments => arguments = self.arguments(pair, &mut 0),
                rule if is_text(rule) => {
                    let span = self.span_of(&pair);
                    let value = Expression { span, kind: ExpressionKind::Text(self.text_of(pair)) };
                    arguments.push(Argument { name: None, value });
                    bare = true;
                }
                Rule::path => schema = Some(self.path(pair)),
                Rule::strict_word => strict = Some(self.span_of(&pair)),
                rule => debug_assert!(!is_name(rule), "a name stands in a path"),
            }
        }
        Parse { parser: Call { function, arguments }, bare, schema, strict }
    }
}
