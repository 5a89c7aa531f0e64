//! Signatures: settings, clauses, columns and types.

use pest::iterators::Pair;

use super::Builder;
use crate::Rule;
use crate::tree::{
    Column, Expression, ExpressionKind, Range, Requirement, Setting, Signature, TypeName, TypeNameKind,
    Variant,
};

impl Builder<'_> {
    pub(super) fn signature(&mut self, pair: Pair<'_, Rule>) -> Signature {
        let mut signature = Signature::default();
        for pair in pair.into_inner() {
            match pair.as_rule() {
                Rule::setting => {
                    let setting = self.setting(pair);
                    signature.settings.push(setting);
                }
                Rule::emits => signature.emits = Some(self.columns(pair)),
                Rule::needs => signature.needs = Some(self.columns(pair)),
                Rule::requires => signature.requires.extend(self.requirement(pair)),
                _ => {}
            }
        }
        signature
    }

    pub(super) fn setting(&mut self, pair: Pair<'_, Rule>) -> Setting {
        let whole = self.span_of(&pair);
        let documentation = self.documentation(whole.start);
        let mut pairs = pair.into_inner();
        let name = self.next_name(&mut pairs);
        let mut type_name = None;
        let mut range = None;
        let mut default = None;
        for pair in pairs {
            match pair.as_rule() {
                Rule::colon | Rule::equals | Rule::in_word => {}
                Rule::r#type => type_name = Some(self.type_name(pair)),
                Rule::range => range = self.range(pair),
                _ => default = Some(self.value(pair)),
            }
        }
        let type_name = type_name.unwrap_or_else(|| TypeName {
            span: name.span,
            optional: false,
            kind: TypeNameKind::Name(name.clone()),
        });
        Setting { name, documentation, type_name, range, default }
    }

    fn range(&mut self, pair: Pair<'_, Rule>) -> Option<Range> {
        let span = self.span_of(&pair);
        let mut bounds = Vec::new();
        let mut inclusive = false;
        for pair in pair.into_inner() {
            match pair.as_rule() {
                Rule::dots_equal => inclusive = true,
                Rule::bound => bounds.push(self.bound(pair)),
                _ => {}
            }
        }
        let mut bounds = bounds.into_iter();
        Some(Range { span, least: bounds.next()?, greatest: bounds.next(), inclusive })
    }

    fn bound(&mut self, pair: Pair<'_, Rule>) -> Expression {
        let negative = pair.clone().into_inner().any(|pair| pair.as_rule() == Rule::minus);
        let span = self.span_of(&pair);
        match pair.into_inner().find(|pair| pair.as_rule() == Rule::number) {
            Some(number) => self.number(&number, span, negative),
            None => Expression { span, kind: ExpressionKind::Broken },
        }
    }

    fn columns(&mut self, pair: Pair<'_, Rule>) -> Vec<Column> {
        let columns = pair.into_inner().filter(|pair| pair.as_rule() == Rule::columns);
        let columns = columns.flat_map(Pair::into_inner).filter(|pair| pair.as_rule() == Rule::column);
        let mut read = Vec::new();
        for pair in columns {
            let documentation = self.documentation(self.span_of(&pair).start);
            let mut pairs = pair.into_inner();
            let name = self.next_name(&mut pairs);
            if let Some(type_pair) = pairs.find(|pair| pair.as_rule() == Rule::r#type) {
                let type_name = self.type_name(type_pair);
                read.push(Column { name, documentation, type_name });
            }
        }
        read
    }

    fn requirement(&mut self, pair: Pair<'_, Rule>) -> Option<Requirement> {
        let span = self.span_of(&pair);
        let mut condition = None;
        let mut reason = None;
        for pair in pair.into_inner() {
            match pair.as_rule() {
                Rule::expression => condition = Some(self.expression(pair)),
                Rule::string => {
                    let span = self.span_of(&pair);
                    reason = Some((pair.as_str().trim_matches('"').to_owned(), span));
                }
                _ => {}
            }
        }
        let (reason, reason_span) = reason?;
        Some(Requirement { span, condition: condition?, reason, reason_span })
    }

    pub(super) fn variants(&mut self, pair: Pair<'_, Rule>) -> Vec<Variant> {
        let mut variants = Vec::new();
        for pair in pair.into_inner().filter(|pair| pair.as_rule() == Rule::variant) {
            let documentation = self.documentation(self.span_of(&pair).start);
            let mut pairs = pair.into_inner();
            let name = self.next_name(&mut pairs);
            let signature = pairs.find(|pair| pair.as_rule() == Rule::signature);
            let signature = signature.map(|pair| self.signature(pair));
            variants.push(Variant { name, documentation, signature });
        }
        variants
    }

    pub(super) fn type_name(&mut self, pair: Pair<'_, Rule>) -> TypeName {
        let span = self.span_of(&pair);
        let mut optional = false;
        let mut name = None;
        let mut inner = None;
        for pair in pair.into_inner() {
            match pair.as_rule() {
                Rule::question => optional = true,
                Rule::name => name = Some(self.name(&pair)),
                Rule::list_type | Rule::type_argument => {
                    let argument = pair.into_inner().find(|pair| pair.as_rule() == Rule::r#type);
                    inner = argument.map(|pair| Box::new(self.type_name(pair)));
                }
                _ => {}
            }
        }
        let kind = match (name, inner) {
            (Some(name), None) => TypeNameKind::Name(name),
            (Some(name), Some(argument)) => TypeNameKind::Applied(name, argument),
            (None, Some(item)) => TypeNameKind::List(item),
            (None, None) => TypeNameKind::Name(crate::tree::Name { text: "".into(), span }),
        };
        TypeName { span, optional, kind }
    }
}
