//! Values: of settings, by their type, and in expressions about events.

use weir_grammar::tree::{
    Call, Expression, ExpressionKind, Failure, Item, ItemKind, Name, Node, Operator, Stage, Step, StepKind,
};
use weir_grammar::{FIELD_UNITS, RATE_UNITS, Span, UNITS};

use crate::completion::candidate::{Candidate, CandidateKind, Part};
use crate::completion::context::At;
use crate::completion::context::MARK;
use crate::completion::events::candidates;
use crate::completion::names::required;
use crate::expressions::tables::LOOKUP;
use crate::names::definitions::DefinitionKind;
use crate::signatures::{FunctionSignature, Named, ParameterSignature};
use crate::types::Type;
use crate::types::columns::Column;

impl At<'_> {
    /// Returns the type that the value at the mark must have, if a setting says it.
    fn expected(&self) -> Option<&(Type, bool)> {
        let span = Span { file: self.file, start: self.position, end: self.position + MARK.len() as u32 };
        let nodes = self.nodes();
        let around = nodes.iter().rev().filter_map(|node| match node {
            Node::Expression(expression) if expression.span.start == self.position => Some(expression.span),
            _ => None,
        });
        std::iter::once(span).chain(around).find_map(|span| self.analysis.notes.expected.get(&span))
    }

    /// Returns the values that fit at the mark.
    pub(super) fn values(&self, other: Option<(Operator, &Expression)>) -> Vec<Candidate> {
        if let Some((expected, optional)) = self.expected() {
            return self.of_type(expected, *optional);
        }
        if self
            .nodes()
            .iter()
            .any(|node| matches!(node, Node::Entry(entry) if &*entry.name.text == "quality"))
        {
            return self.qualities(None);
        }
        let wanted = other.and_then(|(operator, other)| match operator {
            Operator::In | Operator::Matches => None,
            _ => self.type_of(other.span),
        });
        self.expressions(wanted.as_ref())
    }

    /// Returns the rank of a column: lower for what the step names already, and for what nothing reads.
    pub(super) fn rank(&self, column: &Column) -> u8 {
        let nodes = self.nodes();
        let step = nodes.iter().rev().find_map(|node| match node {
            Node::Step(step) => Some(step.span),
            _ => None,
        });
        let own = |at: &Span| *at != column.declared && at.start != self.position;
        let uses = column.named.iter().flat_map(|named| self.analysis.notes.uses.of(*named)).filter(own);
        let uses: Vec<Span> = uses.collect();
        let in_step = step.is_some_and(|step| uses.iter().any(|at| step.contains(*at)));
        match (in_step, uses.is_empty()) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => 2,
        }
    }

    fn type_of(&self, span: Span) -> Option<Type> {
        let mut uses = self.analysis.uses_of(span);
        uses.find_map(|used| Some(self.analysis.types(span, used)?.first()?.value_type.clone()))
    }

    /// Returns the values that an expression may name.
    fn expressions(&self, wanted: Option<&Type>) -> Vec<Candidate> {
        let rank = |column: &Column| {
            let other_type = wanted.is_some_and(|wanted| !fits_beside(&column.value_type, wanted));
            u8::from(other_type) * 4 + self.rank(column)
        };
        // A declared name that no other place uses is a likely candidate.
        let (unused, others) = self.unused_constants();
        let mut found = self.likely_words();
        found.extend(self.locals());
        found.extend(unused);
        found.extend(candidates(&self.events(), &rank));
        found.extend(others);
        found.extend(self.functions(&|_| 0));
        found
    }

    /// Returns the params and lets of the file.
    pub(super) fn constants(&self) -> Vec<Candidate> {
        self.values_named(None)
    }

    /// Returns the params and lets without a use, and the others.
    fn unused_constants(&self) -> (Vec<Candidate>, Vec<Candidate>) {
        let definitions = self.analysis.visible_names(self.file, None);
        let used: Vec<&str> = definitions
            .iter()
            .filter(|definition| self.analysis.references(definition).next().is_some())
            .map(|definition| &*definition.name)
            .collect();
        let is_used = |candidate: &Candidate| used.contains(&candidate.name.as_str());
        self.constants().into_iter().partition(|candidate| !is_used(candidate))
    }

    /// Returns the words that are likely at the mark: patterns of a `match`, or the reaction to a failure.
    fn likely_words(&self) -> Vec<Candidate> {
        let is_mark = |expression: &Expression| expression.span.start == self.position;
        for node in self.nodes().iter().rev() {
            match node {
                Node::Handler(handler) => match &handler.failure {
                    Failure::Value(value) if is_mark(value) => return keywords(&["drop", "reject", "null"]),
                    _ => return Vec::new(),
                },
                Node::Expression(Expression { kind: ExpressionKind::Match(matching), .. }) => {
                    let patterns = || matching.arms.iter().flat_map(|arm| &arm.patterns);
                    let is_last = patterns().next_back().is_some_and(is_mark);
                    if patterns().any(is_mark) {
                        return keywords(if is_last { &["_", "null"] } else { &["null", "true", "false"] });
                    }
                }
                Node::Stage(Stage::Choice(choice)) => {
                    let is_last = choice.cases.last().is_some_and(|case| is_mark(&case.condition));
                    return if is_last { keywords(&["_"]) } else { Vec::new() };
                }
                _ => {}
            }
        }
        Vec::new()
    }

    pub(super) fn values_named(&self, qualifier: Option<&Name>) -> Vec<Candidate> {
        self.named(qualifier, |kind| match kind {
            DefinitionKind::Param => Some(CandidateKind::Param),
            DefinitionKind::Let => Some(CandidateKind::Let),
            DefinitionKind::Function if qualifier.is_some() => Some(CandidateKind::Function),
            DefinitionKind::Import if qualifier.is_none() => Some(CandidateKind::Import),
            _ => None,
        })
    }

    fn of_type(&self, expected: &Type, optional: bool) -> Vec<Candidate> {
        let mut found = Vec::new();
        match expected {
            Type::Bool => found.extend(keywords(&["true", "false"])),
            Type::Secret => found.extend(keywords(&["secret"])),
            Type::Named(name) => found.extend(self.of_named(name)),
            Type::List(item) => found.extend(self.of_type(item, false)),
            Type::Header => {
                let columns = self.columns();
                found.extend(columns.into_iter().filter(|candidate| candidate.name.starts_with('@')));
            }
            _ => {}
        }
        found.extend(self.constants());
        if optional {
            found.extend(keywords(&["null"]));
        }
        found
    }

    fn of_named(&self, name: &str) -> Vec<Candidate> {
        let Some(Named::Enum(variants)) = self.library.types.get(name) else { return Vec::new() };
        let variants = variants.iter().map(|variant| {
            let candidate = Candidate::new(&*variant.name.text, CandidateKind::Variant).detail(name);
            let candidate = match self.library.definitions.get(variant.name.span) {
                Some(definition) => candidate.documented(&definition.documentation),
                None => candidate,
            };
            match variant.group.as_ref().map(required).filter(|parts| !parts.is_empty()) {
                Some(parts) => candidate.parts(parts),
                None => candidate,
            }
        });
        variants.collect()
    }

    /// Returns the variants for a value that has settings.
    pub(super) fn variants(&self, span: Span) -> Vec<Candidate> {
        match self.analysis.notes.expected.get(&span) {
            Some((Type::Named(name), _)) => self.of_named(name),
            Some((Type::List(item), _)) => match &**item {
                Type::Named(name) => self.of_named(name),
                _ => Vec::new(),
            },
            _ => Vec::new(),
        }
    }

    /// Returns all functions: those that the program uses first, then by rank.
    fn functions(&self, rank: &dyn Fn(&FunctionSignature) -> u8) -> Vec<Candidate> {
        let mut found =
            self.named(None, |kind| (kind == DefinitionKind::Function).then_some(CandidateKind::Function));
        let mut library: Vec<_> = self.library.functions.values().collect();
        let uses = |signature: &FunctionSignature| self.analysis.notes.uses.of(signature.declared).count();
        library.sort_by_cached_key(|signature| {
            (rank(signature), std::cmp::Reverse(uses(signature)), signature.name.clone())
        });
        found.extend(library.into_iter().map(|signature| self.function(signature)));
        // The tables of lets are calls too.
        let in_let =
            self.nodes().iter().any(|node| matches!(node, Node::Item(Item { kind: ItemKind::Let(_), .. })));
        if in_let {
            found.insert(0, Candidate::new(LOOKUP, CandidateKind::Function));
        }
        found
    }

    /// Returns the functions that take the arguments of a call, those that fit best first.
    pub(super) fn functions_for(&self, call: &Call) -> Vec<Candidate> {
        if let Some(qualifier) = &call.function.qualifier {
            return self.named(Some(qualifier), |kind| {
                (kind == DefinitionKind::Function).then_some(CandidateKind::Function)
            });
        }
        let given: Vec<Option<Type>> =
            call.arguments.iter().map(|argument| self.type_of(argument.value.span)).collect();
        let accepts = |parameter: &ParameterSignature, given: &Option<Type>| {
            let fits = |wanted: &Type, given: &Type| match wanted {
                Type::Variable(_, bound) => bound.allows(given),
                Type::List(_) => matches!(given, Type::List(_)),
                Type::Map(_) => matches!(given, Type::Map(_)),
                wanted if wanted.is_textual() => given.is_textual(),
                wanted => wanted == given,
            };
            given.as_ref().is_none_or(|given| parameter.types.iter().any(|wanted| fits(wanted, given)))
        };
        let rank = |signature: &FunctionSignature| {
            let needed = signature.parameters.iter().filter(|parameter| parameter.default.is_none()).count();
            let count = (needed..=signature.parameters.len()).contains(&given.len());
            let names = call.arguments.iter().filter_map(|argument| argument.name.as_ref());
            let named =
                names.clone().all(|name| signature.parameters.iter().any(|own| *own.name == *name.text));
            let types = signature.parameters.iter().zip(&given).all(|(own, given)| accepts(own, given));
            u8::from(!(count && named)) * 2 + u8::from(!types)
        };
        self.functions(&rank)
    }

    /// Returns the values of an argument, and the names of the parameters that have none.
    pub(super) fn arguments(&self, call: &Call) -> Vec<Candidate> {
        let nodes = self.nodes();
        let parser = nodes.iter().any(|node| {
            matches!(node, Node::Step(Step { kind: StepKind::Parse(parse), .. }) if std::ptr::eq(&parse.parser, call))
        });
        let given = |name: &str| {
            call.arguments.iter().any(|argument| argument.name.as_ref().is_some_and(|own| &*own.text == name))
        };
        let name = &*call.function.name.text;
        if parser {
            let Some(parser) = self.library.parsers.get(name) else { return Vec::new() };
            let settings = parser.group.settings.iter().filter(|setting| !given(&setting.name.text));
            let settings = settings.map(|setting| {
                let required = setting.default.is_none() && !setting.optional;
                let detail = setting.value_type.named(setting.optional);
                Candidate::new(&*setting.name.text, CandidateKind::Setting { required }).detail(detail)
            });
            return settings.chain(self.values_of_argument(None)).collect();
        }
        let index = call.arguments.iter().position(|argument| argument.value.span.start == self.position);
        let signature = self.library.functions.get(name);
        let wanted = signature.and_then(|signature| signature.parameters.get(index?)?.types.first());
        let mut found = self.values_of_argument(wanted);
        let parameters = signature.iter().flat_map(|signature| &signature.parameters);
        let parameters = parameters.filter(|parameter| !given(&parameter.name));
        found.extend(parameters.map(|parameter| {
            let part = Part { name: parameter.name.to_string(), type_name: parameter.type_names() };
            Candidate::new(part.name.clone(), CandidateKind::Setting { required: false })
                .detail(part.type_name)
        }));
        found
    }

    fn values_of_argument(&self, wanted: Option<&Type>) -> Vec<Candidate> {
        match self.expected() {
            Some((expected, optional)) => self.of_type(expected, *optional),
            None => self.expressions(wanted.filter(|wanted| !matches!(wanted, Type::Variable(..)))),
        }
    }

    /// Returns the units that fit behind a number.
    pub(super) fn units(&self) -> Vec<Candidate> {
        let expected = self.expected().map(|(expected, _)| expected);
        let wanted = |name: &str| match (expected, name) {
            (Some(Type::Duration), name) => name == "durations",
            (Some(Type::Size), name) => name == "sizes",
            (Some(_), _) => false,
            (None, _) => true,
        };
        let mut units: Vec<&str> = UNITS
            .iter()
            .filter(|(name, _)| wanted(name))
            .flat_map(|(_, units)| units.iter().copied())
            .collect();
        match expected {
            Some(Type::Percent) => units.push("%"),
            Some(Type::EventRate) => units.push(RATE_UNITS[0]),
            Some(Type::ByteRate) => units.extend(RATE_UNITS[1..].iter().copied()),
            Some(_) => {}
            None => units.extend(RATE_UNITS.iter().copied().chain(["%"])),
        }
        units.into_iter().map(|unit| Candidate::new(unit, CandidateKind::Unit)).collect()
    }

    /// Returns the units in which a schema's durations may be numbers.
    pub(super) fn field_units(&self) -> Vec<Candidate> {
        FIELD_UNITS.iter().map(|unit| Candidate::new(*unit, CandidateKind::Unit)).collect()
    }
}

/// Returns whether values of two types may stand on both sides of an operator. A literal takes the other side's type.
fn fits_beside(one: &Type, other: &Type) -> bool {
    let is_number = |value_type: &Type| matches!(value_type, Type::Int | Type::Float | Type::Decimal(..));
    one == other || is_number(one) && is_number(other) || *other == Type::Text && one.is_textual()
}

fn keywords(words: &[&str]) -> Vec<Candidate> {
    words.iter().map(|word| Candidate::new(*word, CandidateKind::Keyword)).collect()
}
