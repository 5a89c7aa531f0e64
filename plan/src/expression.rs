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
