//! Signatures: settings, clauses, columns and types.

use pest::iterators::Pair;

use super::{Builder, is_text};
use crate::Rule;
use crate::tree::{
    Amount, AmountKind, Column, Exclusive, ExposesClause, Expression, ExpressionKind, Name, OrderClause,
    OutsideClause, Parameter, Path, Range, Requirement, Setting, Shortfall, Signature, TouchedClause,
    Touches, TypeName, TypeNameKind, TypeParameter, Variant,
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
                Rule::flat => {
                    let mut because = pair.into_inner().filter(|pair| pair.as_rule() == Rule::because);
                    signature.flat = because.next().and_then(|pair| self.because(pair));
                }
                Rule::loses | Rule::repeats => signature.shortfalls.extend(self.shortfall(pair)),
                Rule::orders => signature.orders.extend(self.order_clause(pair)),
                Rule::reads | Rule::writes => signature.outside.extend(self.outside_clause(pair)),
                Rule::touched => signature.touched.extend(self.touched_clause(pair)),
                Rule::exposes => signature.exposes.extend(self.exposes_clause(pair)),
                Rule::requires => signature.requires.extend(self.requirement(pair)),
                Rule::puts => signature.amounts.extend(self.amount(AmountKind::Puts, pair)),
                Rule::takes => signature.amounts.extend(self.amount(AmountKind::Takes, pair)),
                Rule::waits => signature.amounts.extend(self.amount(AmountKind::Waits, pair)),
                Rule::holds => signature.amounts.extend(self.amount(AmountKind::Holds, pair)),
                Rule::stores => signature.amounts.extend(self.amount(AmountKind::Stores, pair)),
                Rule::rolls => signature.amounts.extend(self.amount(AmountKind::Rolls, pair)),
                Rule::uses_memory => signature.amounts.extend(self.amount(AmountKind::Memory, pair)),
                Rule::uses_disk => signature.amounts.extend(self.amount(AmountKind::Disk, pair)),
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
        let (mut type_name, mut range, mut default, mut exclusive) = (None, None, None, None);
        let mut touches = Vec::new();
        for pair in pairs {
            match pair.as_rule() {
                Rule::r#type => type_name = Some(self.type_name(pair)),
                Rule::exclusive => {
                    let mut unless = None;
                    for pair in pair.into_inner() {
                        match pair.as_rule() {
                            Rule::range => range = self.range(pair),
                            Rule::expression => unless = Some(self.expression(pair)),
                            _ => {}
                        }
                    }
                    exclusive = Some(Exclusive { unless });
                }
                Rule::range => range = self.range(pair),
                Rule::touches => touches.extend(self.touches(pair)),
                Rule::expression => default = Some(self.expression(pair)),
                _ => {}
            }
        }
        let type_name = type_name.unwrap_or_else(|| self.type_of_name(&name));
        Setting { name, documentation, type_name, exclusive, range, touches, default }
    }

    pub(super) fn range(&mut self, pair: Pair<'_, Rule>) -> Option<Range> {
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
            Some(number) => self.signed(&number, span, negative),
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
        let mut pairs = pair.into_inner();
        let condition = self.next_expression(&mut pairs);
        let because = pairs.find(|pair| pair.as_rule() == Rule::because);
        let because = because.and_then(|pair| self.because(pair))?;
        Some(Requirement { span, condition, because })
    }

    fn shortfall(&mut self, pair: Pair<'_, Rule>) -> Option<Shortfall> {
        let loses = pair.as_rule() == Rule::loses;
        let (mut condition, mut unless, mut because) = (None, None, None);
        let mut is_exception = false;
        for pair in pair.into_inner() {
            match pair.as_rule() {
                Rule::unless_word => is_exception = true,
                Rule::expression if is_exception => unless = Some(self.expression(pair)),
                Rule::expression => condition = Some(self.expression(pair)),
                Rule::because => because = self.because(pair),
                _ => {}
            }
        }
        Some(Shortfall { loses, condition, unless, because: because? })
    }

    fn order_clause(&mut self, pair: Pair<'_, Rule>) -> Option<OrderClause> {
        let (mut name, mut by, mut condition, mut because) = (None, false, None, None);
        for pair in pair.into_inner() {
            match pair.as_rule() {
                Rule::by_word => by = true,
                Rule::name | Rule::header => name = Some(self.name(&pair)),
                Rule::expression => condition = Some(self.expression(pair)),
                Rule::because => because = self.because(pair),
                _ => {}
            }
        }
        Some(OrderClause { name: name?, by, condition, because: because? })
    }

    fn outside_clause(&mut self, pair: Pair<'_, Rule>) -> Option<OutsideClause> {
        let reads = pair.as_rule() == Rule::reads;
        let mut names = pair.into_inner().filter(|pair| pair.as_rule() == Rule::name);
        let name = names.next().map(|pair| self.name(&pair))?;
        let within = names.next().map(|pair| self.name(&pair));
        Some(OutsideClause { reads, name, within })
    }

    fn touches(&mut self, pair: Pair<'_, Rule>) -> Option<Touches> {
        let (mut kind, mut condition) = (None, None);
        for pair in pair.into_inner() {
            match pair.as_rule() {
                Rule::name => kind = Some(self.name(&pair)),
                Rule::expression => condition = Some(self.expression(pair)),
                _ => {}
            }
        }
        Some(Touches { kind: kind?, condition })
    }

    fn touched_clause(&mut self, pair: Pair<'_, Rule>) -> Option<TouchedClause> {
        let (mut kind, mut what, mut condition) = (None, None, None);
        for pair in pair.into_inner() {
            match pair.as_rule() {
                Rule::name => kind = Some(self.name(&pair)),
                Rule::expression => condition = Some(self.expression(pair)),
                rule if is_text(rule) => {
                    let span = self.span_of(&pair);
                    what = Some(Name { text: self.plain_text(pair).into(), span });
                }
                _ => {}
            }
        }
        Some(TouchedClause { kind: kind?, what: what?, condition })
    }

    fn exposes_clause(&mut self, pair: Pair<'_, Rule>) -> Option<ExposesClause> {
        let (mut what, mut condition, mut because) = (None, None, None);
        for pair in pair.into_inner() {
            match pair.as_rule() {
                Rule::name => what = Some(self.name(&pair)),
                Rule::expression => condition = Some(self.expression(pair)),
                Rule::because => because = self.because(pair),
                _ => {}
            }
        }
        Some(ExposesClause { what: what?, condition, because: because? })
    }

    fn amount(&mut self, kind: AmountKind, pair: Pair<'_, Rule>) -> Option<Amount> {
        let (mut most, mut condition, mut because) = (None, None, None);
        for pair in pair.into_inner() {
            match pair.as_rule() {
                Rule::expression if most.is_none() => most = Some(self.expression(pair)),
                Rule::expression => condition = Some(self.expression(pair)),
                Rule::because => because = self.because(pair),
                _ => {}
            }
        }
        Some(Amount { kind, most: most?, condition, because: because? })
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

    /// Returns the type that consists of a name.
    pub(super) fn type_of_name(&self, name: &Name) -> TypeName {
        let path = Path { qualifier: None, name: name.clone() };
        TypeName { span: name.span, optional: false, kind: TypeNameKind::Name(path) }
    }

    pub(super) fn type_name(&mut self, pair: Pair<'_, Rule>) -> TypeName {
        let span = self.span_of(&pair);
        let mut optional = false;
        let mut path = None;
        let (mut item, mut argument, mut sizes) = (None, None, Vec::new());
        for pair in pair.into_inner() {
            match pair.as_rule() {
                Rule::question => optional = true,
                Rule::path => path = Some(self.path(pair)),
                Rule::list_type => item = self.inner_type(pair),
                Rule::type_argument => argument = self.inner_type(pair),
                Rule::type_sizes => {
                    for pair in pair.into_inner() {
                        let span = self.span_of(&pair);
                        match pair.as_rule() {
                            Rule::number => sizes.push(Box::new(self.signed(&pair, span, false))),
                            Rule::name => {
                                let kind = ExpressionKind::Name(self.name(&pair).text);
                                sizes.push(Box::new(Expression { span, kind }));
                            }
                            _ => {}
                        }
                    }
                }
                _ => {}
            }
        }
        let mut sizes = sizes.into_iter();
        let path = path.unwrap_or(Path { qualifier: None, name: Name { text: "".into(), span } });
        let kind = match (item, argument, sizes.next(), sizes.next()) {
            (Some(item), ..) => TypeNameKind::List(item),
            (_, Some(argument), ..) => TypeNameKind::Applied(path.name, argument),
            (_, _, Some(first), Some(second)) => TypeNameKind::Sized(path.name, first, second),
            _ => TypeNameKind::Name(path),
        };
        TypeName { span, optional, kind }
    }

    fn inner_type(&mut self, pair: Pair<'_, Rule>) -> Option<Box<TypeName>> {
        let inner =
            pair.into_inner().find(|pair| matches!(pair.as_rule(), Rule::r#type | Rule::argument_type));
        inner.map(|pair| Box::new(self.type_name(pair)))
    }

    pub(super) fn parameters(&mut self, pair: Pair<'_, Rule>) -> Vec<Parameter> {
        let pairs = pair.into_inner().filter(|pair| pair.as_rule() == Rule::parameter);
        let mut parameters = Vec::new();
        for pair in pairs {
            let mut pairs = pair.into_inner();
            let name = self.next_name(&mut pairs);
            let mut parameter = Parameter { name, field: false, types: Vec::new(), default: None };
            for pair in pairs {
                match pair.as_rule() {
                    Rule::field_word => parameter.field = true,
                    Rule::r#type => parameter.types.push(self.type_name(pair)),
                    Rule::expression => parameter.default = Some(self.expression(pair)),
                    _ => {}
                }
            }
            parameters.push(parameter);
        }
        parameters
    }

    pub(super) fn type_parameters(&mut self, pair: Pair<'_, Rule>) -> Vec<TypeParameter> {
        let pairs = pair.into_inner().filter(|pair| pair.as_rule() == Rule::type_parameter);
        let parameters = pairs.map(|pair| {
            let mut pairs = pair.into_inner();
            let name = self.next_name(&mut pairs);
            TypeParameter { name, bound: self.next_name(&mut pairs) }
        });
        parameters.collect()
    }
}
