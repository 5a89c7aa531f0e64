//! Files and their items.

use super::{
    Because, Block, Comment, Enum, Expression, Extern, ExternFunction, ExternParser, Flow, Name, Parameter,
    Range, Record, Setting, Step, Test, TypeName,
};
use crate::Span;

/// A file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct File {
    /// The file's doc comment (`//!`) without the marks.
    pub documentation: String,
    /// The items in the order of the text.
    pub items: Vec<Item>,
    /// All comments, in the order of the text. The other nodes contain no comments.
    pub comments: Vec<Comment>,
}

/// One item of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The place of the item, without its comments.
    pub span: Span,
    /// The doc comment without the marks; empty if it has none.
    pub documentation: String,
    /// The kind of the item.
    pub kind: ItemKind,
}

/// The kinds of items.
#[derive(Debug, Clone, PartialEq)]
pub enum ItemKind {
    /// `import "shared.flow" as shared`
    Import(Import),
    /// `param topic: Text = "clicks"`
    Param(Box<Setting>),
    /// `let hour = 1h`
    Let(Let),
    /// `schema Click { … }`
    Schema(Schema),
    /// `source clicks = kafka { … }`
    Component(Component),
    /// `interceptor tidy(user: Text) { … }`
    Interceptor(Interceptor),
    /// `fn severity(status: Int) -> Text { … }`
    Function(Box<Function>),
    /// `quality sane { … }`
    Quality(Quality),
    /// `flow clicks_to_lake delivers at_least_once { … }`
    Flow(Flow),
    /// `test "…" { … }`
    Test(Test),
    /// `agent { memory: 512MiB }`
    Agent(Agent),
    /// `extern source kafka: replayable { … }`
    Extern(Extern),
    /// `extern parser json: typed { … }`
    ExternParser(ExternParser),
    /// `extern fn lower(text: Text) -> Text`
    ExternFunction(Box<ExternFunction>),
    /// `enum Acks { none, leader, all }`
    Enum(Enum),
    /// `record Roll { … }`
    Record(Record),
    /// An item with a syntax error. Its name, if it has one, counts as declared.
    Broken(Option<Name>),
}

impl ItemKind {
    /// Returns the name that the item declares, if any.
    pub fn name(&self) -> Option<&Name> {
        Some(match self {
            ItemKind::Param(setting) => &setting.name,
            ItemKind::Let(item) => &item.name,
            ItemKind::Schema(item) => &item.name,
            ItemKind::Component(item) => &item.name,
            ItemKind::Interceptor(item) => &item.name,
            ItemKind::Function(item) => &item.name,
            ItemKind::Quality(item) => &item.name,
            ItemKind::Flow(item) => &item.name,
            ItemKind::Extern(item) => &item.name,
            ItemKind::ExternParser(item) => &item.name,
            ItemKind::ExternFunction(item) => &item.name,
            ItemKind::Enum(item) => &item.name,
            ItemKind::Record(item) => &item.name,
            ItemKind::Import(item) => return item.alias.as_ref(),
            ItemKind::Broken(name) => return name.as_ref(),
            ItemKind::Test(_) | ItemKind::Agent(_) => return None,
        })
    }
}

/// An import of another file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The path of the other file, relative to the folder of this file.
    pub path: String,
    /// The place of the path, including the quotes.
    pub path_span: Span,
    /// The qualifier of the file's names (`as`). Without it, the names are used unqualified.
    pub alias: Option<Name>,
}

/// A named constant.
#[derive(Debug, Clone, PartialEq)]
pub struct Let {
    /// The name.
    pub name: Name,
    /// The value.
    pub value: Expression,
}

/// The types of an event's fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// The name.
    pub name: Name,
    /// The fields.
    pub fields: Vec<Field>,
    /// Whether a field has a syntax error and is missing.
    pub broken: bool,
}

/// A field of a schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// The name.
    pub name: Name,
    /// The doc comment without the marks.
    pub documentation: String,
    /// The type.
    pub type_name: TypeName,
    /// The place of the word `sensitive`, if it is written.
    pub sensitive: Option<Span>,
    /// `in 100..=599`: the values that the field may have.
    pub range: Option<Range>,
    /// `in ms`: the unit of a number.
    pub unit: Option<Name>,
    /// `as "%d/%b/%Y"`: the format of a time.
    pub pattern: Option<Box<Expression>>,
}

/// The role of a component in the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// The component produces events.
    Source,
    /// The component stores events.
    Channel,
    /// The component consumes events.
    Sink,
}

/// A source, channel or sink.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// The role.
    pub role: Role,
    /// The name in the program.
    pub name: Name,
    /// The kind: the name of a component of the library.
    pub kind: Name,
    /// The settings.
    pub settings: Block,
}

/// A named list of steps.
#[derive(Debug, Clone, PartialEq)]
pub struct Interceptor {
    /// The name.
    pub name: Name,
    /// The parameters.
    pub parameters: Vec<Parameter>,
    /// The steps.
    pub steps: Vec<Step>,
    /// Whether a step has a syntax error and is missing.
    pub broken: bool,
}

/// A pure function.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// The name.
    pub name: Name,
    /// The parameters.
    pub parameters: Vec<Parameter>,
    /// The type of its result.
    pub result: TypeName,
    /// Named intermediate values.
    pub lets: Vec<Let>,
    /// The result; broken if it has a syntax error.
    pub value: Expression,
}

/// A named list of rules for events.
#[derive(Debug, Clone, PartialEq)]
pub struct Quality {
    /// The name.
    pub name: Name,
    /// The rules.
    pub rules: Vec<FieldRule>,
    /// Whether a rule has a syntax error and is missing.
    pub broken: bool,
}

/// One rule: a condition that each event must satisfy.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldRule {
    /// The rule's name, if it has one.
    pub name: Option<Name>,
    /// The condition.
    pub condition: Expression,
    /// The reason.
    pub because: Option<Because>,
}

/// The settings of the agent, such as its limits.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// The settings.
    pub settings: Block,
}
