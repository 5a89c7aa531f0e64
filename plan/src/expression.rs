//! Typed expressions.

use arrow_schema::DataType;
use serde::{Deserialize, Serialize};

use crate::{HoleFormat, ParsedField, Value};

/// An expression over the columns of one event type, with the type of its result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Expression {
    /// The Arrow type of the result.
    pub data_type: DataType,
    /// Whether the result may be null.
    pub nullable: bool,
    /// The computation.
    pub operation: Operation,
}

/// The computation of an expression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operation {
    /// A constant of the expression's type. A time is a [`Value::Int`] with the microseconds since
    /// 1970 in UTC; a constant of type `BinaryView` is a [`Value::Text`], whose UTF-8 bytes are the value.
    Literal(Value),
    /// The column of this name: `"@host"`, `"body"`, `"status"`.
    Column(String),
    /// A local value: of a `let` step of the path, or a parameter or `let` of the enclosing
    /// function. Numbers begin at 0 in each path and in each function.
    Local(u32),
    /// Logical negation.
    Not(Box<Expression>),
    /// Logical conjunction.
    And(Box<Expression>, Box<Expression>),
    /// Logical disjunction.
    Or(Box<Expression>, Box<Expression>),
    /// A comparison of two operands of one type, neither of them nullable. Integers and decimal numbers of any digits are
    /// compared with each other.
    Compare(Comparison, Box<Expression>, Box<Expression>),
    /// Whether the operand is null. Never null itself.
    IsNull(Box<Expression>),
    /// Whether a text, bytes, a list or a map is empty. The operand is not nullable.
    IsEmpty(Box<Expression>),
    /// Arithmetic, or concatenation of text. The enclosing step says how a failure is handled.
    Arithmetic(Arithmetic, Box<Expression>, Box<Expression>),
    /// Arithmetic negation.
    Negate(Box<Expression>),
    /// The first operand, or the second if the first is null.
    Coalesce(Box<Expression>, Box<Expression>),
    /// The first operand, or the second if the computation of the first fails.
    Otherwise(Box<Expression>, Box<Expression>),
    /// Whether the operand is one of these constants of its type.
    OneOf(Box<Expression>, Vec<Value>),
    /// Whether the operand is at least the second and at most the third.
    Between(Box<Expression>, Box<Expression>, Box<Expression>),
    /// Whether the list (first operand) contains the item (second operand), or the map the name.
    Contains(Box<Expression>, Box<Expression>),
    /// Whether a part of the text or bytes matches the regular expression (syntax of the `regex` crate).
    Matches(Box<Expression>, String),
    /// The value of the first case whose condition is true.
    If {
        /// Conditions and values.
        cases: Vec<(Expression, Expression)>,
        /// The value if no condition is true.
        otherwise: Box<Expression>,
    },
    /// The value of the first arm with a matching pattern.
    Match {
        /// The compared value.
        subject: Box<Expression>,
        /// The arms, in order.
        arms: Vec<MatchArm>,
        /// The value if no pattern matches; `None` if one always does.
        otherwise: Option<Box<Expression>>,
    },
    /// A table in a file, which the agent reads when it starts: a map from the key to the row. Only an operand of
    /// `Index` and `Contains`.
    Table(Table),
    /// Text with holes, as text or as its UTF-8 bytes. The values of the holes are not nullable.
    Filled(Vec<FilledPart>),
    /// A list of values.
    List(Vec<Expression>),
    /// A field of a record.
    Field(Box<Expression>, String),
    /// An item of a list (by its index from 0), or of a map or JSON object (by its key); null if the item
    /// does not exist.
    Index(Box<Expression>, Box<Expression>),
    /// A function of the library.
    Call {
        /// The function's name.
        function: String,
        /// The arguments, with defaults filled in.
        arguments: Vec<Expression>,
        /// Whether two calls with the same arguments may have different results.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        varies: bool,
    },
    /// A function of the program.
    Apply {
        /// The function's index in [`Plan::functions`](crate::Plan::functions).
        function: u32,
        /// The arguments.
        arguments: Vec<Expression>,
    },
}

