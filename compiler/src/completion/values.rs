//! Values: of settings, by their type, and in expressions about events.

use std::collections::BTreeMap;

use weir_grammar::tree::{
    Expression, ExpressionKind, Failure, Item, ItemKind, Name, Node, Operator, Stage, StepKind,
};
use weir_grammar::{FIELD_UNITS, RATE_UNITS, Span, UNITS};

use crate::completion::arguments::built_in;
use crate::completion::candidate::{Candidate, CandidateKind};
use crate::completion::context::At;
use crate::completion::context::MARK;
use crate::completion::events::{Found, candidates};
use crate::completion::names::required;
use crate::expressions::tables::LOOKUP;
use crate::names::definitions::DefinitionKind;
use crate::signatures::{FunctionSignature, Named};
use crate::types::Type;
use crate::types::columns::Column;
use crate::values::literals::number_type;

impl At<'_> {
    /// Returns the type that the value at the mark must have, if a setting says it.
    pub(super) fn expected(&self) -> Option<&(Type, bool)> {
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

    pub(super) fn type_of(&self, span: Span) -> Option<Type> {
        let mut uses = self.analysis.uses_of(span);
        uses.find_map(|used| Some(self.analysis.types(span, used)?.first()?.value_type.clone()))
    }

    /// Returns the values that an expression may name, those of a wanted type first.
    pub(super) fn expressions(&self, wanted: Option<&Type>) -> Vec<Candidate> {
        // A declared name that no other place uses is a likely candidate.
        let (unused, others) = self.unused_constants();
        let mut names = self.locals();
        names.extend(unused);
        names.extend(self.columns_for(wanted));
        names.extend(others);
        if let Some(wanted) = wanted {
            let (events, constants) = (self.events(), self.types_of_constants());
            names.sort_by_cached_key(|candidate| !fits(candidate, wanted, &events, &constants));
        }
        let mut found = self.likely_words();
        found.extend(names);
        let is_other = |result: &Type| {
            let known = wanted.filter(|_| !matches!(result, Type::Variable(..)));
            known.is_some_and(|wanted| !fits_beside(result, wanted))
        };
        found.extend(self.functions(&|signature| u8::from(is_other(&signature.result))));
        found
    }

    /// Returns candidates for all columns, those of a wanted type first.
    pub(super) fn columns_for(&self, wanted: Option<&Type>) -> Vec<Candidate> {
        let rank = |column: &Column| {
            let other_type = wanted.is_some_and(|wanted| !fits_beside(&column.value_type, wanted));
            u8::from(other_type) * 4 + self.rank(column)
        };
        candidates(&self.events(), &rank)
    }

    /// Returns the types of the file's params and lets by their names, where they are known.
    fn types_of_constants(&self) -> BTreeMap<&str, Type> {
        let items = self.analysis.modules.iter().flat_map(|module| &module.tree.items);
        let types = items.filter_map(|item| match &item.kind {
            ItemKind::Param(setting) => Some((setting.name.span, built_in(&setting.type_name)?)),
            ItemKind::Let(item) => {
                let value_type = match &item.value.kind {
                    ExpressionKind::Number(number) => number_type(*number),
                    _ => self.type_of(item.value.span)?,
                };
                Some((item.name.span, value_type))
            }
            _ => None,
        });
        let types: BTreeMap<Span, Type> = types.collect();
        let names = self.analysis.visible_names(self.file, None).into_iter();
        names.filter_map(|known| Some((&*known.name, types.get(&known.span)?.clone()))).collect()
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

    pub(super) fn of_type(&self, expected: &Type, optional: bool) -> Vec<Candidate> {
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
    pub(super) fn functions(&self, rank: &dyn Fn(&FunctionSignature) -> u8) -> Vec<Candidate> {
        // A constant has no functions: only the variables of the environment and tables are written as calls.
        let in_let =
            self.nodes().iter().any(|node| matches!(node, Node::Item(Item { kind: ItemKind::Let(_), .. })));
        if in_let {
            return [LOOKUP, "env"].map(|name| Candidate::new(name, CandidateKind::Function)).to_vec();
        }
        let mut found =
            self.named(None, |kind| (kind == DefinitionKind::Function).then_some(CandidateKind::Function));
        let mut library: Vec<_> = self.library.functions.values().collect();
        let uses = |signature: &FunctionSignature| self.analysis.notes.uses.of(signature.declared).count();
        library.sort_by_cached_key(|signature| {
            (rank(signature), std::cmp::Reverse(uses(signature)), signature.name.clone())
        });
        found.extend(library.into_iter().map(|signature| self.function(signature)));
        found
    }

    /// Returns the units that fit behind a number. With the expression on the other side of an operator.
    pub(super) fn units(&self, other: Option<(Operator, &Expression)>) -> Vec<Candidate> {
        let nodes = self.nodes();
        let step = nodes.iter().rev().find_map(|node| match node {
            Node::Step(step) => Some(&step.kind),
            _ => None,
        });
        let compared = other.filter(|(operator, _)| {
            !matches!(operator, Operator::Multiply | Operator::Divide | Operator::In | Operator::Matches)
        });
        let expected = self.expected().map(|(expected, _)| expected.clone());
        let expected = match (expected, step) {
            (None, Some(StepKind::Throttle(_))) => return units(&RATE_UNITS),
            (None, Some(StepKind::Sample(_))) => Some(Type::Percent),
            (None, Some(StepKind::Dedupe(_, within))) if within.span.start == self.position => {
                Some(Type::Duration)
            }
            (None, _) => compared.and_then(|(_, other)| self.type_of(other.span)),
            (expected, _) => expected,
        };
        let named = |wanted: &str| {
            let named = UNITS.iter().filter(|(name, _)| *name == wanted);
            named.flat_map(|(_, units)| units.iter().copied()).collect::<Vec<_>>()
        };
        match expected {
            Some(Type::Duration) => units(&named("durations")),
            Some(Type::Size) => units(&named("sizes")),
            Some(Type::Percent) => units(&["%"]),
            Some(Type::EventRate) => units(&RATE_UNITS[..1]),
            Some(Type::ByteRate) => units(&RATE_UNITS[1..]),
            // A time and a duration make a time.
            Some(Type::Time) if compared.is_some() => units(&named("durations")),
            Some(_) => Vec::new(),
            None => {
                let all = UNITS.iter().flat_map(|(_, units)| units.iter().copied());
                units(&all.chain(RATE_UNITS).chain(["%"]).collect::<Vec<_>>())
            }
        }
    }

    /// Returns the units in which a schema's durations may be numbers.
    pub(super) fn field_units(&self) -> Vec<Candidate> {
        FIELD_UNITS.iter().map(|unit| Candidate::new(*unit, CandidateKind::Unit)).collect()
    }
}

/// Returns whether a name may have a value of a type: true as well if its type is unknown.
fn fits(candidate: &Candidate, wanted: &Type, events: &Found, constants: &BTreeMap<&str, Type>) -> bool {
    let name = candidate.name.as_str();
    let own = match candidate.kind {
        CandidateKind::Field | CandidateKind::Header => {
            events.get(name).map(|column| column.value_type.clone())
        }
        CandidateKind::Local => Type::built_in(candidate.detail.trim_end_matches('?')),
        CandidateKind::Param | CandidateKind::Let => constants.get(name).cloned(),
        _ => None,
    };
    own.is_none_or(|own| fits_beside(&own, wanted))
}

/// Returns whether values of two types may stand on both sides of an operator. A literal takes the other side's type.
fn fits_beside(one: &Type, other: &Type) -> bool {
    let is_number = |value_type: &Type| matches!(value_type, Type::Int | Type::Float | Type::Decimal(..));
    one == other || is_number(one) && is_number(other) || *other == Type::Text && one.is_textual()
}

fn units(units: &[&str]) -> Vec<Candidate> {
    units.iter().map(|unit| Candidate::new(*unit, CandidateKind::Unit)).collect()
}

fn keywords(words: &[&str]) -> Vec<Candidate> {
    words.iter().map(|word| Candidate::new(*word, CandidateKind::Keyword)).collect()
}
