//! The types of expressions, by place and by use.

use std::collections::BTreeMap;

use weir_grammar::{FileId, Span};

use crate::types::Type;

/// One use of a text that is checked wherever it is used: the steps of an interceptor, the rules of a quality.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UseId(u32);

impl UseId {
    /// No use: the text is checked where it stands. This holds for all text outside of interceptors and qualities, and
    /// for the steps of an interceptor that nothing uses.
    pub const NONE: UseId = UseId(0);
}

/// Which text is used, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Use {
    /// The place of the name of the interceptor or quality.
    pub of: Span,
    /// The step that uses it.
    pub at: Span,
    /// The use that the step itself belongs to, where an interceptor uses another one.
    pub within: UseId,
}

/// All uses, in the order in which they were checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct UseList {
    all: Vec<Use>,
}

impl UseList {
    /// Adds a use.
    pub(crate) fn add(&mut self, one: Use) -> UseId {
        self.all.push(one);
        UseId(self.all.len() as u32)
    }

    /// A use; none for [`UseId::NONE`].
    pub(crate) fn get(&self, id: UseId) -> Option<Use> {
        self.all.get((id.0 as usize).checked_sub(1)?).copied()
    }

    /// Every use with its number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (UseId, Use)> {
        self.all.iter().enumerate().map(|(index, one)| (UseId(index as u32 + 1), *one))
    }
}

/// What is known of an expression's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpressionType {
    /// The type of the value.
    pub value_type: Type,
    /// Whether the value may be null.
    pub optional: bool,
    /// Whether the value must not be shown to everybody.
    pub sensitive: bool,
    /// Whether the expression may fail.
    pub fails: bool,
}

/// The types of all expressions that were checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ExpressionTypes {
    /// Empty where the type is unknown. Several types are those of a let's value, which takes the form that each of its
    /// uses expects.
    types: BTreeMap<(Span, UseId), Vec<ExpressionType>>,
}

impl ExpressionTypes {
    /// Notes the type of an expression; none marks it as unknown, unless it is known already.
    pub(crate) fn note(&mut self, span: Span, used: UseId, found: Option<ExpressionType>) {
        let types = self.types.entry((span, used)).or_default();
        types.extend(found.filter(|found| !types.contains(found)));
    }

    /// The types of an expression at one use; none for a place without an expression, empty for unknown.
    pub(crate) fn of(&self, span: Span, used: UseId) -> Option<&[ExpressionType]> {
        self.types.get(&(span, used)).map(Vec::as_slice)
    }

    /// The types of all expressions, in the order of the text.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Span, UseId, &[ExpressionType])> {
        self.types.iter().map(|((span, used), types)| (*span, *used, types.as_slice()))
    }

    /// The smallest expression around a position.
    pub(crate) fn around(&self, file: FileId, position: u32) -> Option<Span> {
        let start = Span { file, start: 0, end: 0 };
        let end = Span { file, start: position, end: u32::MAX };
        let spans =
            self.types.range((start, UseId::NONE)..=(end, UseId(u32::MAX))).map(|((span, _), _)| *span);
        spans.filter(|span| position <= span.end).min_by_key(|span| span.end - span.start)
    }

    /// The uses at which an expression was checked.
    pub(crate) fn uses(&self, span: Span) -> impl Iterator<Item = UseId> {
        self.types.range((span, UseId::NONE)..=(span, UseId(u32::MAX))).map(|((_, used), _)| *used)
    }
}
