//! Items: params, lets, components and what the library writes.

use pest::iterators::Pair;

use super::Builder;
use crate::Rule;
use crate::tree::{Block, Component, Enum, Extern, ItemKind, Let, Record, Role, Signature};

impl Builder<'_> {
    /// The item of an `…_item` pair.
    pub(crate) fn item(&mut self, pair: Pair<'_, Rule>) -> ItemKind {
        match pair.as_rule() {
            Rule::param_item => match pair.into_inner().find(|pair| pair.as_rule() == Rule::setting) {
                Some(setting) => ItemKind::Param(Box::new(self.setting(setting))),
                None => ItemKind::Broken(None),
            },
            Rule::let_item => self.let_item(pair),
            Rule::component_item => self.component(pair),
            Rule::extern_item => self.extern_item(pair),
            Rule::enum_item => self.enum_item(pair),
            Rule::record_item => self.record_item(pair),
            Rule::flow_item => ItemKind::Flow(self.flow(pair)),
            _ => ItemKind::Broken(None),
        }
    }

    fn let_item(&mut self, pair: Pair<'_, Rule>) -> ItemKind {
        let mut pairs = pair.into_inner();
        let name = self.next_name(&mut pairs);
        match pairs.find(|pair| pair.as_rule() != Rule::equals) {
            Some(value) => ItemKind::Let(Let { name, value: self.value(value) }),
            None => ItemKind::Broken(Some(name)),
        }
    }

    fn component(&mut self, pair: Pair<'_, Rule>) -> ItemKind {
        let whole = self.span_of(&pair);
        let mut pairs = pair.into_inner();
        let role = pairs.next().map_or(Role::Source, |pair| role(pair.as_str()));
        let name = self.next_name(&mut pairs);
        let kind = self.next_name(&mut pairs);
        let settings = match pairs.find(|pair| pair.as_rule() == Rule::block) {
            Some(block) => self.block(block),
            None => Block { span: whole, entries: Vec::new(), broken: true },
        };
        ItemKind::Component(Component { role, name, kind, settings })
    }

    fn extern_item(&mut self, pair: Pair<'_, Rule>) -> ItemKind {
        let mut pairs = pair.into_inner();
        let role =
            pairs.find(|pair| pair.as_rule() == Rule::role).map_or(Role::Source, |pair| role(pair.as_str()));
        let name = self.next_name(&mut pairs);
        let class = self.next_name(&mut pairs);
        let mut default = false;
        let mut signature = Signature::default();
        for pair in pairs {
            match pair.as_rule() {
                Rule::default_word => default = true,
                Rule::signature => signature = self.signature(pair),
                _ => {}
            }
        }
        ItemKind::Extern(Extern { role, name, class, default, signature })
    }

    fn enum_item(&mut self, pair: Pair<'_, Rule>) -> ItemKind {
        let mut pairs = pair.into_inner();
        let name = self.next_name(&mut pairs);
        let variants = pairs.find(|pair| pair.as_rule() == Rule::variants);
        let variants = variants.map(|pair| self.variants(pair)).unwrap_or_default();
        ItemKind::Enum(Enum { name, variants })
    }

    fn record_item(&mut self, pair: Pair<'_, Rule>) -> ItemKind {
        let mut pairs = pair.into_inner();
        let name = self.next_name(&mut pairs);
        let signature = pairs.find(|pair| pair.as_rule() == Rule::signature);
        let signature = signature.map(|pair| self.signature(pair)).unwrap_or_default();
        ItemKind::Record(Record { name, signature })
    }
}

fn role(word: &str) -> Role {
    match word {
        "channel" => Role::Channel,
        "sink" => Role::Sink,
        _ => Role::Source,
    }
}
