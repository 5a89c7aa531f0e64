//! Types of settings, params, headers and fields.

pub(crate) mod columns;
mod parsed;
pub(crate) mod ranges;

use std::fmt;
use std::sync::Arc;

use weir_grammar::Span;

use crate::types::ranges::IntRange;

/// A type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Type {
    /// `true` or `false`.
    Bool,
    /// A whole number of 64 bits.
    Int,
    /// A number with a point.
    Float,
    /// Text in UTF-8.
    Text,
    /// Bytes.
    Bytes,
    /// An instant.
    Time,
    /// A length of time.
    Duration,
    /// A number of bytes.
    Size,
    /// Events per second.
    EventRate,
    /// Bytes per second.
    ByteRate,
    /// `host:port`
    Address,
    /// `scheme://…`
    Url,
    /// A pattern for file names.
    Glob,
    /// The name of a time zone.
    Zone,
    /// Text with holes that events fill.
    Template,
    /// A percentage: `1%`.
    Percent,
    /// A regular expression.
    Regex,
    /// A grok pattern: a regular expression with `%{NAME:field}`.
    Grok,
    /// The format of a time, in the syntax of `strftime`.
    TimePattern,
    /// The format of a time that has all parts of an instant, so that a time can be read with it.
    InstantPattern,
    /// A network of IP addresses: `10.0.0.0/8`.
    Network,
    /// A JSON pointer (RFC 6901): `/user/name`.
    Pointer,
    /// The number of a group in the regular expression of the same call.
    Group,
    /// The place at which the agent finds a secret value.
    Secret,
    /// The name of a header of the events.
    Header,
    /// An IP address.
    Ip,
    /// A JSON document.
    Json,
    /// A decimal number: the number of all digits, and of the digits after the point.
    Decimal(u8, u8),
    /// `[T]`
    List(Box<Type>),
    /// `Map<T>`, from text.
    Map(Box<Type>),
    /// An enum or a record of the library.
    Named(Arc<str>),
    /// A schema of the program.
    Schema(Arc<SchemaType>),
    /// A type variable of a function with its bound; each call chooses the type.
    Variable(Arc<str>, Bound),
}

/// The fields of a schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SchemaType {
    /// The schema's name.
    pub name: Arc<str>,
    /// The fields in the order of the text.
    pub fields: Vec<FieldType>,
}

/// A field of a schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct FieldType {
    /// The field's name.
    pub name: Arc<str>,
    /// The place of the name.
    pub span: Span,
    /// The type of the field's values.
    pub value_type: Type,
    /// Whether the field may be null.
    pub optional: bool,
    /// Whether the values of the field are sensitive, so that they must not be shown.
    pub sensitive: bool,
    /// The format of the values in a body.
    pub format: FieldFormat,
}

/// The format of a field's values in a body.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum FieldFormat {
    /// The default format of the type.
    Plain,
    /// An integer in this range.
    Within(IntRange),
    /// A duration as a number of this unit.
    Unit(std::time::Duration),
    /// A time in the format of this pattern.
    Pattern(String),
}

/// The bound of a type variable: the types that a call may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Bound {
    /// Any type.
    Any,
    /// Any type but Json.
    Plain,
    /// The types whose values have an order.
    Ordered,
    /// The types of numbers and of quantities.
    Number,
    /// The types of decimal numbers, whatever their digits: `Decimal` in the library.
    Decimal,
}

impl FieldType {
    /// Returns the range of the field's integers; every integer if the schema has none.
    pub(crate) fn range(&self) -> IntRange {
        match self.format {
            FieldFormat::Within(range) => range,
            _ => IntRange::ALL,
        }
    }
}

impl Bound {
    /// Returns the bound of this name.
    pub(crate) fn of(name: &str) -> Option<Bound> {
        Some(match name {
            "Any" => Bound::Any,
            "Plain" => Bound::Plain,
            "Ordered" => Bound::Ordered,
            "Number" => Bound::Number,
            _ => return None,
        })
    }

    /// Returns whether the bound allows a type.
    pub(crate) fn allows(self, value_type: &Type) -> bool {
        match self {
            Bound::Any => true,
            Bound::Plain => *value_type != Type::Json,
            Bound::Ordered => value_type.is_ordered(),
            Bound::Decimal => matches!(value_type, Type::Decimal(..)),
            Bound::Number => {
                matches!(
                    value_type,
                    Type::Int | Type::Float | Type::Duration | Type::Size | Type::Decimal(..)
                )
            }
        }
    }
}

