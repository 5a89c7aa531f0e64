//! Flows: promises, chains and branches.

use pest::iterators::Pair;

use super::Builder;
use crate::Rule;
use crate::tree::{Balance, Branch, Case, Chain, Choice, Copy, Failover, Flow, Promise, Stage};

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
                Rule::chains => chains = self.chains(pair),
                _ => {}
            }
        }
        Flow { name, promises, chains, broken: self.has_blanked(whole) }
    }

    fn promises(&mut self, pair: Pair<'_, Rule>) -> Vec<Promise> {
        let pairs = pair.into_inner().filter(|pair| pair.as_rule() == Rule::promise);
        let promises = pairs.map(|pair| {
            let span = self.span_of(&pair);
            let mut pairs = pair.into_inner();
            let name = self.next_name(&mut pairs);
            let (mut word, mut by, mut after_by) = (None, None, false);
            for pair in pairs {
                match pair.as_rule() {
                    Rule::by_word => after_by = true,
                    _ if after_by => by = Some(self.name(&pair)),
                    _ => word = Some(self.name(&pair)),
                }
            }
            Promise { name, word, by, span }
        });
        promises.collect()
    }

    /// Builds the chains inside this pair.
    fn chains(&mut self, pair: Pair<'_, Rule>) -> Vec<Chain> {
        let pairs = pair.into_inner().filter(|pair| pair.as_rule() == Rule::chain);
        pairs.map(|pair| self.chain(pair)).collect()
    }

    fn chain(&mut self, pair: Pair<'_, Rule>) -> Chain {
        let span = self.span_of(&pair);
        let pairs = pair.into_inner().filter(|pair| pair.as_rule() != Rule::arrow);
        Chain { span, stages: pairs.map(|pair| self.stage(pair)).collect() }
    }

    fn stage(&mut self, pair: Pair<'_, Rule>) -> Stage {
        let span = self.span_of(&pair);
        match pair.as_rule() {
            Rule::place => Stage::Name(self.path(pair)),
            Rule::copy => Stage::Copy(self.copy(pair)),
            Rule::choice => {
                let pairs = pair.into_inner().filter(|pair| pair.as_rule() == Rule::case);
                let cases = pairs.map(|pair| self.case(pair)).collect();
                Stage::Choice(Choice { span, cases, broken: self.has_blanked(span) })
            }
            Rule::balance => {
                let by =
                    pair.clone().into_inner().find(|pair| pair.as_rule() == Rule::expression_without_block);
                let by = by.and_then(|pair| pair.into_inner().next()).map(|subject| self.expression(subject));
                let broken = self.has_blanked(span);
                Stage::Balance(Balance { span, by, chains: self.chains(pair), broken })
            }
            Rule::failover => {
                let broken = self.has_blanked(span);
                Stage::Failover(Failover { span, chains: self.chains(pair), broken })
            }
            _ => Stage::Step(self.step(pair)),
        }
    }

    fn case(&mut self, pair: Pair<'_, Rule>) -> Case {
        let span = self.span_of(&pair);
        let mut pairs = pair.into_inner();
        let condition = self.next_expression(&mut pairs);
        let chain = pairs.find(|pair| pair.as_rule() == Rule::chain).map(|pair| self.chain(pair));
        Case { condition, chain: chain.unwrap_or(Chain { span, stages: Vec::new() }) }
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
