//! The fields and headers of the events at the mark.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_grammar::Span;
use weir_grammar::tree::{self, ItemKind, Node, Stage, Step, StepKind};

use crate::analysis::expressions::UseId;
use crate::completion::candidate::{Candidate, CandidateKind};
use crate::completion::context::At;
use crate::types::Type;
use crate::types::columns::{Column, Columns};

/// The columns at a place by name.
pub(super) type Found = BTreeMap<Arc<str>, Column>;

impl At<'_> {
    /// Returns the columns of the events at the mark; those of all uses in an interceptor or a quality.
    pub(super) fn events(&self) -> Found {
        let nodes = self.nodes();
        let mut found = Found::new();
        for node in nodes.iter().rev() {
            match node {
                Node::Step(step) => {
                    self.add(step.span, true, &mut found);
                    return found;
                }
                // A condition of a `match` is between two stages.
                Node::Chain(chain) if self.before_stage(chain, &mut found) => return found,
                Node::Item(item) => match &item.kind {
                    ItemKind::Component(component) => {
                        let own = self.analysis.graph.components.iter();
                        let own = own.filter(|own| own.declared.span == component.name.span);
                        own.filter_map(|own| own.events.as_ref())
                            .for_each(|events| extend(&mut found, events));
                    }
                    ItemKind::Quality(quality) => {
                        for (_, used) in self.analysis.uses().filter(|(_, used)| used.of == quality.name.span)
                        {
                            self.add(used.at, true, &mut found);
                        }
                    }
                    _ => {}
                },
                _ => {}
            }
        }
        found
    }

    /// Adds the events before the stage of a chain that contains the mark. Returns whether the chain knows them.
    fn before_stage(&self, chain: &tree::Chain, found: &mut Found) -> bool {
        let here = |stage: &Stage| stage.span().start <= self.position && self.position <= stage.span().end;
        let Some(index) = chain.stages.iter().position(here) else { return false };
        let Some(before) = index.checked_sub(1).map(|before| &chain.stages[before]) else { return false };
        self.add(before.span(), false, found);
        true
    }

    fn add(&self, place: Span, before: bool, found: &mut Found) {
        let events = self.analysis.all_events().filter(|(span, ..)| *span == place);
        for (_, _, events) in events {
            let columns = if before { &events.before } else { &events.after };
            columns.iter().for_each(|columns| extend(found, columns));
        }
    }

    /// Returns candidates for all columns, fields first.
    pub(super) fn columns(&self) -> Vec<Candidate> {
        candidates(&self.events(), &|column| self.rank(column))
    }

    /// Returns what may fill a hole: columns, params and lets.
    pub(super) fn holes(&self) -> Vec<Candidate> {
        let mut found = self.columns();
        found.extend(self.locals());
        found.extend(self.constants());
        found
    }

    /// Returns the names that steps and functions before the mark have bound: parameters and lets.
    pub(super) fn locals(&self) -> Vec<Candidate> {
        let mut found = Vec::new();
        for node in self.nodes() {
            match node {
                Node::Item(item) => match &item.kind {
                    ItemKind::Interceptor(interceptor) => {
                        found.extend(parameters(&interceptor.parameters));
                        self.lets(interceptor.steps.iter(), &mut found);
                    }
                    ItemKind::Function(function) => {
                        found.extend(parameters(&function.parameters));
                        let before = |item: &&tree::Let| item.value.span.end <= self.position;
                        let lets = function.lets.iter().filter(before);
                        found.extend(lets.map(|item| Candidate::new(&*item.name.text, CandidateKind::Local)));
                    }
                    _ => {}
                },
                Node::Chain(chain) => {
                    let steps = chain.stages.iter().filter_map(|stage| match stage {
                        Stage::Step(step) => Some(step),
                        _ => None,
                    });
                    self.lets(steps, &mut found);
                }
                _ => {}
            }
        }
        found.reverse();
        found
    }

    fn lets<'s>(&self, steps: impl Iterator<Item = &'s Step>, found: &mut Vec<Candidate>) {
        for step in steps.filter(|step| step.span.end <= self.position) {
            if let StepKind::Let(name, value) = &step.kind {
                let types = self.analysis.types(value.span, UseId::NONE).unwrap_or_default();
                let detail =
                    types.first().map(|found| found.value_type.named(found.optional)).unwrap_or_default();
                found.push(Candidate::new(&*name.text, CandidateKind::Local).detail(detail));
            }
        }
    }

    /// Returns the columns by which a flow may order its events.
    pub(super) fn order_keys(&self, flow: &tree::Flow) -> Vec<Candidate> {
        let mut found = Found::new();
        for chain in &flow.chains {
            if let Some(first) = chain.stages.first() {
                self.add(first.span(), false, &mut found);
            }
        }
        candidates(&found, &|_| 0)
    }

    /// Returns the parts of a record, or the names of an imported file.
    pub(super) fn members(&self, inner: &tree::Expression) -> Vec<Candidate> {
        let schema = self.analysis.uses_of(inner.span).find_map(|used| {
            let types = self.analysis.types(inner.span, used)?;
            types.iter().find_map(|found| match &found.value_type {
                Type::Schema(schema) => Some(schema.clone()),
                _ => None,
            })
        });
        if let Some(schema) = schema {
            let fields = schema.fields.iter().map(|field| {
                Candidate::new(&*field.name, CandidateKind::Field)
                    .detail(field.value_type.named(field.optional))
            });
            return fields.collect();
        }
        match &inner.kind {
            tree::ExpressionKind::Name(name) => {
                let name = tree::Name { text: name.clone(), span: inner.span };
                self.values_named(Some(&name))
            }
            _ => Vec::new(),
        }
    }
}

fn extend(found: &mut Found, columns: &Columns) {
    for (name, column) in &columns.columns {
        // Placeholders of unknown fields have a blank.
        if !name.contains(' ') {
            found.entry(name.clone()).or_insert_with(|| column.clone());
        }
    }
}

/// Returns candidates for columns: those of a lower rank first, then fields, then headers.
pub(super) fn candidates(found: &Found, rank: &dyn Fn(&Column) -> u8) -> Vec<Candidate> {
    let mut columns: Vec<_> = found.iter().filter(|(_, column)| !column.attached).collect();
    columns.sort_by_key(|(name, column)| (rank(column), name.starts_with('@'), column.declared));
    let candidates = columns.into_iter().map(|(name, column)| {
        let kind = if name.starts_with('@') { CandidateKind::Header } else { CandidateKind::Field };
        let sensitive = if column.sensitive { " sensitive" } else { "" };
        Candidate::new(&**name, kind)
            .detail(format!("{}{sensitive}", column.value_type.named(column.optional)))
    });
    candidates.collect()
}

fn parameters(parameters: &[tree::Parameter]) -> impl Iterator<Item = Candidate> {
    parameters.iter().map(|parameter| Candidate::new(&*parameter.name.text, CandidateKind::Parameter))
}