/// The built-in types with their names.
pub(crate) const BUILT_IN: [(&str, Type); 27] = [
    ("Bool", Type::Bool),
    ("Int", Type::Int),
    ("Float", Type::Float),
    ("Text", Type::Text),
    ("Bytes", Type::Bytes),
    ("Time", Type::Time),
    ("Duration", Type::Duration),
    ("Size", Type::Size),
    ("EventRate", Type::EventRate),
    ("ByteRate", Type::ByteRate),
    ("Address", Type::Address),
    ("Url", Type::Url),
    ("Glob", Type::Glob),
    ("Zone", Type::Zone),
    ("Template", Type::Template),
    ("Percent", Type::Percent),
    ("Regex", Type::Regex),
    ("Grok", Type::Grok),
    ("TimePattern", Type::TimePattern),
    ("InstantPattern", Type::InstantPattern),
    ("Network", Type::Network),
    ("Pointer", Type::Pointer),
    ("Group", Type::Group),
    ("Secret", Type::Secret),
    ("Header", Type::Header),
    ("Ip", Type::Ip),
    ("Json", Type::Json),
];

/// Returns whether the language has a type of this name, also one with arguments, such as `Map`.
pub fn is_built_in_type(name: &str) -> bool {
    matches!(name, "Decimal" | "Map") || Type::built_in(name).is_some()
}

impl Type {
    /// Returns the built-in type of this name.
    pub(crate) fn built_in(name: &str) -> Option<Type> {
        BUILT_IN.iter().find(|(built_in, _)| *built_in == name).map(|(_, built_in)| built_in.clone())
    }

    /// Returns whether the values of the type are written as text in quotes.
    pub(crate) fn is_textual(&self) -> bool {
        matches!(
            self,
            Type::Text
                | Type::Bytes
                | Type::Time
                | Type::Address
                | Type::Url
                | Type::Glob
                | Type::Zone
                | Type::Template
                | Type::Regex
                | Type::Grok
                | Type::TimePattern
                | Type::InstantPattern
                | Type::Network
                | Type::Pointer
                | Type::Ip
        )
    }

    /// Returns whether a value of the type has parts with names.
    pub(crate) fn has_parts(&self) -> bool {
        self.is_nested() || matches!(self, Type::List(_))
    }

    pub(crate) fn is_nested(&self) -> bool {
        match self {
            Type::List(item) => item.is_nested(),
            _ => matches!(self, Type::Map(_) | Type::Schema(_)),
        }
    }

    /// Returns whether the values of the type have an order.
    pub(crate) fn is_ordered(&self) -> bool {
        matches!(
            self,
            Type::Int
                | Type::Float
                | Type::Text
                | Type::Bytes
                | Type::Time
                | Type::Duration
                | Type::Size
                | Type::Decimal(..)
        )
    }

    /// Returns whether only settings can have values of the type, so that they are the same for all events.
    pub(crate) fn is_setting_only(&self) -> bool {
        match self {
            Type::List(item) | Type::Map(item) => item.is_setting_only(),
            _ => matches!(
                self,
                Type::EventRate
                    | Type::ByteRate
                    | Type::Address
                    | Type::Url
                    | Type::Glob
                    | Type::Zone
                    | Type::Template
                    | Type::Percent
                    | Type::Regex
                    | Type::Grok
                    | Type::TimePattern
                    | Type::InstantPattern
                    | Type::Network
                    | Type::Pointer
                    | Type::Group
                    | Type::Secret
                    | Type::Header
                    | Type::Named(_)
            ),
        }
    }

    /// Returns the name of the type, with a `?` if it is optional.
    pub(crate) fn named(&self, optional: bool) -> String {
        if optional { format!("{self}?") } else { self.to_string() }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::List(item) => write!(formatter, "[{item}]"),
            Type::Map(item) => write!(formatter, "Map<{item}>"),
            Type::Named(name) | Type::Variable(name, _) => formatter.write_str(name),
            Type::Schema(schema) => formatter.write_str(&schema.name),
            Type::Decimal(digits, scale) => write!(formatter, "Decimal({digits}, {scale})"),
            built_in => {
                let name = BUILT_IN.iter().find(|(_, other)| other == built_in).map_or("", |(name, _)| name);
                formatter.write_str(name)
            }
        }
    }
}
