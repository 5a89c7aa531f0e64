//! The columns of the events at each place of a flow.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_grammar::{FileId, Span};

use crate::analysis::expressions::UseId;
use crate::types::columns::Columns;

/// The columns of the events before and after a place. `None` if the columns are unknown.
#[derive(Debug, Clone, Default)]
pub struct Events {
    /// The columns of the events that arrive at the place.
    pub before: Option<Arc<Columns>>,
    /// The columns of the events that leave the place. `None` for a sink: no events leave it.
    pub after: Option<Arc<Columns>>,
}

/// The columns of the events at each step, and at each name of a component in a flow.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventPlaces {
    places: BTreeMap<(Span, UseId), Events>,
}

impl EventPlaces {
    /// Records the columns of the events that arrive at a place.
    pub(crate) fn before(&mut self, span: Span, used: UseId, columns: Option<Arc<Columns>>) {
        self.places.entry((span, used)).or_default().before = columns;
    }

    /// Records the columns of the events that leave a place.
    pub(crate) fn after(&mut self, span: Span, used: UseId, columns: Option<Arc<Columns>>) {
        self.places.entry((span, used)).or_default().after = columns;
    }

    /// Returns the columns of the events at a place.
    pub(crate) fn get(&self, span: Span, used: UseId) -> Option<&Events> {
        self.places.get(&(span, used))
    }

    /// Returns the smallest place that contains a position.
    pub(crate) fn around(&self, file: FileId, position: u32) -> Option<Span> {
        let start = Span { file, start: 0, end: 0 };
        let end = Span { file, start: position, end: u32::MAX };
        let places = self.places.range((start, UseId::NONE)..).map(|((span, _), _)| *span);
        let places = places.take_while(|span| *span <= end).filter(|span| position <= span.end);
        places.min_by_key(|span| span.end - span.start)
    }

    /// Iterates over all places, in source order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Span, UseId, &Events)> {
        self.places.iter().map(|((span, used), events)| (*span, *used, events))
    }
}
