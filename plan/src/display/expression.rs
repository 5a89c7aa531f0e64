//! Renders expressions as text, in the syntax of the language, with parentheses around nested operations.

use std::fmt::{self, Display, Formatter};

use arrow_schema::DataType;

use super::{LINE_MAX, escaped, hole, raw_literal, text_literal};
use crate::{Expression, FilledPart, Function, MatchArm, Operation, Pattern, Value, time_text};

/// An expression, and the functions of the program that it may use.
#[derive(Clone, Copy)]
pub(crate) struct Shown<'e> {
    pub(crate) expression: &'e Expression,
    pub(crate) functions: &'e [Function],
}

impl<'e> Shown<'e> {
    fn of(self, expression: &'e Expression) -> Shown<'e> {
        Shown { expression, ..self }
    }

    fn part(self, expression: &'e Expression) -> Part<'e> {
        Part(self.of(expression))
    }

    fn operand(self, expression: &'e Expression) -> Operand<'e> {
        Operand(self.of(expression))
    }

    fn joined(self, items: &'e [Expression]) -> String {
        items.iter().map(|item| self.of(item).to_string()).collect::<Vec<_>>().join(", ")
    }

    /// Renders the expression on one line, or on several lines if it is long and can be divided.
    /// `before` is the number of characters before it on the first line.
    pub(crate) fn lines(self, before: usize) -> Vec<String> {
        let whole = self.to_string();
        if before + whole.chars().count() <= LINE_MAX {
            return vec![whole];
        }
        match &self.expression.operation {
            Operation::Match { subject, arms, otherwise } => {
                let mut lines = vec![format!("match {} {{", self.part(subject))];
                lines.extend(arms.iter().map(|arm| format!("  {}", self.arm(arm))));
                lines.extend(otherwise.iter().map(|value| format!("  _ => {}", self.of(value))));
                lines.push("}".to_owned());
                lines
            }
            Operation::And(..) => self.chain("and"),
            Operation::Or(..) => self.chain("or"),
            Operation::If { cases, otherwise } => {
                let case =
                    |(condition, value)| format!("if {} then {}", self.of(condition), self.part(value));
                let mut lines: Vec<String> =
                    cases.iter().map(|(condition, value)| case((condition, value))).collect();
                lines.iter_mut().skip(1).for_each(|line| line.insert_str(0, "  else "));
                lines.push(format!("  else {}", self.part(otherwise)));
                lines
            }
            _ => vec![whole],
        }
    }

    /// Renders each operand of `and` or `or` on a line.
    fn chain(self, word: &str) -> Vec<String> {
        let mut operands = Vec::new();
        self.operands(word == "and", &mut operands);
        let lines = operands.into_iter().enumerate();
        lines.map(|(at, operand)| if at == 0 { operand } else { format!("  {word} {operand}") }).collect()
    }

    fn operands(self, and: bool, operands: &mut Vec<String>) {
        match &self.expression.operation {
            Operation::And(left, right) if and => {
                self.of(left).operands(and, operands);
                self.of(right).operands(and, operands);
            }
            Operation::Or(left, right) if !and => {
                self.of(left).operands(and, operands);
                self.of(right).operands(and, operands);
            }
            _ => operands.push(Operand(self).to_string()),
        }
    }

    fn arm(self, arm: &MatchArm) -> String {
        let patterns: Vec<String> = arm.patterns.iter().map(Pattern::to_string).collect();
        format!("{} => {}", patterns.join(" | "), Shown { expression: &arm.value, functions: self.functions })
    }

    fn filled(self, parts: &[FilledPart], formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("\"")?;
        for part in parts {
            match part {
                FilledPart::Text(text) => escaped(formatter, text)?,
                FilledPart::Value { value, format } => hole(formatter, &self.of(value), format)?,
            }
        }
        formatter.write_str("\"")
    }

    fn match_text(self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let Operation::Match { subject, arms, otherwise } = &self.expression.operation else { return Ok(()) };
        let mut all: Vec<String> = arms.iter().map(|arm| self.arm(arm)).collect();
        all.extend(otherwise.iter().map(|value| format!("_ => {}", self.of(value))));
        write!(formatter, "match {} {{ {} }}", self.part(subject), all.join(", "))
    }
}

impl Display for Expression {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        Shown { expression: self, functions: &[] }.fmt(formatter)
    }
}

impl Display for Shown<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let (part, operand) = (|expression| self.part(expression), |expression| self.operand(expression));
        match &self.expression.operation {
            Operation::Literal(value) => literal(formatter, value, &self.expression.data_type),
            Operation::Column(name) => formatter.write_str(name),
            Operation::Local(number) => write!(formatter, "${number}"),
            Operation::Not(negated) => match &negated.operation {
                Operation::IsNull(asked) => write!(formatter, "{} is not null", part(asked)),
                Operation::IsEmpty(asked) => write!(formatter, "{} is not empty", part(asked)),
                _ => write!(formatter, "not {}", part(negated)),
            },
            Operation::And(left, right) => write!(formatter, "{} and {}", operand(left), operand(right)),
            Operation::Or(left, right) => write!(formatter, "{} or {}", operand(left), operand(right)),
            Operation::Compare(comparison, left, right) => {
                write!(formatter, "{} {} {}", part(left), comparison.symbol(), part(right))
            }
            Operation::IsNull(asked) => write!(formatter, "{} is null", part(asked)),
            Operation::IsEmpty(asked) => write!(formatter, "{} is empty", part(asked)),
            Operation::Arithmetic(operator, left, right) => {
                write!(formatter, "{} {} {}", part(left), operator.symbol(), part(right))
            }
            Operation::Negate(number) => write!(formatter, "-{}", part(number)),
            Operation::Coalesce(left, right) => write!(formatter, "{} ?? {}", part(left), part(right)),
            Operation::Otherwise(first, second) => {
                write!(formatter, "({} else {})", self.of(first), self.of(second))
            }
            Operation::OneOf(item, values) => write!(formatter, "{} in {}", part(item), Constants(values)),
            Operation::Between(item, least, greatest) => {
                write!(formatter, "{} in {}..={}", part(item), part(least), part(greatest))
            }
            Operation::Contains(list, item) => write!(formatter, "{} in {}", part(item), part(list)),
            Operation::Matches(text, pattern) => {
                write!(formatter, "{} matches ", part(text))?;
                raw_literal(formatter, pattern)
            }
            Operation::Table(table) => {
                write!(formatter, "lookup({:?}, key: {:?})", table.path, table.key)
            }
            Operation::Filled(parts) => self.filled(parts, formatter),
            Operation::List(items) => write!(formatter, "[{}]", self.joined(items)),
            Operation::Field(record, name) => write!(formatter, "{}.{name}", part(record)),
            Operation::Index(whole, index) => write!(formatter, "{}[{}]", part(whole), self.of(index)),
            Operation::Call { function, arguments, .. } => {
                write!(formatter, "{function}({})", self.joined(arguments))
            }
            Operation::Apply { function, arguments } => {
                match self.functions.get(*function as usize) {
                    Some(function) => formatter.write_str(&function.name)?,
                    None => write!(formatter, "fn#{function}")?,
                }
                write!(formatter, "({})", self.joined(arguments))
            }
            Operation::If { cases, otherwise } => {
                for (condition, value) in cases {
                    write!(formatter, "if {} then {} else ", self.of(condition), part(value))?;
                }
                write!(formatter, "{}", part(otherwise))
            }
            Operation::Match { .. } => self.match_text(formatter),
        }
    }
}

