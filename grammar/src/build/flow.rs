//! Flows: promises, chains, steps and copies.

use pest::iterators::Pair;

use super::Builder;
use crate::Rule;
use crate::error::{Later, SyntaxErrorKind};
use crate::tree::{Branch, Chain, Copy, Expression, ExpressionKind, Flow, Promise, Stage, Step, StepKind};

impl Builder<'_> {
    pub(super) fn flow(&mut self, pair: Pair<'_, Rule>) -> Flow {
        let whole = self.span_of(&pair);
        let mut pairs = pair.into_inner();
        let name = self.next_name(&mut pairs);
        let mut promises = Vec::new();
        let mut chains = Vec::new();
        for pair in pairs {
            match pair.as_rule() {
                Rule::delivers => promises = self.promises(pair),
                Rule::chains => {
                    let pairs = pair.into_inner().filter(|pair| pair.as_rule() == Rule::chain);
                    chains = pairs.map(|pair| self.chain(pair)).collect();
                }
                _ => {}
            }
        }
        Flow { name, promises, chains, broken: self.has_blanked(whole) }
    }

    fn promises(&mut self, pair: Pair<'_, Rule>) -> Vec<Promise> {
        let pairs = pair.into_inner().filter(|pair| pair.as_rule() == Rule::promise);
        let promises = pairs.map(|pair| {
            let span = self.span_of(&pair);
            Promise { name: self.next_name(&mut pair.into_inner()), span }
        });
        promises.collect()
    }

    fn chain(&mut self, pair: Pair<'_, Rule>) -> Chain {
        let span = self.span_of(&pair);
        let pairs = pair.into_inner().filter(|pair| pair.as_rule() != Rule::arrow);
        Chain { span, stages: pairs.map(|pair| self.stage(pair)).collect() }
    }

    fn stage(&mut self, pair: Pair<'_, Rule>) -> Stage {
        let span = self.span_of(&pair);
        match pair.as_rule() {
            Rule::thing_name => Stage::Name(self.name(&pair)),
            Rule::keep => {
                let condition = pair.into_inner().find(|pair| pair.as_rule() == Rule::expression);
                let broken = Expression { span, kind: ExpressionKind::Broken };
                let condition = condition.map_or(broken, |pair| self.expression(pair));
                Stage::Step(Step { span, kind: StepKind::Keep(condition) })
            }
            Rule::copy => Stage::Copy(self.copy(pair)),
            Rule::later_step => {
                let first = pair.into_inner().next();
                let later = match first {
                    Some(word) if word.as_rule() == Rule::name => {
                        Later::Interceptor(word.as_str().to_owned())
                    }
                    Some(word) => Later::Step(word.as_str().trim_end().to_owned()),
                    None => Later::Step(String::new()),
                };
                self.report(span, SyntaxErrorKind::Later(later));
                Stage::Broken(span)
            }
            _ => Stage::Broken(span),
        }
    }

    fn copy(&mut self, pair: Pair<'_, Rule>) -> Copy {
        let span = self.span_of(&pair);
        let mut branches = Vec::new();
        for pair in pair.into_inner().filter(|pair| pair.as_rule() == Rule::branch) {
            let mut optional = false;
            for pair in pair.into_inner() {
                match pair.as_rule() {
                    Rule::optional_word => optional = true,
                    _ => {
                        let chain = self.chain(pair);
                        branches.push(Branch { optional, chain });
                    }
                }
            }
        }
        Copy { span, branches, broken: self.has_blanked(span) }
    }
}
