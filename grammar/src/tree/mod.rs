//! The syntax tree of a file. Names are not resolved, and nothing has a type.
//!
//! Syntax errors leave marks in the tree: `Broken` items and expressions, and blocks with `broken` set. Each mark
//! stands for an error that has been reported, so code that reads the tree must not report it again.
//!
//! The tree keeps parentheses, and comments by their places, for the formatter; the text of numbers
//! and strings is at their spans.

mod expression;
mod flow;
mod item;
mod nodes;
mod signature;
mod test;

pub use expression::{
    Argument, Arm, Block, Call, Conditional, Entry, Expression, ExpressionKind, Hole, Is, Number, Operator,
    Question, Text, TextPart, ValueMatch,
};
pub use flow::{
    Balance, Branch, Case, Chain, Choice, Copy, Failover, Failure, Flow, Handler, Parse, Promise, Stage,
    Step, StepKind, Target,
};
pub use item::{
    Agent, Component, Field, FieldRule, File, Function, Import, Interceptor, Item, ItemKind, Let, Quality,
    Role, Schema,
};
pub use nodes::{Node, nodes_at, walk};
pub use signature::{
    Amount, AmountKind, Column, Enum, Exclusive, ExposesClause, Extern, ExternFunction, ExternParser,
    OrderClause, OutsideClause, Parameter, Range, Record, Requirement, Setting, Shortfall, Signature,
    TouchedClause, Touches, TypeName, TypeNameKind, TypeParameter, Variant,
};
pub use test::{Act, ActKind, Fault, FileName, Row, Test};

use crate::Span;

/// A comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comment {
    /// The place, from the slashes to the end of the line.
    pub span: Span,
    /// The kind of the comment.
    pub kind: CommentKind,
}

/// The kinds of comments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommentKind {
    /// `//`, a plain comment.
    Plain,
    /// `///`, a doc comment of the following item or entry.
    Item,
    /// `//!`, a doc comment of the file.
    File,
}

/// A name, without backticks, with its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// The text.
    pub text: Box<str>,
    /// The place.
    pub span: Span,
}

/// A name with an optional qualifier: `shared.Click`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The qualifier that an import declares for a file.
    pub qualifier: Option<Name>,
    /// The name in that file, or in this file without a qualifier.
    pub name: Name,
}

impl Path {
    /// Returns the place of the path.
    pub fn span(&self) -> Span {
        match &self.qualifier {
            Some(qualifier) => qualifier.span.to(self.name.span),
            None => self.name.span,
        }
    }
}

/// The reason of a rule: `because "…"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Because {
    /// The reason, which diagnostics show.
    pub text: String,
    /// The place of the text, including the quotes.
    pub span: Span,
}
