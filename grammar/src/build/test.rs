//! Tests of programs.

use pest::iterators::Pair;

use super::{Builder, is_text};
use crate::Rule;
use crate::tree::{Act, ActKind, Expression, ExpressionKind, Fault, Test};

impl Builder<'_> {
    pub(super) fn test(&mut self, pair: Pair<'_, Rule>) -> Test {
        let whole = self.span_of(&pair);
        let (mut title, mut title_span, mut acts) = (String::new(), whole, Vec::new());
        for pair in pair.into_inner() {
            match pair.as_rule() {
                rule if is_text(rule) => {
                    title_span = self.span_of(&pair);
                    title = self.plain_text(pair);
                }
                Rule::send | Rule::expect | Rule::advance | Rule::fail | Rule::crash => {
                    acts.push(self.act(pair))
                }
                _ => {}
            }
        }
        Test { title, title_span, acts, broken: self.has_blanked(whole) }
    }

    fn act(&mut self, pair: Pair<'_, Rule>) -> Act {
        let span = self.span_of(&pair);
        let rule = pair.as_rule();
        let mut pairs = pair.into_inner();
        let kind = match rule {
            Rule::crash => ActKind::Crash,
            Rule::advance => ActKind::Advance(self.next_expression(&mut pairs)),
            Rule::fail => {
                let path = self.next_path(&mut pairs);
                let mut fault = None;
                for pair in pairs {
                    let span = self.span_of(&pair);
                    match pair.as_rule() {
                        Rule::number => fault = Some(Fault::Times(self.signed(&pair, span, false))),
                        Rule::name => fault = Some(Fault::Named(self.name(&pair))),
                        _ => {}
                    }
                }
                ActKind::Fail(path, fault.unwrap_or(Fault::Times(self.broken())))
            }
            _ => {
                if let Some(pair) = pairs.peek().filter(|pair| pair.as_rule() == Rule::expect_word) {
                    debug_assert!(!pair.as_str().is_empty());
                    pairs.next();
                }
                match pairs.peek().map(|pair| pair.as_rule()) {
                    Some(Rule::no_word) => ActKind::ExpectNo(self.next_name(&mut pairs)),
                    _ => {
                        let path = self.next_path(&mut pairs);
                        let events = self.events(&mut pairs);
                        if rule == Rule::send {
                            ActKind::Send(path, events)
                        } else {
                            ActKind::Expect(path, events)
                        }
                    }
                }
            }
        };
        Act { span, kind }
    }

    fn events(&mut self, pairs: &mut pest::iterators::Pairs<'_, Rule>) -> Expression {
        let Some(pair) = pairs.find(|pair| pair.as_rule() == Rule::list) else { return self.broken() };
        let span = self.span_of(&pair);
        let items = pair.into_inner().filter(|pair| pair.as_rule() == Rule::expression);
        let items = items.map(|pair| self.expression(pair)).collect();
        Expression { span, kind: ExpressionKind::List(items) }
    }
}
