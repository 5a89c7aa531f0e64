//! The kind of word that fits at the mark, found in the syntax tree.

use weir_grammar::tree::{
    self, Act, ActKind, Block, Call, Component, Expression, ExpressionKind, Item, ItemKind, Name, Node,
    Operator, Path, Stage, Step, StepKind, TypeNameKind, nodes_at,
};
use weir_grammar::{FileId, Span};

use crate::analysis::Analysis;
use crate::completion::candidate::{Candidate, CandidateKind};
use crate::signatures::Library;

/// The name that stands for the wanted word.
pub(super) const MARK: &str = "completed__here";

/// The kind of word that fits at the mark. Names may have a qualifier, the name of an import.
#[derive(Debug, Clone)]
pub(super) enum Wanted<'t> {
    /// Nothing is known.
    Nothing,
    /// The kind of a component.
    Kind(&'t Component),
    /// The name of a setting or of a field of a record.
    Setting(&'t Block),
    /// A value: an expression. With the expression on the other side of an operator.
    Value(Option<(Operator, &'t Expression)>),
    /// A variant with settings.
    Variant(Span),
    /// A part of a value, or a name of an imported file.
    Member(&'t Expression),
    /// A function, whose arguments are known.
    Function(&'t Call),
    /// `env` or `file` of a secret.
    Secret,
    /// The name of a parameter, or a value.
    Parameter(&'t Call),
    /// A hole of a text.
    Hole,
    /// A field or header that a step changes.
    Target,
    /// A component, step or interceptor in a chain: whether it begins the chain.
    Stage(Option<&'t Name>, bool),
    /// An interceptor in a chain, which has arguments.
    Interceptor(Option<&'t Name>),
    Parser,
    Schema(Option<&'t Name>),
    Quality(Option<&'t Name>),
    /// A type, in this kind of item.
    Type(Option<&'t Name>, &'t Item),
    /// The only type that has such parts.
    TypeWith(&'static str),
    /// A promise of a flow.
    Promise,
    /// The field or header by which events are ordered.
    OrderKey(&'t tree::Flow),
    /// A unit of a field.
    FieldUnit,
    /// A component to which a test sends events, or which it makes fail; true for one that it reads.
    TestComponent(bool),
}

/// A place in a program, with all that is known about it.
pub(super) struct At<'a> {
    pub(super) analysis: &'a Analysis,
    pub(super) library: &'a Library,
    pub(super) file: FileId,
    pub(super) tree: &'a tree::File,
    pub(super) position: u32,
    /// Whether the mark takes the place of a unit.
    pub(super) number: bool,
}

/// Returns whether the tree says what is wanted.
pub(super) fn is_known(file: &tree::File, _item: &Item, position: u32) -> bool {
    !matches!(Wanted::of(file, position), Wanted::Nothing)
}

impl<'t> Wanted<'t> {
    /// Returns what is wanted at a mark.
    pub(super) fn of(file: &'t tree::File, position: u32) -> Wanted<'t> {
        let nodes = nodes_at(file, position);
        let is_mark = |name: &Name| name.span.start == position && &*name.text == MARK;
        let mut wanted = Wanted::Nothing;
        for (index, node) in nodes.iter().enumerate() {
            let outer = &nodes[..index];
            let found = match node {
                Node::Item(item) => of_item(item, &is_mark),
                Node::Entry(entry) if is_mark(&entry.name) => {
                    outer.iter().rev().find_map(|node| match node {
                        Node::Block(block) => Some(Wanted::Setting(block)),
                        _ => None,
                    })
                }
                Node::Expression(expression) => of_expression(expression, outer, position, &is_mark),
                Node::Call(call) if is_mark(&call.function.name) => Some(of_call(call, outer)),
                Node::Argument(argument) if argument.name.as_ref().is_some_and(is_mark) => {
                    innermost_call(outer).map(Wanted::Parameter)
                }
                Node::Hole(hole) if hole.name.span.start == position => Some(Wanted::Hole),
                Node::Target(target) if is_mark(target) => Some(Wanted::Target),
                Node::Path(path) if is_mark(&path.name) => outer.iter().rev().find_map(|node| match node {
                    Node::Step(Step { kind: StepKind::Check(_), .. }) => {
                        Some(Wanted::Quality(path.qualifier.as_ref()))
                    }
                    Node::Step(_) => Some(Wanted::Schema(path.qualifier.as_ref())),
                    _ => None,
                }),
                Node::Type(type_name) => match (&type_name.kind, outer.first()) {
                    (TypeNameKind::Name(path), Some(Node::Item(item))) if is_mark(&path.name) => {
                        Some(Wanted::Type(path.qualifier.as_ref(), item))
                    }
                    (TypeNameKind::Applied(name, _), _) if is_mark(name) => Some(Wanted::TypeWith("Map")),
                    (TypeNameKind::Sized(name, ..), _) if is_mark(name) => Some(Wanted::TypeWith("Decimal")),
                    _ => None,
                },
                Node::Field(field) if field.unit.as_ref().is_some_and(is_mark) => Some(Wanted::FieldUnit),
                Node::Stage(Stage::Name(path)) if is_mark(&path.name) => {
                    Some(Wanted::Stage(path.qualifier.as_ref(), begins_chain(outer, path)))
                }
                Node::Act(act) => of_act(act, &is_mark),
                _ => None,
            };
            if let Some(found) = found {
                wanted = found;
            }
        }
        wanted
    }

    /// Returns whether the candidates depend on the events or on what is expected at the mark.
    pub(super) fn needs_analysis(&self) -> bool {
        !matches!(
            self,
            Wanted::Nothing
                | Wanted::Kind(_)
                | Wanted::Secret
                | Wanted::Stage(..)
                | Wanted::Interceptor(_)
                | Wanted::Parser
                | Wanted::Schema(_)
                | Wanted::Quality(_)
                | Wanted::Type(..)
                | Wanted::TypeWith(_)
                | Wanted::Promise
                | Wanted::FieldUnit
                | Wanted::TestComponent(_)
        )
    }
}

fn of_item<'t>(item: &'t Item, is_mark: &dyn Fn(&Name) -> bool) -> Option<Wanted<'t>> {
    match &item.kind {
        ItemKind::Component(component) if is_mark(&component.kind) => Some(Wanted::Kind(component)),
        ItemKind::Flow(flow) => flow.promises.iter().find_map(|promise| {
            let by = promise.by.as_ref().is_some_and(is_mark);
            let word = is_mark(&promise.name) || promise.word.as_ref().is_some_and(is_mark);
            if by { Some(Wanted::OrderKey(flow)) } else { word.then_some(Wanted::Promise) }
        }),
        _ => None,
    }
}

fn of_expression<'t>(
    expression: &'t Expression,
    outer: &[Node<'t>],
    position: u32,
    is_mark: &dyn Fn(&Name) -> bool,
) -> Option<Wanted<'t>> {
    match &expression.kind {
        ExpressionKind::Name(name) if **name == *MARK && expression.span.start == position => {
            let other = outer.iter().rev().find_map(|node| match node {
                Node::Expression(Expression {
                    kind: ExpressionKind::Binary(operator, left, right), ..
                }) => {
                    let other = if left.span == expression.span { right } else { left };
                    Some((*operator, &**other))
                }
                _ => None,
            });
            let argument = matches!(outer.last(), Some(Node::Argument(_)));
            match innermost_call(outer).filter(|_| argument) {
                Some(call) => Some(Wanted::Parameter(call)),
                None => Some(Wanted::Value(other)),
            }
        }
        ExpressionKind::Variant(name, _) if is_mark(name) => Some(Wanted::Variant(expression.span)),
        ExpressionKind::Member(inner, name) if is_mark(name) => Some(Wanted::Member(inner)),
        _ => None,
    }
}

fn innermost_call<'t>(outer: &[Node<'t>]) -> Option<&'t Call> {
    outer.iter().rev().find_map(|node| match node {
        Node::Call(call) => Some(*call),
        _ => None,
    })
}

fn of_call<'t>(call: &'t Call, outer: &[Node<'t>]) -> Wanted<'t> {
    match outer.last() {
        Some(Node::Step(Step { kind: StepKind::Use(_), .. })) => {
            Wanted::Interceptor(call.function.qualifier.as_ref())
        }
        Some(Node::Step(_)) => Wanted::Parser,
        Some(Node::Expression(Expression { kind: ExpressionKind::Secret(_), .. })) => Wanted::Secret,
        _ => Wanted::Function(call),
    }
}

fn of_act<'t>(act: &'t Act, is_mark: &dyn Fn(&Name) -> bool) -> Option<Wanted<'t>> {
    let marked = |path: &Path| is_mark(&path.name);
    match &act.kind {
        ActKind::Send(path, _)
        | ActKind::SendLines(path, _)
        | ActKind::SendFile(path, _)
        | ActKind::SendFileLines(path, _)
        | ActKind::Fail(path, _)
            if marked(path) =>
        {
            Some(Wanted::TestComponent(false))
        }
        ActKind::Expect(path, _) | ActKind::ExpectWrites(path, _) | ActKind::ExpectFile(path, _)
            if marked(path) =>
        {
            Some(Wanted::TestComponent(true))
        }
        _ => None,
    }
}

/// Returns whether a stage is the first of a chain that is not a branch.
fn begins_chain(outer: &[Node<'_>], path: &Path) -> bool {
    let chains = outer.iter().filter_map(|node| match node {
        Node::Chain(chain) => Some(*chain),
        _ => None,
    });
    let chains: Vec<&tree::Chain> = chains.collect();
    matches!(chains.as_slice(), [only] if only.span.start == path.span().start)
}

impl At<'_> {
    /// Returns the candidates for what is wanted, the likeliest first.
    pub(super) fn candidates(&self, wanted: &Wanted<'_>) -> Vec<Candidate> {
        match wanted {
            Wanted::Nothing => Vec::new(),
            Wanted::Kind(component) => self.kinds(component.role),
            Wanted::Setting(block) => self.settings(block),
            Wanted::Value(other) if self.number => self.units(*other),
            Wanted::Hole if self.number => self.units(None),
            Wanted::Value(other) => self.values(*other),
            Wanted::Variant(span) => self.variants(*span),
            Wanted::Member(inner) => self.members(inner),
            Wanted::Function(call) => self.functions_for(call),
            Wanted::Secret => self.secrets(),
            Wanted::Parameter(_) if self.number => self.units(None),
            Wanted::Parameter(call) => self.arguments(call),
            Wanted::Hole => self.holes(),
            Wanted::Target => self.columns(),
            Wanted::Stage(qualifier, first) => self.stages(*qualifier, *first),
            Wanted::Interceptor(qualifier) => self.interceptors(*qualifier),
            Wanted::Parser => self.parsers(),
            Wanted::Schema(qualifier) => self.schemas(*qualifier),
            Wanted::Quality(qualifier) => self.qualities(*qualifier),
            Wanted::Type(qualifier, item) => self.types(*qualifier, item),
            Wanted::TypeWith(name) => vec![Candidate::new(*name, CandidateKind::Type)],
            Wanted::Promise => self.promises(),
            Wanted::OrderKey(flow) => self.order_keys(flow),
            Wanted::FieldUnit => self.field_units(),
            Wanted::TestComponent(reads) => self.test_components(*reads),
        }
    }

    /// Returns the nodes around the mark, the outermost first.
    pub(super) fn nodes(&self) -> Vec<Node<'_>> {
        nodes_at(self.tree, self.position)
    }
}
