//! What the library declares: signatures of components, functions and parsers, and types.

use super::{Because, Expression, Name, Path, Role};
use crate::Span;

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

/// A parser's signature: `extern parser json: typed { … }`.
#[derive(Debug, Clone, PartialEq)]
pub struct ExternParser {
    /// Its name in the library.
    pub name: Name,
    /// Where its fields come from: `typed` from a schema, `fixed` from its own `emits`, `groups` from the
    /// named groups of its pattern.
    pub class: Name,
    /// Its settings and the fields that it emits.
    pub signature: Signature,
}

/// A function's signature: `extern fn min<T: Ordered>(a: T, b: T) -> T`.
#[derive(Debug, Clone, PartialEq)]
pub struct ExternFunction {
    /// Its name in the library.
    pub name: Name,
    /// Types that a call chooses.
    pub type_parameters: Vec<TypeParameter>,
    /// What each call gives it.
    pub parameters: Vec<Parameter>,
    /// The type of its result.
    pub result: TypeName,
    /// `varies`: two calls with the same arguments may differ.
    pub varies: bool,
    /// `masks`: its result tells nothing about a sensitive argument.
    pub masks: bool,
    /// `fails because "…"`: not every argument has a result.
    pub fails: Option<Because>,
}

/// A type that a call chooses among those that the bound names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeParameter {
    /// Its name.
    pub name: Name,
    /// Its bound.
    pub bound: Name,
}

/// A parameter of a function or an interceptor.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// Its name.
    pub name: Name,
    /// Whether it is a field or a header itself, not a value.
    pub field: bool,
    /// The types that it may have; empty for a field of any type.
    pub types: Vec<TypeName>,
    /// Its value where a use gives none.
    pub default: Option<Expression>,
}

/// The settings and clauses of a component, a record or a variant.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Signature {
    /// The settings.
    pub settings: Vec<Setting>,
    /// `emits { … }`, of a source or a parser.
    pub emits: Option<Vec<Column>>,
    /// `needs { … }`, of a sink or of a variant that a sink may be set to.
    pub needs: Option<Vec<Column>>,
    /// What a component may do although its class would not, or one that is set to a variant.
    pub shortfalls: Vec<Shortfall>,
    /// The rules that hold between settings.
    pub requires: Vec<Requirement>,
    /// What a component puts, takes, waits or holds at most.
    pub amounts: Vec<Amount>,
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
    /// Whether no two components of a program may have the same value.
    pub exclusive: Option<Exclusive>,
    /// The values that are allowed, if not all.
    pub range: Option<Range>,
    /// Its value where none is given.
    pub default: Option<Expression>,
}

/// `exclusive unless CONDITION`
#[derive(Debug, Clone, PartialEq)]
pub struct Exclusive {
    /// Components for which it holds share the value with none of their kind, and with all others.
    pub unless: Option<Expression>,
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
    pub because: Because,
}

/// `loses if CONDITION because "…"` or `repeats if CONDITION because "…"`
#[derive(Debug, Clone, PartialEq)]
pub struct Shortfall {
    /// Whether events may be lost; else they may be repeated.
    pub loses: bool,
    /// When that is so, if not always.
    pub condition: Option<Expression>,
    /// Why, for whoever relies on it.
    pub because: Because,
}

/// `puts EXPRESSION if CONDITION because "…"`, and the same with `takes`, `waits` and `holds`
#[derive(Debug, Clone, PartialEq)]
pub struct Amount {
    /// What it is an amount of.
    pub kind: AmountKind,
    /// How much, from the settings.
    pub most: Expression,
    /// When that is so, if not always.
    pub condition: Option<Expression>,
    /// Why, for whoever meets the bound.
    pub because: Because,
}

/// What an [`Amount`] bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmountKind {
    /// `puts`: the bytes that a source puts as one whole.
    Puts,
    /// `takes`: the bytes that a channel takes in one transaction.
    Takes,
    /// `waits`: how long the peer of a source waits until its events are delivered.
    Waits,
    /// `holds`: how long a sink holds events before it delivers them.
    Holds,
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
    Name(Path),
    /// `[Text]`
    List(Box<TypeName>),
    /// `Map<Text>`
    Applied(Name, Box<TypeName>),
    /// `Decimal(10, 2)`: name and the two numbers.
    Sized(Name, Box<Expression>, Box<Expression>),
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
