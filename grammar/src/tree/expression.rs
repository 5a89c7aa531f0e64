//! Expressions, values and text.

use std::time::Duration;

use super::{Name, Path};
use crate::Span;

/// An expression with its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Expression {
    /// The place of the expression.
    pub span: Span,
    /// The kind of the expression.
    pub kind: ExpressionKind,
}

/// The kinds of expressions.
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
    /// `(a else b)`: `b` if `a` fails.
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
    /// An expression with a syntax error.
    Broken,
}

/// A binary operator.
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
    /// Returns the operator's token.
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

    /// Returns whether the operator's result is a `Bool`: comparisons, `in` and `matches`. These do not chain.
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
    /// The tested expression.
    pub operand: Expression,
    /// The test.
    pub question: Question,
    /// Whether the test is negated with `not`.
    pub negated: bool,
}

/// The tests of `is`.
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
    /// The called function.
    pub function: Path,
    /// The arguments.
    pub arguments: Vec<Argument>,
}

/// An argument.
#[derive(Debug, Clone, PartialEq)]
pub struct Argument {
    /// The parameter's name, if it is written.
    pub name: Option<Name>,
    /// The value.
    pub value: Expression,
}

/// `if a then b else if c then d else e`
#[derive(Debug, Clone, PartialEq)]
pub struct Conditional {
    /// Conditions, each with the value if it is true; never empty.
    pub cases: Vec<(Expression, Expression)>,
    /// The value if no condition is true.
    pub otherwise: Expression,
}

/// A `match` expression.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueMatch {
    /// The compared value. Without it, each arm has a condition.
    pub subject: Option<Expression>,
    /// The arms, in order.
    pub arms: Vec<Arm>,
    /// Whether an arm has a syntax error and is missing.
    pub broken: bool,
}

/// `"a" | "b" => value`
#[derive(Debug, Clone, PartialEq)]
pub struct Arm {
    /// The place of the arm.
    pub span: Span,
    /// Values, ranges or conditions; the name `_` matches every value. Never empty.
    pub patterns: Vec<Expression>,
    /// The value if one alternative matches.
    pub value: Expression,
}

/// `{ name: value … }`
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// The place, including the braces.
    pub span: Span,
    /// The entries without syntax errors.
    pub entries: Vec<Entry>,
    /// Whether an entry has a syntax error and is missing.
    pub broken: bool,
}

/// `name: value`
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The name of the setting or field; a header's name includes the `@`.
    pub name: Name,
    /// The value.
    pub value: Expression,
}

/// A number with its unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Number {
    /// `42`, of at most 38 digits.
    Int(i128),
    /// `0.50`: `digits` divided by ten to the power of `scale`. Here 50 and 2; at most 38 digits.
    Point {
        /// The digits without the point, with the sign.
        digits: i128,
        /// The number of digits after the point.
        scale: u8,
    },
    /// `5min`
    Duration(Duration),
    /// `-5min`, by its length, which is not zero.
    NegativeDuration(Duration),
    /// `64KiB`, in bytes.
    Size(u64),
    /// `5_000/s`, in events per second.
    EventRate(f64),
    /// `10MiB/s`, in bytes per second.
    ByteRate(f64),
    /// `1%`, as a fraction: 0.01.
    Percent(f64),
}

/// A text, split at its holes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Text {
    /// The parts, in order; two literals are never adjacent.
    pub parts: Vec<TextPart>,
}

impl Text {
    /// Returns whether the text has a hole.
    pub fn has_holes(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, TextPart::Hole(_)))
    }
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq)]
pub enum TextPart {
    /// Literal text with resolved escapes.
    Literal(Box<str>),
    /// A hole.
    Hole(Hole),
}

/// A hole in text: `{@timestamp:%Y}`
#[derive(Debug, Clone, PartialEq)]
pub struct Hole {
    /// The place, including the braces.
    pub span: Span,
    /// The name of the hole's value; a header's name includes the `@`, parts of a path are joined by points.
    pub name: Name,
    /// The format after the colon.
    pub format: Option<Name>,
}
