//! The tree of a file as it was written: nothing is resolved and nothing has a type yet.
//!
//! Mistakes are holes in the tree: `Broken` items and expressions, and blocks marked `broken`. Each
//! of them stands for an error that has been reported, so whoever reads the tree stays silent about it.
//!
//! The tree keeps what a formatter needs (parentheses, comments by their places); the text of numbers
//! and strings is at their spans.

mod expression;
mod flow;
mod item;
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
pub use signature::{
    Amount, AmountKind, Column, Enum, Exclusive, Extern, ExternFunction, ExternParser, Parameter, Range,
    Record, Requirement, Setting, Shortfall, Signature, TypeName, TypeNameKind, TypeParameter, Variant,
};
pub use test::{Act, ActKind, Fault, Test};

use crate::Span;

/// A comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Comment {
    /// Where it stands, from its slashes to the end of its line.
    pub span: Span,
    /// What it belongs to.
    pub kind: CommentKind,
}

/// What a comment belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommentKind {
    /// `//`, to the reader.
    Plain,
    /// `///`, to the item or entry that follows.
    Item,
    /// `//!`, to the file.
    File,
}

/// A name where it stands, without backticks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Name {
    /// Its text.
    pub text: Box<str>,
    /// Where it stands.
    pub span: Span,
}

/// A name that may be another file's: `shared.Click`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// The name that the import gave to the file.
    pub qualifier: Option<Name>,
    /// The name in that file, or in this one.
    pub name: Name,
}

impl Path {
    /// Where the path stands.
    pub fn span(&self) -> Span {
        match &self.qualifier {
            Some(qualifier) => qualifier.span.to(self.name.span),
            None => self.name.span,
        }
    }
}

/// Why something must hold: `because "…"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Because {
    /// The reason, for whoever breaks the rule.
    pub text: String,
    /// Where the text stands, quotes included.
    pub span: Span,
}
