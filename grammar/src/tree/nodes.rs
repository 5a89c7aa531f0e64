//! A walk over the nodes of a tree, for what asks which nodes are at a place.

use super::{
    Act, ActKind, Argument, Block, Call, Chain, Entry, Expression, ExpressionKind, Failure, Field, File,
    Flow, Handler, Hole, Item, ItemKind, Parameter, Path, Setting, Stage, Step, StepKind, Target, Test,
    TextPart, TypeName, TypeNameKind,
};
use crate::Span;

/// A node of a tree.
#[derive(Debug, Clone, Copy)]
pub enum Node<'t> {
    /// An item.
    Item(&'t Item),
    /// A block of settings, or a record.
    Block(&'t Block),
    /// An entry of a block.
    Entry(&'t Entry),
    /// An expression.
    Expression(&'t Expression),
    /// The call of a function, of an interceptor or of a parser.
    Call(&'t Call),
    /// An argument of a call.
    Argument(&'t Argument),
    /// A hole in a text.
    Hole(&'t Hole),
    /// The name of a type.
    Type(&'t TypeName),
    /// A param, or a setting of a signature.
    Setting(&'t Setting),
    /// A parameter of a function or an interceptor.
    Parameter(&'t Parameter),
    /// A field of a schema.
    Field(&'t Field),
    /// A chain of a flow.
    Chain(&'t Chain),
    /// A stage of a chain.
    Stage(&'t Stage),
    /// A step.
    Step(&'t Step),
    /// The field or header that a step changes.
    Target(&'t Target),
    /// The schema of a `parse` or the quality of a `check`.
    Path(&'t Path),
    /// The reaction to a failure.
    Handler(&'t Handler),
    /// A line of a test.
    Act(&'t Act),
}

impl Node<'_> {
    /// Returns the place of the node.
    pub fn span(&self) -> Span {
        match self {
            Node::Item(item) => item.span,
            Node::Block(block) => block.span,
            Node::Entry(entry) => entry.name.span.to(entry.value.span),
            Node::Expression(expression) => expression.span,
            Node::Call(call) => match call.arguments.last() {
                Some(last) => call.function.span().to(last.value.span),
                None => call.function.span(),
            },
            Node::Argument(argument) => match &argument.name {
                Some(name) => name.span.to(argument.value.span),
                None => argument.value.span,
            },
            Node::Hole(hole) => hole.span,
            Node::Type(type_name) => type_name.span,
            Node::Setting(setting) => match &setting.default {
                Some(default) => setting.name.span.to(default.span),
                None => setting.name.span.to(setting.type_name.span),
            },
            Node::Parameter(parameter) => {
                let last = parameter.types.last().map_or(parameter.name.span, |last| last.span);
                parameter.name.span.to(parameter.default.as_ref().map_or(last, |default| default.span))
            }
            Node::Field(field) => {
                let parts = [
                    field.sensitive,
                    field.range.as_ref().map(|range| range.span),
                    field.unit.as_ref().map(|unit| unit.span),
                    field.pattern.as_ref().map(|pattern| pattern.span),
                ];
                let ends = parts.into_iter().flatten().chain([field.type_name.span]);
                field.name.span.to(ends.max_by_key(|span| span.end).unwrap_or(field.name.span))
            }
            Node::Chain(chain) => chain.span,
            Node::Stage(stage) => stage.span(),
            Node::Step(step) => step.span,
            Node::Target(target) => target.span,
            Node::Path(path) => path.span(),
            Node::Handler(handler) => handler.span,
            Node::Act(act) => act.span,
        }
    }
}

/// Calls `visit` for all nodes of a file, each before its parts. A node whose `visit` returns false has its parts left out.
pub fn walk<'t>(file: &'t File, visit: &mut dyn FnMut(Node<'t>) -> bool) {
    file.items.iter().for_each(|item| Walk { visit }.item(item));
}

/// Returns the nodes that contain a position, the outermost first.
pub fn nodes_at(file: &File, position: u32) -> Vec<Node<'_>> {
    let mut found = Vec::new();
    walk(file, &mut |node| {
        let span = node.span();
        let contains = span.start <= position && position <= span.end;
        if contains {
            found.push(node);
        }
        // The place of a call ends before its closing parenthesis, but that of its arguments does not.
        contains || matches!(node, Node::Call(_))
    });
    found
}

struct Walk<'v, 't> {
    visit: &'v mut dyn FnMut(Node<'t>) -> bool,
}

impl<'t> Walk<'_, 't> {
    fn item(&mut self, item: &'t Item) {
        if !(self.visit)(Node::Item(item)) {
            return;
        }
        match &item.kind {
            ItemKind::Param(setting) => self.setting(setting),
            ItemKind::Let(item) => self.expression(&item.value),
            ItemKind::Schema(schema) => schema.fields.iter().for_each(|field| self.field(field)),
            ItemKind::Component(component) => self.block(&component.settings),
            ItemKind::Interceptor(interceptor) => {
                interceptor.parameters.iter().for_each(|parameter| self.parameter(parameter));
                interceptor.steps.iter().for_each(|step| self.step(step));
            }
            ItemKind::Function(function) => {
                function.parameters.iter().for_each(|parameter| self.parameter(parameter));
                self.type_name(&function.result);
                function.lets.iter().for_each(|item| self.expression(&item.value));
                self.expression(&function.value);
            }
            ItemKind::Quality(quality) => {
                quality.rules.iter().for_each(|rule| self.expression(&rule.condition));
            }
            ItemKind::Flow(flow) => self.flow(flow),
            ItemKind::Test(test) => self.test(test),
            ItemKind::Agent(agent) => self.block(&agent.settings),
            ItemKind::Extern(item) => self.settings(&item.signature.settings),
            ItemKind::ExternParser(item) => self.settings(&item.signature.settings),
            ItemKind::Record(item) => self.settings(&item.signature.settings),
            ItemKind::ExternFunction(function) => {
                function.parameters.iter().for_each(|parameter| self.parameter(parameter));
                self.type_name(&function.result);
            }
            ItemKind::Enum(item) => {
                let signatures = item.variants.iter().filter_map(|variant| variant.signature.as_ref());
                signatures.for_each(|signature| self.settings(&signature.settings));
            }
            ItemKind::Import(_) | ItemKind::Broken(_) => {}
        }
    }

    fn settings(&mut self, settings: &'t [Setting]) {
        settings.iter().for_each(|setting| self.setting(setting));
    }

    fn setting(&mut self, setting: &'t Setting) {
        if (self.visit)(Node::Setting(setting)) {
            self.type_name(&setting.type_name);
            setting.default.iter().for_each(|default| self.expression(default));
        }
    }

    fn field(&mut self, field: &'t Field) {
        if (self.visit)(Node::Field(field)) {
            self.type_name(&field.type_name);
        }
    }

    fn parameter(&mut self, parameter: &'t Parameter) {
        if (self.visit)(Node::Parameter(parameter)) {
            parameter.types.iter().for_each(|type_name| self.type_name(type_name));
            parameter.default.iter().for_each(|default| self.expression(default));
        }
    }

    fn type_name(&mut self, type_name: &'t TypeName) {
        if !(self.visit)(Node::Type(type_name)) {
            return;
        }
        if let TypeNameKind::List(item) | TypeNameKind::Applied(_, item) = &type_name.kind {
            self.type_name(item);
        }
    }

    fn block(&mut self, block: &'t Block) {
        if !(self.visit)(Node::Block(block)) {
            return;
        }
        for entry in &block.entries {
            if (self.visit)(Node::Entry(entry)) {
                self.expression(&entry.value);
            }
        }
    }

    fn call(&mut self, call: &'t Call) {
        if !(self.visit)(Node::Call(call)) {
            return;
        }
        for argument in &call.arguments {
            if (self.visit)(Node::Argument(argument)) {
                self.expression(&argument.value);
            }
        }
    }

    fn expression(&mut self, expression: &'t Expression) {
        use ExpressionKind as Kind;
        if !(self.visit)(Node::Expression(expression)) {
            return;
        }
        match &expression.kind {
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Name(_) | Kind::Header(_) | Kind::Broken => {
            }
            Kind::Text(text) => {
                for part in &text.parts {
                    if let TextPart::Hole(hole) = part {
                        (self.visit)(Node::Hole(hole));
                    }
                }
            }
            Kind::List(items) | Kind::And(items) | Kind::Or(items) => {
                items.iter().for_each(|item| self.expression(item));
            }
            Kind::Record(block) | Kind::Variant(_, block) => self.block(block),
            Kind::Call(call) | Kind::Secret(call) => self.call(call),
            Kind::Member(inner, _) | Kind::Paren(inner) | Kind::Negate(inner) | Kind::Not(inner) => {
                self.expression(inner);
            }
            Kind::Index(left, right) | Kind::Otherwise(left, right) | Kind::Binary(_, left, right) => {
                self.expression(left);
                self.expression(right);
            }
            Kind::Is(is) => self.expression(&is.operand),
            Kind::If(conditional) => {
                for (condition, value) in &conditional.cases {
                    self.expression(condition);
                    self.expression(value);
                }
                self.expression(&conditional.otherwise);
            }
            Kind::Match(matching) => {
                matching.subject.iter().for_each(|subject| self.expression(subject));
                for arm in &matching.arms {
                    arm.patterns.iter().for_each(|pattern| self.expression(pattern));
                    self.expression(&arm.value);
                }
            }
        }
    }

    fn flow(&mut self, flow: &'t Flow) {
        flow.chains.iter().for_each(|chain| self.chain(chain));
    }

    fn chain(&mut self, chain: &'t Chain) {
        if !(self.visit)(Node::Chain(chain)) {
            return;
        }
        for stage in &chain.stages {
            if !(self.visit)(Node::Stage(stage)) {
                continue;
            }
            match stage {
                Stage::Name(_) => {}
                Stage::Step(step) => self.step(step),
                Stage::Copy(copy) => copy.branches.iter().for_each(|branch| self.chain(&branch.chain)),
                Stage::Choice(choice) => {
                    for case in &choice.cases {
                        self.expression(&case.condition);
                        self.chain(&case.chain);
                    }
                }
                Stage::Balance(balance) => {
                    balance.by.iter().for_each(|by| self.expression(by));
                    balance.chains.iter().for_each(|chain| self.chain(chain));
                }
                Stage::Failover(failover) => failover.chains.iter().for_each(|chain| self.chain(chain)),
            }
        }
    }

    fn step(&mut self, step: &'t Step) {
        if !(self.visit)(Node::Step(step)) {
            return;
        }
        match &step.kind {
            StepKind::Set(target, value) => {
                self.target(target);
                self.expression(value);
            }
            StepKind::Unset(target) | StepKind::Explode(target) | StepKind::Flatten(target) => {
                self.target(target)
            }
            StepKind::Rename(from, to) => {
                self.target(from);
                self.target(to);
            }
            StepKind::Select(targets, _) => targets.iter().for_each(|target| self.target(target)),
            StepKind::Parse(parse) => {
                self.call(&parse.parser);
                parse.schema.iter().for_each(|schema| self.path(schema));
            }
            StepKind::Check(path) => self.path(path),
            StepKind::Keep(value)
            | StepKind::Drop(value)
            | StepKind::Reject(value, _)
            | StepKind::Let(_, value)
            | StepKind::Throttle(value)
            | StepKind::Sample(value) => self.expression(value),
            StepKind::RejectAll(_) => {}
            StepKind::Dedupe(by, within) => {
                self.expression(by);
                self.expression(within);
            }
            StepKind::Use(call) => self.call(call),
        }
        if let Some(handler) = &step.handler
            && (self.visit)(Node::Handler(handler))
            && let Failure::Value(value) = &handler.failure
        {
            self.expression(value);
        }
    }

    fn target(&mut self, target: &'t Target) {
        (self.visit)(Node::Target(target));
    }

    fn path(&mut self, path: &'t Path) {
        (self.visit)(Node::Path(path));
    }

    fn test(&mut self, test: &'t Test) {
        test.subject.iter().for_each(|subject| self.call(subject));
        test.subject_schema.iter().for_each(|schema| self.path(schema));
        for param in &test.params {
            if (self.visit)(Node::Entry(param)) {
                self.expression(&param.value);
            }
        }
        test.acts.iter().for_each(|act| self.act(act));
    }

    fn act(&mut self, act: &'t Act) {
        if !(self.visit)(Node::Act(act)) {
            return;
        }
        match &act.kind {
            ActKind::Send(_, value)
            | ActKind::SendLines(_, value)
            | ActKind::Expect(_, value)
            | ActKind::ExpectWrites(_, value)
            | ActKind::Advance(value) => self.expression(value),
            ActKind::ExpectMetric(_, _, value) => self.expression(value),
            ActKind::ForEach(rows) => {
                for row in rows {
                    self.expression(&row.given);
                    self.expression(&row.out);
                }
            }
            ActKind::SendFile(..)
            | ActKind::SendFileLines(..)
            | ActKind::ExpectFile(..)
            | ActKind::ExpectNo(_)
            | ActKind::ExpectOrder
            | ActKind::Fail(..)
            | ActKind::Crash => {}
        }
    }
}
