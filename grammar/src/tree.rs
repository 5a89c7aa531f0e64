//! The tree of a file as it was written: nothing is resolved and nothing has a type yet.
//!
//! Mistakes are holes in the tree: `Broken` items and expressions, and blocks marked `broken`. Each
//! of them stands for an error that has been reported, so whoever reads the tree stays silent about it.

use std::time::Duration;

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

/// A comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comment {
    /// Where it stands, from its slashes to the end of its line.
    pub span: Span,
    /// What it belongs to.
    pub kind: CommentKind,
}

/// What a comment belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommentKind {
    /// `//`, to the reader.
    Plain,
    /// `///`, to the item or entry that follows.
    Item,
    /// `//!`, to the file.
    File,
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
    /// `param topic: Text = "clicks"`
    Param(Box<Setting>),
    /// `let hour = 1h`
    Let(Let),
    /// `source clicks = kafka { … }`
    Component(Component),
    /// `flow clicks_to_lake delivers at_least_once { … }`
    Flow(Flow),
    /// `extern source kafka: replayable { … }`
    Extern(Extern),
    /// `enum Acks { none, leader, all }`
    Enum(Enum),
    /// `record Roll { … }`
    Record(Record),
    /// An item that could not be read. Its name, where it has one, counts as declared.
    Broken(Option<Name>),
}

/// A name where it stands, without backticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Its text.
    pub text: Box<str>,
    /// Where it stands.
    pub span: Span,
}

/// A named constant.
#[derive(Debug, Clone, PartialEq)]
pub struct Let {
    /// Its name.
    pub name: Name,
    /// Its value.
    pub value: Expression,
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

/// `{ name: value … }`
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// From brace to brace.
    pub span: Span,
    /// The entries that could be read.
    pub entries: Vec<Entry>,
    /// Whether there were entries that could not.
    pub broken: bool,
}

/// `name: value`
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The name of what is set.
    pub name: Name,
    /// The value it gets.
    pub value: Expression,
}

/// A flow.
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    /// Its name.
    pub name: Name,
    /// What it promises, as written; empty if it leaves that open.
    pub promises: Vec<Promise>,
    /// Its chains, in the order of the text.
    pub chains: Vec<Chain>,
    /// Whether there were chains that could not be read.
    pub broken: bool,
}

/// One word of `delivers …` with what belongs to it: `ordered by user`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// Its first word.
    pub name: Name,
    /// The whole.
    pub span: Span,
}

/// `a -> b -> c`
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    /// The whole chain.
    pub span: Span,
    /// What the arrows connect; never empty.
    pub stages: Vec<Stage>,
}

/// One end of an arrow.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// A component.
    Name(Name),
    /// A step that events pass.
    Step(Step),
    /// `copy { a, b }`
    Copy(Copy),
    /// A stage that could not be read.
    Broken(Span),
}

impl Stage {
    /// Where the stage stands.
    pub fn span(&self) -> Span {
        match self {
            Stage::Name(name) => name.span,
            Stage::Step(step) => step.span,
            Stage::Copy(copy) => copy.span,
            Stage::Broken(span) => *span,
        }
    }
}

/// A step.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The whole step.
    pub span: Span,
    /// What it does.
    pub kind: StepKind,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum StepKind {
    /// `keep if …`
    Keep(Expression),
}

/// Replication to several branches.
#[derive(Debug, Clone, PartialEq)]
pub struct Copy {
    /// From the word to the closing brace.
    pub span: Span,
    /// Its branches.
    pub branches: Vec<Branch>,
    /// Whether there were branches that could not be read.
    pub broken: bool,
}

/// One branch of a `copy`.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// Whether it may fail without failing the event.
    pub optional: bool,
    /// Its steps and where it goes.
    pub chain: Chain,
}

/// A component's signature.
#[derive(Debug, Clone, PartialEq)]
pub struct Extern {
    /// What the component is to the graph.
    pub role: Role,
    /// Its name in the library.
    pub name: Name,
    /// Its delivery class.
    pub class: Name,
    /// Whether it is the one that a path gets which names none.
    pub default: bool,
    /// Its settings and clauses.
    pub signature: Signature,
}

/// The settings and clauses of a component, a record or a variant.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Signature {
    /// The settings.
    pub settings: Vec<Setting>,
    /// `emits { … }`, of a source.
    pub emits: Option<Vec<Column>>,
    /// `needs { … }`, of a sink.
    pub needs: Option<Vec<Column>>,
    /// The rules that hold between settings.
    pub requires: Vec<Requirement>,
}

