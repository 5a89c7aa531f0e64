//! Items of the library: signatures of components, functions and parsers, and types.

use super::{Because, Expression, Name, Path, Role};
use crate::Span;

/// A component's signature.
#[derive(Debug, Clone, PartialEq)]
pub struct Extern {
    /// The component's role in the graph.
    pub role: Role,
    /// The name in the library.
    pub name: Name,
    /// The delivery class.
    pub class: Name,
    /// Whether a path without a channel gets this one.
    pub default: bool,
    /// The settings and clauses.
    pub signature: Signature,
}

/// A parser's signature: `extern parser json: typed { … }`.
#[derive(Debug, Clone, PartialEq)]
pub struct ExternParser {
    /// The name in the library.
    pub name: Name,
    /// The origin of the parsed fields: `typed` for a schema, `fixed` for the parser's own `emits`, `groups` for the
    /// named groups of its pattern.
    pub class: Name,
    /// The settings and the emitted fields.
    pub signature: Signature,
}

/// A function's signature: `extern fn min<T: Ordered>(a: T, b: T) -> T`.
#[derive(Debug, Clone, PartialEq)]
pub struct ExternFunction {
    /// The name in the library.
    pub name: Name,
    /// The type parameters, which each call chooses.
    pub type_parameters: Vec<TypeParameter>,
    /// The parameters.
    pub parameters: Vec<Parameter>,
    /// The type of its result.
    pub result: TypeName,
    /// `in 0..=23`: the values that the result may have.
    pub range: Option<Range>,
    /// `varies`: two calls with the same arguments may have different results.
    pub varies: bool,
    /// `masks`: the result reveals nothing about a sensitive argument.
    pub masks: bool,
    /// `fails because "…"`: the function fails for some arguments.
    pub fails: Option<Because>,
}

/// A type parameter with its bound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeParameter {
    /// The name.
    pub name: Name,
    /// The bound, which limits the types.
    pub bound: Name,
}

/// A parameter of a function or an interceptor.
#[derive(Debug, Clone, PartialEq)]
pub struct Parameter {
    /// The name.
    pub name: Name,
    /// Whether the argument is a field or a header itself instead of a value.
    pub field: bool,
    /// The allowed types; empty for a field of any type.
    pub types: Vec<TypeName>,
    /// The default value.
    pub default: Option<Expression>,
}

/// The settings and clauses of a component, a record or a variant.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Signature {
    /// The settings.
    pub settings: Vec<Setting>,
    /// `emits { … }`, of a source or a parser.
    pub emits: Option<Vec<Column>>,
    /// `needs { … }`, of a sink or of a variant in a sink's settings.
    pub needs: Option<Vec<Column>>,
    /// `flat because "…"`, of a parser or of a format: each field is a single value.
    pub flat: Option<Because>,
    /// Exceptions to the component's delivery class: conditions under which it loses or repeats events.
    pub shortfalls: Vec<Shortfall>,
    /// What is known of the order of events beyond the order of each partition.
    pub orders: Vec<OrderClause>,
    /// What a source reads, or a sink writes.
    pub outside: Vec<OutsideClause>,
    /// Rules between settings.
    pub requires: Vec<Requirement>,
    /// Upper limits for the amounts that a component puts, takes, waits, holds, uses, stores or rolls.
    pub amounts: Vec<Amount>,
    /// What the agent touches on its machine whatever the settings name: `touches input "/etc/krb5.conf"`.
    pub touched: Vec<TouchedClause>,
    /// What others can see or do: `exposes link because "…"`.
    pub exposes: Vec<ExposesClause>,
}

/// `name: Type in RANGE = default`
#[derive(Debug, Clone, PartialEq)]
pub struct Setting {
    /// The name.
    pub name: Name,
    /// The doc comment without the marks.
    pub documentation: String,
    /// The type of its values.
    pub type_name: TypeName,
    /// Whether two components of a program must not have the same value.
    pub exclusive: Option<Exclusive>,
    /// The allowed values; all if there is no range.
    pub range: Option<Range>,
    /// What the agent reaches or touches by the value: `touches port`.
    pub touches: Vec<Touches>,
    /// The default value.
    pub default: Option<Expression>,
}

/// `touches KIND if CONDITION`, behind the type of a setting
#[derive(Debug, Clone, PartialEq)]
pub struct Touches {
    /// What the value names: `port`, `datagrams`, `host`, `input`, `output` or `state`.
    pub kind: Name,
    /// The condition; always if there is none.
    pub condition: Option<Expression>,
}

/// `touches KIND "…" if CONDITION`
#[derive(Debug, Clone, PartialEq)]
pub struct TouchedClause {
    /// What the text names: as behind a setting, or `variable`.
    pub kind: Name,
    /// The path, the address or the name of the variable, with its place.
    pub what: Name,
    /// The condition; always if there is none.
    pub condition: Option<Expression>,
}

/// `exposes WHAT if CONDITION because "…"`
#[derive(Debug, Clone, PartialEq)]
pub struct ExposesClause {
    /// `link`, `secret`, `entry` or `peer`.
    pub what: Name,
    /// The condition; always if there is none.
    pub condition: Option<Expression>,
    /// The reason, which diagnostics show.
    pub because: Because,
}

