//! The types of expressions, by place and by use.

use std::collections::BTreeMap;

use weir_grammar::{FileId, Span};

use crate::types::Type;

/// One use of an interceptor or a quality. The steps of an interceptor and the rules of a quality are checked again for
/// each use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UseId(u32);

impl UseId {
    /// No use. All text outside of interceptors and qualities has this ID, and so do the steps of an unused
    /// interceptor.
    pub const NONE: UseId = UseId(0);
}

/// The interceptor or quality that is used, and the step that uses it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// The span of the name in the declaration of the interceptor or quality.
    pub of: Span,
    /// The step that uses the interceptor or quality.
    pub at: Span,
    /// The use that the step belongs to, if the step is part of an interceptor.
    pub within: UseId,
}

/// All uses, in the order in which they were checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UseList {
    all: Vec<Use>,
}

impl UseList {
    /// Adds a use and returns its ID.
    pub(crate) fn add(&mut self, one: Use) -> UseId {
        self.all.push(one);
        UseId(self.all.len() as u32)
    }

    /// Returns the use with this ID; `None` for [`UseId::NONE`].
    pub(crate) fn get(&self, id: UseId) -> Option<Use> {
        self.all.get((id.0 as usize).checked_sub(1)?).copied()
    }

    /// Iterates over all uses with their IDs.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (UseId, Use)> {
        self.all.iter().enumerate().map(|(index, one)| (UseId(index as u32 + 1), *one))
    }
}

/// The type and the properties of an expression's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpressionType {
    /// The type of the value.
    pub value_type: Type,
    /// Whether the value may be null.
    pub optional: bool,
    /// Whether the value is sensitive, so that it must not be shown to every user.
    pub sensitive: bool,
    /// Whether the expression may fail.
    pub fails: bool,
}

/// The types of all checked expressions.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ExpressionTypes {
    /// The list is empty if the type is unknown. The value of a `let` has several types if its uses expect different
    /// types.
    types: BTreeMap<(Span, UseId), Vec<ExpressionType>>,
}

impl ExpressionTypes {
    /// Records the type of an expression. `None` marks the type as unknown, unless a type is recorded already.
    pub(crate) fn note(&mut self, span: Span, used: UseId, found: Option<ExpressionType>) {
        let types = self.types.entry((span, used)).or_default();
        types.extend(found.filter(|found| !types.contains(found)));
    }

    /// Returns the types of an expression at one use: `None` if there is no expression at this span, an empty slice if
    /// the type is unknown.
    pub(crate) fn of(&self, span: Span, used: UseId) -> Option<&[ExpressionType]> {
        self.types.get(&(span, used)).map(Vec::as_slice)
    }

    /// Iterates over the types of all expressions, in source order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Span, UseId, &[ExpressionType])> {
        self.types.iter().map(|((span, used), types)| (*span, *used, types.as_slice()))
    }

    /// Returns the smallest expression that contains a position.
    pub(crate) fn around(&self, file: FileId, position: u32) -> Option<Span> {
        let start = Span { file, start: 0, end: 0 };
        let end = Span { file, start: position, end: u32::MAX };
        let spans =
            self.types.range((start, UseId::NONE)..=(end, UseId(u32::MAX))).map(|((span, _), _)| *span);
        spans.filter(|span| position <= span.end).min_by_key(|span| span.end - span.start)
    }

    /// Iterates over the uses for which an expression was checked.
    pub(crate) fn uses(&self, span: Span) -> impl Iterator<Item = UseId> {
        self.types.range((span, UseId::NONE)..=(span, UseId(u32::MAX))).map(|((_, used), _)| *used)
    }
}
