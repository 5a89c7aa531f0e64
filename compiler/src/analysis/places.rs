//! Values by place and by use.

use std::collections::BTreeMap;

use weir_grammar::{FileId, Span};

use crate::analysis::expressions::UseId;

/// Values by their place in the program. Within an interceptor or a quality, each use has its own value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places<T> {
    values: BTreeMap<(Span, UseId), T>,
}

impl<T> Default for Places<T> {
    fn default() -> Places<T> {
        Places { values: BTreeMap::new() }
    }
}

impl<T: Default> Places<T> {
    /// Returns the value at a place, and adds the default value if there is none.
    pub(crate) fn at(&mut self, span: Span, used: UseId) -> &mut T {
        self.values.entry((span, used)).or_default()
    }
}

impl<T> Places<T> {
    /// Returns the value at a place.
    pub(crate) fn get(&self, span: Span, used: UseId) -> Option<&T> {
        self.values.get(&(span, used))
    }

    /// Returns the smallest place that contains a position.
    pub(crate) fn around(&self, file: FileId, position: u32) -> Option<Span> {
        let start = Span { file, start: 0, end: 0 };
        let end = Span { file, start: position, end: u32::MAX };
        let spans = self.values.range((start, UseId::NONE)..=(end, UseId::LAST)).map(|((span, _), _)| *span);
        spans.filter(|span| position <= span.end).min_by_key(|span| span.end - span.start)
    }

    /// Iterates over the uses that have a value for this place.
    pub(crate) fn uses(&self, span: Span) -> impl Iterator<Item = UseId> {
        self.values.range((span, UseId::NONE)..=(span, UseId::LAST)).map(|((_, used), _)| *used)
    }

    /// Iterates over all places with their values, in source order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Span, UseId, &T)> {
        self.values.iter().map(|((span, used), value)| (*span, *used, value))
    }
}
