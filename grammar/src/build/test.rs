//! Tests of programs.

use pest::iterators::{Pair, Pairs};

use super::expression::operator_of;
use super::{Builder, is_text};
use crate::Rule;
use crate::tree::{Act, ActKind, Call, Expression, ExpressionKind, Fault, FileName, Operator, Row, Test};

impl Builder<'_> {
    pub(super) fn test(&mut self, pair: Pair<'_, Rule>) -> Test {
        let whole = self.span_of(&pair);
        let (mut title, mut title_span, mut acts) = (String::new(), whole, Vec::new());
        let (mut subject, mut subject_schema, mut params) = (None, None, Vec::new());
        for pair in pair.into_inner() {
            match pair.as_rule() {
                rule if is_text(rule) => {
                    title_span = self.span_of(&pair);
                    title = self.plain_text(pair);
                }
                Rule::send | Rule::expect | Rule::advance | Rule::fail | Rule::crash | Rule::for_each => {
                    acts.push(self.act(pair))
                }
                Rule::test_of => {
                    let schema = pair.clone().into_inner().find(|pair| pair.as_rule() == Rule::test_as);
                    subject_schema = schema.map(|pair| self.next_path(&mut pair.into_inner()));
                    subject = Some(self.subject_of_test(pair));
                }
                Rule::test_with => {
                    let entries = pair.into_inner().filter(|pair| pair.as_rule() == Rule::entry);
                    params.extend(entries.filter_map(|pair| self.entry(pair, &mut 0)));
                }
                _ => {}
            }
        }
        let broken = self.has_blanked(whole);
        Test { title, title_span, subject, subject_schema, params, acts, broken }
    }

    fn subject_of_test(&mut self, pair: Pair<'_, Rule>) -> Call {
        let mut pairs = pair.into_inner();
        let function = self.next_path(&mut pairs);
        let arguments = pairs.find(|pair| pair.as_rule() == Rule::arguments);
        let arguments = arguments.map(|pair| self.arguments(pair, &mut 0)).unwrap_or_default();
        Call { function, arguments }
    }

    fn act(&mut self, pair: Pair<'_, Rule>) -> Act {
        let span = self.span_of(&pair);
        let rule = pair.as_rule();
        let mut pairs = pair.into_inner();
        let kind = match rule {
            Rule::crash => ActKind::Crash,
            Rule::for_each => {
                let rows = pairs.filter(|pair| pair.as_rule() == Rule::row);
                ActKind::ForEach(rows.map(|pair| self.row(pair)).collect())
            }
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
            Rule::send => {
                let path = self.next_path(&mut pairs);
                let has_lines = pairs.clone().any(|pair| pair.as_rule() == Rule::lines_word);
                match (self.file_name(&pairs), has_lines) {
                    (Some(name), false) => ActKind::SendFile(path, name),
                    (Some(name), true) => ActKind::SendFileLines(path, name),
                    (None, false) => ActKind::Send(path, self.events(&mut pairs)),
                    (None, true) => ActKind::SendLines(path, self.events(&mut pairs)),
                }
            }
            _ => self.expectation(pairs),
        };
        Act { span, kind }
    }

    fn expectation(&mut self, mut pairs: Pairs<'_, Rule>) -> ActKind {
        let first = pairs.clone().find(|pair| pair.as_rule() != Rule::expect_word).map(|pair| pair.as_rule());
        match first {
            Some(Rule::no_word) => ActKind::ExpectNo(self.next_name(&mut pairs)),
            Some(Rule::order_word) => ActKind::ExpectOrder,
            Some(Rule::metric_word) => {
                let path = self.next_path(&mut pairs);
                let comparator = pairs.find(|pair| pair.as_rule() == Rule::comparator);
                let comparator = comparator.map(|pair| operator_of(pair.as_str()));
                let value = self.next_expression(&mut pairs);
                ActKind::ExpectMetric(path, comparator.unwrap_or(Operator::Equal), value)
            }
            _ => {
                let path = self.next_path(&mut pairs);
                let writes = pairs.clone().any(|pair| pair.as_rule() == Rule::writes_word);
                match self.file_name(&pairs) {
                    Some(name) => ActKind::ExpectFile(path, name),
                    None if writes => ActKind::ExpectWrites(path, self.events(&mut pairs)),
                    None => ActKind::Expect(path, self.events(&mut pairs)),
                }
            }
        }
    }

    fn row(&mut self, pair: Pair<'_, Rule>) -> Row {
        let span = self.span_of(&pair);
        let mut pairs = pair.into_inner();
        let given = self.next_expression(&mut pairs);
        Row { span, given, out: self.next_expression(&mut pairs) }
    }

    /// Returns the text among the pairs, if there is one.
    fn file_name(&mut self, pairs: &Pairs<'_, Rule>) -> Option<FileName> {
        let pair = pairs.clone().find(|pair| is_text(pair.as_rule()))?;
        let span = self.span_of(&pair);
        Some(FileName { text: self.plain_text(pair), span })
    }

    fn events(&mut self, pairs: &mut Pairs<'_, Rule>) -> Expression {
        let Some(pair) = pairs.find(|pair| pair.as_rule() == Rule::list) else { return self.broken() };
        let span = self.span_of(&pair);
        let items = pair.into_inner().filter(|pair| pair.as_rule() == Rule::expression);
        let items = items.map(|pair| self.expression(pair)).collect();
        Expression { span, kind: ExpressionKind::List(items) }
    }
}
