//! Expressions, values and text.

use std::time::Duration;

use super::{Name, Path};
use crate::Span;

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
    /// A param, a let, a field, a component or a variant.
    Name(Box<str>),
    /// `@host`; the text is without the `@`.
    Header(Box<str>),
    /// `tls { … }`
    Variant(Name, Block),
    /// `lower(user)`
    Call(Call),
    /// `secret env("PASSWORD")`
    Secret(Call),
    /// `place.city`, or a name of another file: `shared.hour`
    Member(Box<Expression>, Name),
    /// `list[0]`, `map["key"]`
    Index(Box<Expression>, Box<Expression>),
    /// `(a)`
    Paren(Box<Expression>),
    /// `(a else b)`: b where a fails.
    Otherwise(Box<Expression>, Box<Expression>),
    /// `-a`; a negative number is a [`Number`].
    Negate(Box<Expression>),
    /// `not a`
    Not(Box<Expression>),
    /// `a and b and c`
    And(Vec<Expression>),
    /// `a or b or c`
    Or(Vec<Expression>),
    /// `a + b`
    Binary(Operator, Box<Expression>, Box<Expression>),
    /// `a is null`, `a is not empty`
    Is(Box<Is>),
    /// `if a then b else c`
    If(Box<Conditional>),
    /// `match a { 1 => "one", _ => "many" }`
    Match(Box<ValueMatch>),
    /// What could not be read.
    Broken,
}

/// What stands between two expressions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Operator {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Remainder,
    /// `..=`
    Range,
    /// `??`
    Coalesce,
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
    /// `in`
    In,
    /// `matches`
    Matches,
}

impl Operator {
    /// The operator as it is written.
    pub fn symbol(self) -> &'static str {
        match self {
            Operator::Add => "+",
            Operator::Subtract => "-",
            Operator::Multiply => "*",
            Operator::Divide => "/",
            Operator::Remainder => "%",
            Operator::Range => "..=",
            Operator::Coalesce => "??",
            Operator::Equal => "==",
            Operator::NotEqual => "!=",
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
            Operator::In => "in",
            Operator::Matches => "matches",
        }
    }

    /// Whether it asks: comparisons, `in` and `matches`. These do not chain.
    pub fn is_question(self) -> bool {
        matches!(
            self,
            Operator::Equal
                | Operator::NotEqual
                | Operator::Less
                | Operator::LessOrEqual
                | Operator::Greater
                | Operator::GreaterOrEqual
                | Operator::In
                | Operator::Matches
        )
    }
}

/// `a is null`
#[derive(Debug, Clone, PartialEq)]
pub struct Is {
    /// What is asked about.
    pub operand: Expression,
    /// What is asked.
    pub question: Question,
    /// Whether it must *not* be so.
    pub negated: bool,
}

/// What `is` asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// `is null`
    Null,
    /// `is empty`
    Empty,
}

/// A call.
#[derive(Debug, Clone, PartialEq)]
pub struct Call {
    /// What is called.
    pub function: Path,
    /// What it is given.
    pub arguments: Vec<Argument>,
}

/// An argument.
#[derive(Debug, Clone, PartialEq)]
pub struct Argument {
    /// The parameter's name, if it is said.
    pub name: Option<Name>,
    /// The value.
    pub value: Expression,
}

/// `if a then b else if c then d else e`
#[derive(Debug, Clone, PartialEq)]
pub struct Conditional {
    /// What is asked, each with the value if so; never empty.
    pub cases: Vec<(Expression, Expression)>,
    /// The value if none of it is so.
    pub otherwise: Expression,
}

/// A `match` that has a value.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueMatch {
    /// What is looked at; without, each arm asks a question of its own.
    pub subject: Option<Expression>,
    /// The arms in their order.
    pub arms: Vec<Arm>,
    /// Whether there were arms that could not be read.
    pub broken: bool,
}

/// `"a" | "b" => value`
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// The whole arm.
    pub span: Span,
    /// Values, ranges or questions; the name `_` is anything. Never empty.
    pub patterns: Vec<Expression>,
    /// The value if one of them fits.
    pub value: Expression,
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
    /// The name of what is set, with the `@` of a header.
    pub name: Name,
    /// The value it gets.
    pub value: Expression,
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
    /// `1%`, as a share of one.
    Percent(f64),
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
    /// What fills it, with the `@` of a header; parts of a path are joined by points.
    pub name: Name,
    /// What follows the colon.
    pub format: Option<Name>,
}
