//! Flows and the steps of events.

use super::{Because, Call, Expression, Name, Path};
use crate::Span;

/// A flow.
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    /// Its name.
    pub name: Name,
    /// What it promises, as written; empty if it leaves that open.
    pub promises: Vec<Promise>,
    /// Its chains, in the order of the text.
    pub chains: Vec<Chain>,
    /// Whether there were chains that could not be read.
    pub broken: bool,
}

/// One word of `delivers …` with what belongs to it: `ordered by user`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// Its first word.
    pub name: Name,
    /// `totally`, if it is there.
    pub word: Option<Name>,
    /// What follows `by`, with the `@` of a header.
    pub by: Option<Name>,
    /// The whole.
    pub span: Span,
}

/// `a -> b -> c`
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    /// The whole chain.
    pub span: Span,
    /// What the arrows connect; never empty.
    pub stages: Vec<Stage>,
}

/// One end of an arrow.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// A component, or `rejects`.
    Name(Path),
    /// A step that events pass.
    Step(Step),
    /// `copy { a, b }`
    Copy(Copy),
    /// `match { status >= 500 -> alerts, _ -> rest }`
    Choice(Choice),
    /// `balance by @key { a, b }`
    Balance(Balance),
    /// `failover { primary, backup }`
    Failover(Failover),
}

impl Stage {
    /// Where the stage stands.
    pub fn span(&self) -> Span {
        match self {
            Stage::Name(path) => path.span(),
            Stage::Step(step) => step.span,
            Stage::Copy(copy) => copy.span,
            Stage::Choice(choice) => choice.span,
            Stage::Balance(balance) => balance.span,
            Stage::Failover(failover) => failover.span,
        }
    }
}

/// Replication to several branches.
#[derive(Debug, Clone, PartialEq)]
pub struct Copy {
    /// From the word to the closing brace.
    pub span: Span,
    /// Its branches.
    pub branches: Vec<Branch>,
    /// Whether there were branches that could not be read.
    pub broken: bool,
}

/// One branch of a `copy`.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// Whether it may fail without failing the event.
    pub optional: bool,
    /// Its steps and where it goes.
    pub chain: Chain,
}

/// A choice of one way for each event.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// From the word to the closing brace.
    pub span: Span,
    /// Its cases in their order: the first that fits is taken.
    pub cases: Vec<Case>,
    /// Whether there were cases that could not be read.
    pub broken: bool,
}

/// One case of a choice.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// What is asked; the name `_` is any event.
    pub condition: Expression,
    /// Its steps and where it goes.
    pub chain: Chain,
}

/// Spreading of events over several ways.
#[derive(Debug, Clone, PartialEq)]
pub struct Balance {
    /// From the word to the closing brace.
    pub span: Span,
    /// What keeps events together: those of one value go one way. Without, ways take turns.
    pub by: Option<Expression>,
    /// The ways.
    pub chains: Vec<Chain>,
    /// Whether there were ways that could not be read.
    pub broken: bool,
}

/// Sinks in the order of their priority.
#[derive(Debug, Clone, PartialEq)]
pub struct Failover {
    /// From the word to the closing brace.
    pub span: Span,
    /// The ways, the first choice first.
    pub chains: Vec<Chain>,
    /// Whether there were ways that could not be read.
    pub broken: bool,
}

/// A step.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The whole step.
    pub span: Span,
    /// What it does.
    pub kind: StepKind,
    /// What happens to an event on which it fails.
    pub handler: Option<Box<Handler>>,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum StepKind {
    /// `set field = expression`
    Set(Target, Expression),
    /// `unset field`
    Unset(Target),
    /// `rename a to b`
    Rename(Target, Target),
    /// `select { a, b }`; whether there were targets that could not be read.
    Select(Vec<Target>, bool),
    /// `parse json as Click`
    Parse(Box<Parse>),
    /// `keep if …`
    Keep(Expression),
    /// `drop if …`
    Drop(Expression),
    /// `reject if … because "…"`
    Reject(Expression, Option<Because>),
    /// `check sane`
    Check(Path),
    /// `let name = expression`
    Let(Name, Expression),
    /// `throttle 10MiB/s`
    Throttle(Expression),
    /// `sample 1%`
    Sample(Expression),
    /// `dedupe by @key within 10min`
    Dedupe(Expression, Expression),
    /// `tidy("user")`
    Use(Call),
}

/// A header, with its `@`, or a field.
pub type Target = Name;

/// `parse json as Click strict`
#[derive(Debug, Clone, PartialEq)]
pub struct Parse {
    /// The parser and what it is given.
    pub parser: Call,
    /// Whether the one argument stands without parentheses: `parse regex r"…"`.
    pub bare: bool,
    /// The schema of the fields.
    pub schema: Option<Path>,
    /// Whether fields that the schema doesn't name are a failure.
    pub strict: Option<Span>,
}

/// What happens to an event on which a step fails: `else reject`.
#[derive(Debug, Clone, PartialEq)]
pub struct Handler {
    /// From the word `else`.
    pub span: Span,
    /// What happens.
    pub failure: Failure,
}

/// What happens on a failure.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// `else reject`
    Reject,
    /// `else drop`
    Drop,
    /// `else value`
    Value(Expression),
}
