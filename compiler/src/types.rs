//! Types of settings, params, headers and fields.

use std::fmt;
use std::sync::Arc;

/// A type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Type {
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
    /// A pattern of file names.
    Glob,
    /// The name of a time zone.
    Zone,
    /// Text with holes that events fill.
    Template,
    /// `[T]`
    List(Box<Type>),
    /// An enum or a record of the library.
    Named(Arc<str>),
}

/// The names of the types that every library has.
pub(crate) const BUILT_IN: [(&str, Type); 15] = [
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
];

impl Type {
    /// The built-in type of this name.
    pub(crate) fn built_in(name: &str) -> Option<Type> {
        BUILT_IN.iter().find(|(built_in, _)| *built_in == name).map(|(_, built_in)| built_in.clone())
    }

    /// Whether its values are written as text in quotes.
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
        )
    }

    /// Its name, with the `?` of an optional one.
    pub(crate) fn named(&self, optional: bool) -> String {
        if optional { format!("{self}?") } else { self.to_string() }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::List(item) => write!(formatter, "[{item}]"),
            Type::Named(name) => formatter.write_str(name),
            built_in => {
                let name = BUILT_IN.iter().find(|(_, other)| other == built_in).map_or("", |(name, _)| name);
                formatter.write_str(name)
            }
        }
    }
}