impl Expression {
    /// Returns whether the predicate is true for the expression or for one of its parts, at any depth.
    pub fn any(&self, is: &dyn Fn(&Expression) -> bool) -> bool {
        is(self) || self.operation.parts().into_iter().any(|part| part.any(is))
    }

    /// Returns whether the expression is a call of a function that may give another result for the same arguments. Its
    /// parts do not count.
    pub fn is_varying_call(&self) -> bool {
        matches!(self.operation, Operation::Call { varies: true, .. })
    }
}

impl Operation {
    /// The expressions that it is made of, in their order.
    pub fn parts(&self) -> Vec<&Expression> {
        let mut parts = Vec::new();
        each_part(self, &mut |part| parts.push(part));
        parts
    }
}

/// The expressions that an operation is made of.
fn each_part<'a>(operation: &'a Operation, part: &mut dyn FnMut(&'a Expression)) {
    match operation {
        Operation::Literal(_) | Operation::Column(_) | Operation::Local(_) | Operation::Table(_) => {}
        Operation::Not(one)
        | Operation::IsNull(one)
        | Operation::IsEmpty(one)
        | Operation::Negate(one)
        | Operation::OneOf(one, _)
        | Operation::Matches(one, _)
        | Operation::Field(one, _) => part(one),
        Operation::And(left, right)
        | Operation::Or(left, right)
        | Operation::Compare(_, left, right)
        | Operation::Arithmetic(_, left, right)
        | Operation::Coalesce(left, right)
        | Operation::Otherwise(left, right)
        | Operation::Contains(left, right)
        | Operation::Index(left, right) => [left, right].into_iter().for_each(|side| part(side)),
        Operation::Between(one, least, most) => [one, least, most].into_iter().for_each(|each| part(each)),
        Operation::If { cases, otherwise } => {
            cases.iter().for_each(|(condition, value)| {
                part(condition);
                part(value);
            });
            part(otherwise);
        }
        Operation::Match { subject, arms, otherwise } => {
            part(subject);
            arms.iter().for_each(|arm| part(&arm.value));
            otherwise.iter().for_each(|otherwise| part(otherwise));
        }
        Operation::Filled(parts) => parts.iter().for_each(|filled| match filled {
            FilledPart::Text(_) => {}
            FilledPart::Value { value, .. } => part(value),
        }),
        Operation::List(items) => items.iter().for_each(part),
        Operation::Call { arguments, .. } | Operation::Apply { arguments, .. } => {
            arguments.iter().for_each(part);
        }
    }
}

/// A lookup table in a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Table {
    /// The path of the file, relative to the folder in which the agent runs.
    pub path: String,
    /// The format of the file.
    pub format: TableFormat,
    /// The field by which rows are found.
    pub key: String,
    /// The fields of each row. Their types are those of the record that an item of the table is.
    pub fields: Vec<ParsedField>,
}

/// The format of a lookup table's file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TableFormat {
    /// Lines with commas; the first has the names of the fields.
    Csv,
    /// Objects: a list of them, or one on each line.
    Json,
}

/// A part of a text with holes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FilledPart {
    /// Literal text.
    Text(String),
    /// A hole.
    Value {
        /// The value.
        value: Expression,
        /// The format of the value; times are in UTC.
        format: HoleFormat,
    },
}

/// An arm of a match.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MatchArm {
    /// The patterns.
    pub patterns: Vec<Pattern>,
    /// The value if a pattern matches.
    pub value: Expression,
}

/// A pattern of a match.
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

/// A function of the program. The parameters are locals 0, 1 and so on; the lets are the following locals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Function {
    /// The name.
    pub name: String,
    /// The number of parameters.
    pub parameters: u32,
    /// The values of the lets; each may use the locals before it.
    pub lets: Vec<Expression>,
    /// The result.
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
    /// `/`, always of floating-point numbers.
    Divide,
    /// `%`
    Remainder,
}

impl Arithmetic {
    /// Returns the operator's token.
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
    /// Returns the operator's token.
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