/// `name: Type in RANGE = default`
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// Its name.
    pub name: Name,
    /// Its doc comment without the marks.
    pub documentation: String,
    /// The type of its values.
    pub type_name: TypeName,
    /// The values that are allowed, if not all.
    pub range: Option<Range>,
    /// Its value where none is given.
    pub default: Option<Expression>,
}

/// `@header: Type` or `body: Type`
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// Its name, with the `@` of a header.
    pub name: Name,
    /// Its doc comment without the marks.
    pub documentation: String,
    /// Its type.
    pub type_name: TypeName,
}

/// `requires a <= b because "…"`
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    /// The whole clause.
    pub span: Span,
    /// What must hold.
    pub condition: Expression,
    /// Why, for whoever breaks it.
    pub reason: String,
    /// Where the reason stands.
    pub reason_span: Span,
}

/// A type as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct TypeName {
    /// The whole type.
    pub span: Span,
    /// Whether it ends in `?`.
    pub optional: bool,
    /// What it is without the `?`.
    pub kind: TypeNameKind,
}

/// A type as it was written, without its `?`.
#[derive(Debug, Clone, PartialEq)]
pub enum TypeNameKind {
    /// `Text`
    Name(Name),
    /// `[Text]`
    List(Box<TypeName>),
    /// `Map<Text>`
    Applied(Name, Box<TypeName>),
}

/// `1..=10`, `1..10` or `1..`
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// The whole range.
    pub span: Span,
    /// The least value.
    pub least: Expression,
    /// The greatest value.
    pub greatest: Option<Expression>,
    /// Whether the greatest value itself is allowed.
    pub inclusive: bool,
}

/// An enumeration.
#[derive(Debug, Clone, PartialEq)]
pub struct Enum {
    /// Its name.
    pub name: Name,
    /// Its variants.
    pub variants: Vec<Variant>,
}

/// A variant of an enumeration.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// Its name.
    pub name: Name,
    /// Its doc comment without the marks.
    pub documentation: String,
    /// The settings it carries, if it has a block for them.
    pub signature: Option<Signature>,
}

/// A record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Its name.
    pub name: Name,
    /// Its settings and clauses.
    pub signature: Signature,
}

/// An expression where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    /// The whole expression.
    pub span: Span,
    /// What it is.
    pub kind: ExpressionKind,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub enum ExpressionKind {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number, with its unit if it has one.
    Number(Number),
    /// `"text with {holes}"` or `r"raw"`
    Text(Text),
    /// `[a, b]`
    List(Vec<Expression>),
    /// `{ name: value }`
    Record(Block),
    /// A param, a let, a component or a variant.
    Name(Box<str>),
    /// `@host`; the text is without the `@`.
    Header(Box<str>),
    /// `tls { … }`
    Variant(Name, Block),
    /// `not a`
    Not(Box<Expression>),
    /// `a and b`
    And(Box<Expression>, Box<Expression>),
    /// `a or b`
    Or(Box<Expression>, Box<Expression>),
    /// `a < b`
    Compare(Comparator, Box<Expression>, Box<Expression>),
    /// `a is null`, or `a is not null` if negated.
    IsNull {
        /// What is asked about.
        operand: Box<Expression>,
        /// Whether it must *not* be null.
        negated: bool,
    },
    /// What could not be read.
    Broken,
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparator {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

/// A number with its unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// `42`
    Int(i64),
    /// `0.5`
    Float(f64),
    /// `5min`
    Duration(Duration),
    /// `64KiB`, in bytes.
    Size(u64),
    /// `5_000/s`, in events per second.
    EventRate(f64),
    /// `10MiB/s`, in bytes per second.
    ByteRate(f64),
}

/// Text, in pieces.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Text {
    /// The pieces in their order; two literal ones never meet.
    pub parts: Vec<TextPart>,
}

/// A piece of text.
#[derive(Debug, Clone, PartialEq)]
pub enum TextPart {
    /// Text as it stands, escapes resolved.
    Literal(Box<str>),
    /// A hole.
    Hole(Hole),
}

/// A hole in text: `{@timestamp:%Y}`
#[derive(Debug, Clone, PartialEq)]
pub struct Hole {
    /// From brace to brace.
    pub span: Span,
    /// What fills it, with the `@` of a header.
    pub name: Name,
    /// What follows the colon.
    pub format: Option<Name>,
}
