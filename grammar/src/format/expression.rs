//! Formats expressions.

use pest::iterators::Pair;

use super::brackets::is_in_brackets;
use super::document::Document;
use super::node::Nodes;
use crate::Rule;

/// An operand with the preceding operator.
struct Operand<'i> {
    operator: Option<Pair<'i, Rule>>,
    /// Prefixes (`not` and `-`), the value, and postfixes: indexes, calls, members, `is null`.
    parts: Vec<Pair<'i, Rule>>,
}

impl<'t> Nodes<'t, '_> {
    /// Formats a flat list of operands and operators.
    pub(super) fn operation(&mut self, children: Vec<Pair<'_, Rule>>) -> Document<'t> {
        let mut operands = vec![Operand { operator: None, parts: Vec::new() }];
        let mut in_operand = false;
        for child in children {
            let rule = child.as_rule();
            let is_sign = !in_operand && matches!(rule, Rule::not_word | Rule::sign);
            let follows = matches!(rule, Rule::index | Rule::member | Rule::arguments | Rule::is_test);
            if in_operand && !follows {
                operands.push(Operand { operator: Some(child), parts: Vec::new() });
                in_operand = false;
                continue;
            }
            in_operand |= !is_sign;
            if let Some(operand) = operands.last_mut() {
                operand.parts.push(child);
            }
        }
        self.operands(operands, Rule::or_word)
    }

    /// Formats operands with line breaks before each operator `loosest`, or else before operators of the next precedence.
    fn operands(&mut self, operands: Vec<Operand<'_>>, loosest: Rule) -> Document<'t> {
        let is_loosest =
            |operand: &Operand<'_>| operand.operator.as_ref().is_some_and(|pair| pair.as_rule() == loosest);
        if !operands.iter().skip(1).any(is_loosest) {
            return match loosest {
                Rule::or_word => self.operands(operands, Rule::and_word),
                _ => self.tight_operands(operands),
            };
        }
        let mut runs: Vec<Vec<Operand<'_>>> = Vec::new();
        for operand in operands {
            match runs.last_mut() {
                Some(run) if !is_loosest(&operand) => run.push(operand),
                _ => runs.push(vec![operand]),
            }
        }
        let mut parts = Vec::new();
        for mut run in runs {
            let operator = run.first_mut().and_then(|operand| operand.operator.take());
            let operator = operator.map(|operator| self.node(operator));
            let (start, end) = self.extent_of(&run);
            let run = self.commented(start, end, false, |nodes| nodes.operands(run, Rule::and_word));
            parts.push(match operator {
                Some(operator) => Document::indented(vec![Document::line(), operator, Document::Space, run]),
                None => run,
            });
        }
        Document::group(Document::sequence(parts), false)
    }

    /// Formats operands with operators that bind tighter than `and`; lines that are too long break after an operator.
    fn tight_operands(&mut self, operands: Vec<Operand<'_>>) -> Document<'t> {
        let mut parts = Vec::new();
        for operand in operands {
            let is_range = operand.operator.as_ref().is_some_and(|pair| pair.as_rule() == Rule::dots_equal);
            let operator = operand.operator.map(|operator| self.node(operator));
            let value = self.sequence(operand.parts);
            match operator {
                None => parts.push(value),
                Some(operator) if is_range => parts.extend([operator, value]),
                Some(operator) => {
                    let value = Document::indented(vec![Document::line(), value]);
                    parts.extend([Document::Space, operator, Document::group(value, false)]);
                }
            }
        }
        Document::sequence(parts)
    }

    /// Returns the offsets of the first token and of the end of the last token.
    fn extent_of(&self, operands: &[Operand<'_>]) -> (usize, usize) {
        let first = operands.first().and_then(|operand| operand.parts.first());
        let last = operands.last().and_then(|operand| operand.parts.last());
        let start = first.map_or(0, |pair| self.extent(pair).0);
        (start, last.map_or(start, |pair| self.extent(pair).1))
    }

    /// Formats `if a then b else if c then d else e`.
    pub(super) fn conditional(&mut self, children: Vec<Pair<'_, Rule>>) -> Document<'t> {
        let mut parts = Vec::new();
        let mut line = Vec::new();
        let mut last = None;
        for child in children {
            let rule = child.as_rule();
            if rule == Rule::else_word {
                let ended = Document::sequence(std::mem::take(&mut line));
                // The first line has the indentation of the statement.
                parts.push(if parts.is_empty() { ended } else { Document::indented(vec![ended]) });
                line.push(Document::line());
                line.push(self.node(child));
            } else if last == Some(Rule::then_word) {
                line.push(self.consequence(child));
            } else {
                if !line.is_empty() {
                    line.push(Document::Space);
                }
                line.push(self.node(child));
            }
            last = Some(rule);
        }
        parts.push(Document::indented(line));
        Document::group(Document::sequence(parts), false)
    }

    /// Formats `a | b => value`.
    pub(super) fn arm(&mut self, mut children: Vec<Pair<'_, Rule>>) -> Document<'t> {
        let value = children.pop();
        let mut parts = vec![self.sequence(children)];
        parts.extend(value.map(|value| self.consequence(value)));
        Document::sequence(parts)
    }

    /// Formats a value after `then` or `=>`: on the next line if it doesn't fit, unless it is in brackets.
    fn consequence(&mut self, value: Pair<'_, Rule>) -> Document<'t> {
        let in_brackets = is_in_brackets(&value);
        let value = self.node(value);
        if in_brackets {
            return Document::sequence(vec![Document::Space, value]);
        }
        Document::group(Document::indented(vec![Document::line(), value]), false)
    }
}
