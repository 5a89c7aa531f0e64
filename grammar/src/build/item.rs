//! Items of programs and of the library.

use pest::iterators::Pair;

use super::{Builder, is_text};
use crate::Rule;
use crate::tree::{
    Agent, Block, Component, Enum, Expression, ExpressionKind, Extern, ExternFunction, ExternParser, Field,
    FieldRule, Function, Import, Interceptor, ItemKind, Let, Quality, Record, Role, Schema, Signature,
};

impl Builder<'_> {
    /// Builds the item of an `…_item` pair.
    pub(crate) fn item(&mut self, pair: Pair<'_, Rule>) -> ItemKind {
        match pair.as_rule() {
            Rule::import_item => self.import(pair),
            Rule::param_item => match pair.into_inner().find(|pair| pair.as_rule() == Rule::setting) {
                Some(setting) => ItemKind::Param(Box::new(self.setting(setting))),
                None => ItemKind::Broken(None),
            },
            Rule::let_item => ItemKind::Let(self.let_line(pair)),
            Rule::schema_item => ItemKind::Schema(self.schema(pair)),
            Rule::component_item => self.component(pair),
            Rule::interceptor_item => ItemKind::Interceptor(self.interceptor(pair)),
            Rule::fn_item => ItemKind::Function(Box::new(self.function(pair))),
            Rule::quality_item => ItemKind::Quality(self.quality(pair)),
            Rule::flow_item => ItemKind::Flow(self.flow(pair)),
            Rule::test_item => ItemKind::Test(self.test(pair)),
            Rule::agent_item => {
                let block = pair.into_inner().find(|pair| pair.as_rule() == Rule::block);
                block.map_or(ItemKind::Broken(None), |pair| {
                    ItemKind::Agent(Agent { settings: self.block(pair) })
                })
            }
            Rule::extern_item => self.extern_item(pair),
            Rule::extern_parser_item => self.extern_parser(pair),
            Rule::extern_fn_item => ItemKind::ExternFunction(Box::new(self.extern_function(pair))),
            Rule::enum_item => self.enum_item(pair),
            Rule::record_item => self.record_item(pair),
            _ => ItemKind::Broken(None),
        }
    }

    fn import(&mut self, pair: Pair<'_, Rule>) -> ItemKind {
        let (mut path, mut alias) = (None, None);
        for pair in pair.into_inner() {
            match pair.as_rule() {
                rule if is_text(rule) => {
                    let span = self.span_of(&pair);
                    path = Some((self.plain_text(pair), span));
                }
                Rule::name => alias = Some(self.name(&pair)),
                _ => {}
            }
        }
        match path {
            Some((path, path_span)) => ItemKind::Import(Import { path, path_span, alias }),
            None => ItemKind::Broken(None),
        }
    }

    fn let_line(&mut self, pair: Pair<'_, Rule>) -> Let {
        let mut pairs = pair.into_inner();
        let name = self.next_name(&mut pairs);
        Let { name, value: self.next_expression(&mut pairs) }
    }

    fn schema(&mut self, pair: Pair<'_, Rule>) -> Schema {
        let whole = self.span_of(&pair);
        let mut pairs = pair.into_inner();
        let name = self.next_name(&mut pairs);
        let fields = pairs.filter(|pair| pair.as_rule() == Rule::field);
        let fields = fields.map(|pair| self.field(pair)).collect();
        Schema { name, fields, broken: self.has_blanked(whole) }
    }

    fn field(&mut self, pair: Pair<'_, Rule>) -> Field {
        let documentation = self.documentation(self.span_of(&pair).start);
        let mut pairs = pair.into_inner();
        let name = self.next_name(&mut pairs);
        let (mut type_name, mut sensitive, mut range, mut unit, mut pattern) = (None, None, None, None, None);
        for pair in pairs {
            let span = self.span_of(&pair);
            match pair.as_rule() {
                Rule::r#type => type_name = Some(self.type_name(pair)),
                Rule::sensitive_word => sensitive = Some(span),
                Rule::range => range = self.range(pair),
                Rule::name => unit = Some(self.name(&pair)),
                rule if is_text(rule) => {
                    pattern =
                        Some(Box::new(Expression { span, kind: ExpressionKind::Text(self.text_of(pair)) }));
                }
                _ => {}
            }
        }
        let type_name = type_name.unwrap_or_else(|| self.type_of_name(&name));
        Field { name, documentation, type_name, sensitive, range, unit, pattern }
    }

    fn component(&mut self, pair: Pair<'_, Rule>) -> ItemKind {
        let whole = self.span_of(&pair);
        let mut pairs = pair.into_inner();
        let role = next_role(&mut pairs);
        let name = self.next_name(&mut pairs);
        let kind = self.next_name(&mut pairs);
        let settings = match pairs.find(|pair| pair.as_rule() == Rule::block) {
            Some(block) => self.block(block),
            None => Block { span: whole, entries: Vec::new(), broken: true },
        };
        ItemKind::Component(Component { role, name, kind, settings })
    }

    fn interceptor(&mut self, pair: Pair<'_, Rule>) -> Interceptor {
        let whole = self.span_of(&pair);
        let mut pairs = pair.into_inner();
        let name = self.next_name(&mut pairs);
        let (mut parameters, mut steps) = (Vec::new(), Vec::new());
        for pair in pairs {
            match pair.as_rule() {
                Rule::parameters => parameters = self.parameters(pair),
                Rule::lbrace | Rule::rbrace | Rule::separator | Rule::EOI => {}
                _ => steps.push(self.step(pair)),
            }
        }
        Interceptor { name, parameters, steps, broken: self.has_blanked(whole) }
    }

    fn function(&mut self, pair: Pair<'_, Rule>) -> Function {
        let mut pairs = pair.into_inner();
        let name = self.next_name(&mut pairs);
        let (mut parameters, mut result) = (Vec::new(), None);
        let (mut lets, mut value) = (Vec::new(), None);
        for pair in pairs {
            match pair.as_rule() {
                Rule::parameters => parameters = self.parameters(pair),
                Rule::r#type => result = Some(self.type_name(pair)),
                Rule::fn_body => {
                    let span = self.span_of(&pair);
                    for pair in pair.into_inner() {
                        match pair.as_rule() {
                            Rule::fn_let => lets.push(self.let_line(pair)),
                            Rule::expression => value = Some(self.expression(pair)),
                            _ => {}
                        }
                    }
                    if value.is_none() {
                        self.missing_value(span);
                    }
                }
                _ => {}
            }
        }
        let value = value.unwrap_or_else(|| self.broken());
        let result = result.unwrap_or_else(|| self.type_of_name(&name));
        Function { name, parameters, result, lets, value }
    }

    /// Reports a body without a result, unless a syntax error in the body is reported already.
    fn missing_value(&mut self, body: crate::Span) {
        if !self.has_blanked(body) {
            let brace = crate::Span { start: body.end.saturating_sub(1), ..body };
            let expected = vec!["the function's result"];
            let found = "`}`".to_owned();
            self.report(brace, crate::error::SyntaxErrorKind::Unexpected { found, expected, hint: None });
        }
    }

    fn quality(&mut self, pair: Pair<'_, Rule>) -> Quality {
        let whole = self.span_of(&pair);
        let mut pairs = pair.into_inner();
        let name = self.next_name(&mut pairs);
        let mut rules = Vec::new();
        for pair in pairs.filter(|pair| pair.as_rule() == Rule::law) {
            let (mut name, mut condition, mut because) = (None, None, None);
            for pair in pair.into_inner() {
                match pair.as_rule() {
                    Rule::name => name = Some(self.name(&pair)),
                    Rule::expression => condition = Some(self.expression(pair)),
                    Rule::because => because = self.because(pair),
                    _ => {}
                }
            }
            rules.extend(condition.map(|condition| FieldRule { name, condition, because }));
        }
        Quality { name, rules, broken: self.has_blanked(whole) }
    }

    fn extern_item(&mut self, pair: Pair<'_, Rule>) -> ItemKind {
        let mut pairs = pair.into_inner();
        let role = next_role(&mut pairs);
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

    fn extern_parser(&mut self, pair: Pair<'_, Rule>) -> ItemKind {
        let mut pairs = pair.into_inner();
        let name = self.next_name(&mut pairs);
        let class = self.next_name(&mut pairs);
        let signature = pairs.find(|pair| pair.as_rule() == Rule::signature);
        let signature = signature.map(|pair| self.signature(pair)).unwrap_or_default();
        ItemKind::ExternParser(ExternParser { name, class, signature })
    }

    fn extern_function(&mut self, pair: Pair<'_, Rule>) -> ExternFunction {
        let mut pairs = pair.into_inner();
        let name = self.next_name(&mut pairs);
        let result = self.type_of_name(&name);
        let mut function = ExternFunction {
            name,
            type_parameters: Vec::new(),
            parameters: Vec::new(),
            result,
            range: None,
            varies: false,
            masks: false,
            fails: None,
        };
        for pair in pairs {
            match pair.as_rule() {
                Rule::type_parameters => function.type_parameters = self.type_parameters(pair),
                Rule::parameters => function.parameters = self.parameters(pair),
                Rule::r#type => function.result = self.type_name(pair),
                Rule::range => function.range = self.range(pair),
                Rule::fn_trait => {
                    for pair in pair.into_inner() {
                        match pair.as_rule() {
                            Rule::varies_word => function.varies = true,
                            Rule::masks_word => function.masks = true,
                            Rule::because => function.fails = self.because(pair),
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        function
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

fn next_role(pairs: &mut pest::iterators::Pairs<'_, Rule>) -> Role {
    let word = pairs.find(|pair| pair.as_rule() == Rule::role);
    match word.map_or("", |pair| pair.as_str()) {
        "channel" => Role::Channel,
        "sink" => Role::Sink,
        _ => Role::Source,
    }
}
