//! Expressions, typed.

use arrow_schema::DataType;
use serde::{Deserialize, Serialize};

use crate::Value;

/// An expression over the columns of one event type, with the type of its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expression {
    /// The Arrow type of the result.
    pub data_type: DataType,
    /// Whether the result may be null.
    pub nullable: bool,
    /// What is computed.
    pub operation: Operation,
}

/// What an expression computes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A constant; its type is the expression's. A time is the [`Value::Int`] of its microseconds since
    /// 1970 in UTC; a constant of type `BinaryView` is [`Value::Text`], whose UTF-8 is meant.
    Literal(Value),
    /// The column of this name: `"@host"`, `"body"`, `"status"`.
    Column(String),
    /// A value that was computed before: of a `let` step of the path, or a parameter or `let` of the
    /// function that this is part of. Numbers begin at 0 in each path and in each function.
    Local(u32),
    /// Logical negation.
    Not(Box<Expression>),
    /// Both hold.
    And(Box<Expression>, Box<Expression>),
    /// One or both hold.
    Or(Box<Expression>, Box<Expression>),
    /// A comparison of two operands of one type, neither of them nullable.
    Compare(Comparison, Box<Expression>, Box<Expression>),
    /// Whether the operand is null. Never null itself.
    IsNull(Box<Expression>),
    /// Whether a text, bytes, a list or a map has nothing in it. The operand is not nullable.
    IsEmpty(Box<Expression>),
    /// Arithmetic, or joining of text. Whether it can fail is said by the step that it is part of.
    Arithmetic(Arithmetic, Box<Expression>, Box<Expression>),
    /// The number with its sign turned.
    Negate(Box<Expression>),
    /// The first operand, or the second where that is null.
    Coalesce(Box<Expression>, Box<Expression>),
    /// The first operand, or the second where computing the first fails.
    Otherwise(Box<Expression>, Box<Expression>),
    /// Whether the operand is one of these constants of its type.
    OneOf(Box<Expression>, Vec<Value>),
    /// Whether the operand is at least the second and at most the third.
    Between(Box<Expression>, Box<Expression>, Box<Expression>),
    /// Whether the list has the item: list, item.
    Contains(Box<Expression>, Box<Expression>),
    /// Whether a part of the text or bytes fits the regular expression (syntax of the `regex` crate).
    Matches(Box<Expression>, String),
    /// The value of the first case whose condition is true.
    If {
        /// Conditions and values.
        cases: Vec<(Expression, Expression)>,
        /// The value if none is true.
        otherwise: Box<Expression>,
    },
    /// The value of the first arm that has a fitting pattern.
    Match {
        /// What is looked at.
        subject: Box<Expression>,
        /// The arms in their order.
        arms: Vec<MatchArm>,
        /// The value if none fits; none if one always does.
        otherwise: Option<Box<Expression>>,
    },
    /// A list of values.
    List(Vec<Expression>),
    /// A field of a record.
    Field(Box<Expression>, String),
    /// An item of a list (by its place from 0), a map or a JSON object (by its name); null where there is
    /// none.
    Index(Box<Expression>, Box<Expression>),
    /// A function of the library.
    Call {
        /// Its name.
        function: String,
        /// What it is given, defaults filled in.
        arguments: Vec<Expression>,
        /// Whether the same arguments may have another result next time.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        varies: bool,
    },
    /// A function of the program.
    Apply {
        /// Its place in [`Plan::functions`](crate::Plan::functions).
        function: u32,
        /// What it is given.
        arguments: Vec<Expression>,
    },
}

/// An arm of a match.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MatchArm {
    /// What fits it.
    pub patterns: Vec<Pattern>,
    /// The value if one fits.
    pub value: Expression,
}

/// What a match looks for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// This value, which may be null.
    Value(Value),
    /// A value from the first to the second, both included.
    Range(Value, Value),
    /// One of these values.
    OneOf(Vec<Value>),
}

/// A function of the program: its parameters are locals 0, 1 and so on, its lets the next ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// How many parameters it has.
    pub parameters: u32,
    /// The values of its lets, each over the locals before it.
    pub lets: Vec<Expression>,
    /// Its result.
    pub result: Expression,
}

/// An arithmetic operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arithmetic {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`, of numbers always with a point.
    Divide,
    /// `%`
    Remainder,
}

impl Arithmetic {
    /// The operator as the language writes it.
    pub fn symbol(self) -> &'static str {
        match self {
            Arithmetic::Add => "+",
            Arithmetic::Subtract => "-",
            Arithmetic::Multiply => "*",
            Arithmetic::Divide => "/",
            Arithmetic::Remainder => "%",
        }
    }
}

/// A comparison operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Comparison {
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

impl Comparison {
    /// The operator as the language writes it.
    pub fn symbol(self) -> &'static str {
        match self {
            Comparison::Equal => "==",
            Comparison::NotEqual => "!=",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Greater => ">",
            Comparison::GreaterOrEqual => ">=",
        }
    }
}