/// `exclusive unless CONDITION`
#[derive(Debug, Clone, PartialEq)]
pub struct Exclusive {
    /// Components for which the condition is true may share the value with components for which it is false, but not with
    /// each other.
    pub unless: Option<Expression>,
}

/// `@header: Type` or `body: Type`
#[derive(Debug, Clone, PartialEq)]
pub struct Column {
    /// The name; a header's name includes the `@`.
    pub name: Name,
    /// The doc comment without the marks.
    pub documentation: String,
    /// The type.
    pub type_name: TypeName,
}

/// `requires a <= b because "…"`
#[derive(Debug, Clone, PartialEq)]
pub struct Requirement {
    /// The place of the clause.
    pub span: Span,
    /// The condition.
    pub condition: Expression,
    /// The reason, which diagnostics show.
    pub because: Because,
}

/// `loses if CONDITION because "…"` or `repeats if CONDITION unless CONDITION because "…"`
#[derive(Debug, Clone, PartialEq)]
pub struct Shortfall {
    /// Whether events may be lost; otherwise they may be repeated.
    pub loses: bool,
    /// The condition; always if there is none.
    pub condition: Option<Expression>,
    /// The condition on the only sink behind a source, by which the sink commits the source's positions; never if there is none.
    pub unless: Option<Expression>,
    /// The reason, which diagnostics show.
    pub because: Because,
}

/// `orders totally if CONDITION because "…"`, and the same with `nothing`, `once` and `by NAME`
#[derive(Debug, Clone, PartialEq)]
pub struct OrderClause {
    /// `totally`, `nothing` or `once`, or the header, column or setting after `by`.
    pub name: Name,
    /// Whether the name stands after `by`.
    pub by: bool,
    /// The condition; always if there is none.
    pub condition: Option<Expression>,
    /// The reason, which diagnostics show.
    pub because: Because,
}

/// `reads SETTING within SETTING`, and the same with `writes`
#[derive(Debug, Clone, PartialEq)]
pub struct OutsideClause {
    /// Whether the component reads; otherwise it writes.
    pub reads: bool,
    /// The setting that names what is read or written: a text, a list of texts, or a template.
    pub name: Name,
    /// The setting that says where that is: on which servers. Two places are the same if they have a value in common.
    pub within: Option<Name>,
}

/// `puts EXPRESSION if CONDITION because "…"`, and the same with `takes`, `waits`, `holds`, `uses memory`, `uses disk`,
/// `stores` and `rolls`
#[derive(Debug, Clone, PartialEq)]
pub struct Amount {
    /// The kind of the amount.
    pub kind: AmountKind,
    /// The maximum, computed from the settings.
    pub most: Expression,
    /// The condition; always if there is none.
    pub condition: Option<Expression>,
    /// The reason, which diagnostics show.
    pub because: Because,
}

/// The kinds of amounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AmountKind {
    /// `puts`: the bytes that a source puts as one unit.
    Puts,
    /// `takes`: the bytes that a channel accepts in one transaction.
    Takes,
    /// `waits`: the time that a peer of a source waits for the delivery of its events.
    Waits,
    /// `holds`: the time that a sink holds events before it delivers them.
    Holds,
    /// `uses memory`: bytes of memory. The clauses that apply are added up.
    Memory,
    /// `uses disk`: bytes on disk. The clauses that apply are added up.
    Disk,
    /// `stores`: the events or bytes that a channel holds.
    Stores,
    /// `rolls`: the time, events or bytes after which a sink closes a file.
    Rolls,
}

/// The name of a type in the source text.
#[derive(Debug, Clone, PartialEq)]
pub struct TypeName {
    /// The place of the type.
    pub span: Span,
    /// Whether the type ends in `?`.
    pub optional: bool,
    /// The type without the `?`.
    pub kind: TypeNameKind,
}

/// The kinds of type names, without the `?`.
#[derive(Debug, Clone, PartialEq)]
pub enum TypeNameKind {
    /// `Text`
    Name(Path),
    /// `[Text]`
    List(Box<TypeName>),
    /// `Map<Text>`
    Applied(Name, Box<TypeName>),
    /// `Decimal(10, 2)`: the name and two numbers; in a result of the library also names of parameters.
    Sized(Name, Box<Expression>, Box<Expression>),
}

/// `1..=10`, `1..10` or `1..`
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// The place of the range.
    pub span: Span,
    /// The least value.
    pub least: Expression,
    /// The greatest value.
    pub greatest: Option<Expression>,
    /// Whether the greatest value is included.
    pub inclusive: bool,
}

/// An enumeration.
#[derive(Debug, Clone, PartialEq)]
pub struct Enum {
    /// The name.
    pub name: Name,
    /// The variants.
    pub variants: Vec<Variant>,
}

/// A variant of an enumeration.
#[derive(Debug, Clone, PartialEq)]
pub struct Variant {
    /// The name.
    pub name: Name,
    /// The doc comment without the marks.
    pub documentation: String,
    /// The variant's settings, if it has a block.
    pub signature: Option<Signature>,
}

/// A record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// The name.
    pub name: Name,
    /// The settings and clauses.
    pub signature: Signature,
}
