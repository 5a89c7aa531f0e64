//! Files and their items.

use super::{
    Because, Block, Comment, Enum, Expression, Extern, ExternFunction, ExternParser, Flow, Name, Parameter,
    Record, Setting, Step, Test, TypeName,
};
use crate::Span;

/// A whole file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct File {
    /// The doc comment of the file itself, `//!`, without the marks.
    pub documentation: String,
    /// The items in the order of the text.
    pub items: Vec<Item>,
    /// Every comment, in the order of the text: the rest of the tree has none.
    pub comments: Vec<Comment>,
}

/// One item of a file.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// The whole item, without its comments.
    pub span: Span,
    /// Its doc comment without the marks; empty if it has none.
    pub documentation: String,
    /// What it is.
    pub kind: ItemKind,
}

/// What an item is.
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
    /// An item that could not be read. Its name, where it has one, counts as declared.
    Broken(Option<Name>),
}

impl ItemKind {
    /// The name that the item declares, if it declares one.
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

/// The use of another file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Import {
    /// The other file, from the folder of this one.
    pub path: String,
    /// Where the path stands, quotes included.
    pub path_span: Span,
    /// The name under which its names are known here; without, they are known as they are.
    pub alias: Option<Name>,
}

/// A named constant.
#[derive(Debug, Clone, PartialEq)]
pub struct Let {
    /// Its name.
    pub name: Name,
    /// Its value.
    pub value: Expression,
}

/// The type of an event's fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Schema {
    /// Its name.
    pub name: Name,
    /// Its fields.
    pub fields: Vec<Field>,
    /// Whether there were fields that could not be read.
    pub broken: bool,
}

/// A field of a schema.
#[derive(Debug, Clone, PartialEq)]
pub struct Field {
    /// Its name.
    pub name: Name,
    /// Its doc comment without the marks.
    pub documentation: String,
    /// Its type.
    pub type_name: TypeName,
    /// The word `sensitive`, if it is there.
    pub sensitive: Option<Span>,
    /// `in ms`: what a number counts.
    pub unit: Option<Name>,
    /// `as "%d/%b/%Y"`: how a time is written.
    pub pattern: Option<Box<Expression>>,
}

/// What a component is to the graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// Events come from it.
    Source,
    /// It holds events.
    Channel,
    /// Events go to it.
    Sink,
}

/// A source, channel or sink.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// Which of the three.
    pub role: Role,
    /// The name the user gives it.
    pub name: Name,
    /// Which of the library's components it is.
    pub kind: Name,
    /// Its settings.
    pub settings: Block,
}

/// Steps with a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Interceptor {
    /// Its name.
    pub name: Name,
    /// What each use gives it.
    pub parameters: Vec<Parameter>,
    /// Its steps.
    pub steps: Vec<Step>,
    /// Whether there were steps that could not be read.
    pub broken: bool,
}

/// A pure function.
#[derive(Debug, Clone, PartialEq)]
pub struct Function {
    /// Its name.
    pub name: Name,
    /// What each call gives it.
    pub parameters: Vec<Parameter>,
    /// The type of its result.
    pub result: TypeName,
    /// Values that its result is made of.
    pub lets: Vec<Let>,
    /// Its result; broken where it could not be read.
    pub value: Expression,
}

/// Rules for events, with a name.
#[derive(Debug, Clone, PartialEq)]
pub struct Quality {
    /// Its name.
    pub name: Name,
    /// Its rules.
    pub rules: Vec<FieldRule>,
    /// Whether there were rules that could not be read.
    pub broken: bool,
}

/// One rule: what each event must keep.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldRule {
    /// The rule's name, if it has one of its own.
    pub name: Option<Name>,
    /// What must hold.
    pub condition: Expression,
    /// Why.
    pub because: Option<Because>,
}

/// What the whole agent may use.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// Its settings.
    pub settings: Block,
}
