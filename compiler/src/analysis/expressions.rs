//! The types of expressions, and the uses of interceptors and qualities.

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

    /// The end of a range over all uses.
    pub(crate) const LAST: UseId = UseId(u32::MAX);
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

    /// Returns the place of a part of the program; for a part of the library, the place where the program uses it. `entry`
    /// is the first file of the program: those of the library come before.
    pub(crate) fn place(&self, entry: Option<FileId>, span: Span, used: UseId) -> Span {
        let (mut span, mut used) = (span, used);
        while entry.is_some_and(|entry| span.file < entry)
            && let Some(outer) = self.get(used)
        {
            (span, used) = (outer.at, outer.within);
        }
        span
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
