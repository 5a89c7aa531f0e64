//! Flows and the steps of events.

use super::{Because, Call, Expression, Name, Path};
use crate::Span;

/// A flow.
#[derive(Debug, Clone, PartialEq)]
pub struct Flow {
    /// The name.
    pub name: Name,
    /// The promises of `delivers`, as written; empty without `delivers`.
    pub promises: Vec<Promise>,
    /// The chains, in the order of the text.
    pub chains: Vec<Chain>,
    /// Whether a chain has a syntax error and is missing.
    pub broken: bool,
}

/// One promise of `delivers`, such as `ordered by user`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Promise {
    /// The first word.
    pub name: Name,
    /// The word `totally`, if it is written.
    pub word: Option<Name>,
    /// The field or header after `by`; a header's name includes the `@`.
    pub by: Option<Name>,
    /// The place of the promise.
    pub span: Span,
}

/// `a -> b -> c`
#[derive(Debug, Clone, PartialEq)]
pub struct Chain {
    /// The place of the chain.
    pub span: Span,
    /// The stages that the arrows connect; never empty.
    pub stages: Vec<Stage>,
}

/// A stage of a chain, at an end of an arrow.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// A component, or `rejects`.
    Name(Path),
    /// A step.
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
    /// Returns the place of the stage.
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

/// Copies each event to several branches.
#[derive(Debug, Clone, PartialEq)]
pub struct Copy {
    /// The place, from the keyword to the closing brace.
    pub span: Span,
    /// The branches.
    pub branches: Vec<Branch>,
    /// Whether a branch has a syntax error and is missing.
    pub broken: bool,
}

/// One branch of a `copy`.
#[derive(Debug, Clone, PartialEq)]
pub struct Branch {
    /// Whether a failure of the branch does not fail the event.
    pub optional: bool,
    /// The steps and the target of the branch or case.
    pub chain: Chain,
}

/// Sends each event to one of several cases.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// The place, from the keyword to the closing brace.
    pub span: Span,
    /// The cases, in order: the first matching case takes the event.
    pub cases: Vec<Case>,
    /// Whether a case has a syntax error and is missing.
    pub broken: bool,
}

/// One case of a choice.
#[derive(Debug, Clone, PartialEq)]
pub struct Case {
    /// The condition; the name `_` matches every event.
    pub condition: Expression,
    /// The steps and the target of the branch or case.
    pub chain: Chain,
}

/// Distributes events over several chains.
#[derive(Debug, Clone, PartialEq)]
pub struct Balance {
    /// The place, from the keyword to the closing brace.
    pub span: Span,
    /// The key: events with equal keys go to the same chain. Without a key, events are distributed round robin.
    pub by: Option<Expression>,
    /// The chains.
    pub chains: Vec<Chain>,
    /// Whether a chain has a syntax error and is missing.
    pub broken: bool,
}

/// Sends events to the first sink that works.
#[derive(Debug, Clone, PartialEq)]
pub struct Failover {
    /// The place, from the keyword to the closing brace.
    pub span: Span,
    /// The chains, by decreasing priority.
    pub chains: Vec<Chain>,
    /// Whether a chain has a syntax error and is missing.
    pub broken: bool,
}

/// A step.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// The place of the step.
    pub span: Span,
    /// The kind of the step.
    pub kind: StepKind,
    /// The handling of an event for which the step fails.
    pub handler: Option<Box<Handler>>,
}

/// The kinds of steps.
#[derive(Debug, Clone, PartialEq)]
pub enum StepKind {
    /// `set field = expression`
    Set(Target, Expression),
    /// `unset field`
    Unset(Target),
    /// `rename a to b`
    Rename(Target, Target),
    /// `select { a, b }`; the flag is true if a target has a syntax error and is missing.
    Select(Vec<Target>, bool),
    /// `explode list`
    Explode(Target),
    /// `flatten record`
    Flatten(Target),
    /// `parse json as Click`
    Parse(Box<Parse>),
    /// `keep if …`
    Keep(Expression),
    /// `drop if …`
    Drop(Expression),
    /// `reject if … because "…"`
    Reject(Expression, Option<Because>),
    /// `reject because "…"`, at the end of a chain: all events.
    RejectAll(Option<Because>),
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

/// A field, or a header with its `@`.
pub type Target = Name;

/// `parse json as Click strict`
#[derive(Debug, Clone, PartialEq)]
pub struct Parse {
    /// The parser and its arguments.
    pub parser: Call,
    /// Whether the only argument has no parentheses: `parse regex r"…"`.
    pub bare: bool,
    /// The schema of the fields.
    pub schema: Option<Path>,
    /// Whether fields that are not in the schema fail the step.
    pub strict: Option<Span>,
}

/// The handling of an event for which a step fails: `else reject`.
#[derive(Debug, Clone, PartialEq)]
pub struct Handler {
    /// The place, from the word `else`.
    pub span: Span,
    /// The reaction.
    pub failure: Failure,
}

/// The reaction to a failure.
#[derive(Debug, Clone, PartialEq)]
pub enum Failure {
    /// `else reject`
    Reject,
    /// `else drop`
    Drop,
    /// `else value`
    Value(Expression),
}