impl Display for Pattern {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Pattern::Value(value) => formatter.write_str(&constant(value)),
            Pattern::Range(least, greatest) => {
                write!(formatter, "{}..={}", constant(least), constant(greatest))
            }
            Pattern::OneOf(values) => write!(formatter, "{}", Constants(values)),
        }
    }
}

/// Renders a function of the program. `functions` are all functions of the program, which it may call.
pub(super) fn function_text(function: &Function, functions: &[Function]) -> String {
    let parameters: Vec<String> = (0..function.parameters).map(|number| format!("${number}")).collect();
    let mut text = format!("fn {}({})\n", function.name, parameters.join(", "));
    let mut value = |head: &str, expression: &Expression| {
        let lines = Shown { expression, functions }.lines(head.len() + 2);
        text.push_str(&format!("  {head}{}\n", lines.join("\n  ")));
    };
    for (number, expression) in (function.parameters..).zip(&function.lets) {
        value(&format!("let ${number} = "), expression);
    }
    value("", &function.result);
    text
}

fn literal(formatter: &mut Formatter<'_>, value: &Value, data_type: &DataType) -> fmt::Result {
    match (value, data_type) {
        (Value::Int(microseconds), DataType::Timestamp(..)) => match time_text(*microseconds) {
            Some(time) => write!(formatter, "\"{time}\""),
            None => write!(formatter, "{microseconds}"),
        },
        (Value::Text(text), _) => text_literal(formatter, text),
        _ => write!(formatter, "{value}"),
    }
}

/// Renders a constant of an expression, where a text is never the name of a header.
fn constant(value: &Value) -> String {
    struct Constant<'v>(&'v Value);
    impl Display for Constant<'_> {
        fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
            literal(formatter, self.0, &DataType::Null)
        }
    }
    Constant(value).to_string()
}

/// An operand of `and` or `or`, in parentheses if precedence requires them.
struct Operand<'e>(Shown<'e>);

impl Display for Operand<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        match self.0.expression.operation {
            Operation::And(..) | Operation::Or(..) | Operation::If { .. } => {
                write!(formatter, "({})", self.0)
            }
            _ => write!(formatter, "{}", self.0),
        }
    }
}

/// An operand of a tighter operator, in parentheses if it is an operation itself.
struct Part<'e>(Shown<'e>);

impl Display for Part<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let whole = matches!(
            self.0.expression.operation,
            Operation::Literal(_)
                | Operation::Column(_)
                | Operation::Local(_)
                | Operation::List(_)
                | Operation::Filled(_)
                | Operation::Table(_)
                | Operation::Field(..)
                | Operation::Index(..)
                | Operation::Call { .. }
                | Operation::Apply { .. }
                | Operation::Match { .. }
                | Operation::Otherwise(..)
        );
        if whole { write!(formatter, "{}", self.0) } else { write!(formatter, "({})", self.0) }
    }
}

struct Constants<'v>(&'v [Value]);

impl Display for Constants<'_> {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        let values: Vec<String> = self.0.iter().map(constant).collect();
        write!(formatter, "[{}]", values.join(", "))
    }
}
