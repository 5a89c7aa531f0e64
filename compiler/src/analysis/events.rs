//! The events at the places of flows.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_grammar::{FileId, Span};

use crate::analysis::expressions::UseId;
use crate::types::columns::Columns;

/// The events in front of a place and behind it. None where nothing is known of them.
#[derive(Debug, Clone, Default)]
pub struct Events {
    /// The events that come to the place.
    pub before: Option<Arc<Columns>>,
    /// The events that leave it. Nothing leaves a sink.
    pub after: Option<Arc<Columns>>,
}

/// The events at all steps, and at all names of components in flows.
#[derive(Debug, Clone, Default)]
pub(crate) struct EventPlaces {
    places: BTreeMap<(Span, UseId), Events>,
}

impl EventPlaces {
    /// Notes the events that come to a place.
    pub(crate) fn before(&mut self, span: Span, used: UseId, columns: Option<Arc<Columns>>) {
        self.places.entry((span, used)).or_default().before = columns;
    }

    /// Notes the events that leave a place.
    pub(crate) fn after(&mut self, span: Span, used: UseId, columns: Option<Arc<Columns>>) {
        self.places.entry((span, used)).or_default().after = columns;
    }

    /// The events at a place.
    pub(crate) fn get(&self, span: Span, used: UseId) -> Option<&Events> {
        self.places.get(&(span, used))
    }

    /// The smallest place around a position, with the uses at which it was checked.
    pub(crate) fn around(&self, file: FileId, position: u32) -> Option<Span> {
        let start = Span { file, start: 0, end: 0 };
        let end = Span { file, start: position, end: u32::MAX };
        let places = self.places.range((start, UseId::NONE)..).map(|((span, _), _)| *span);
        let places = places.take_while(|span| *span <= end).filter(|span| position <= span.end);
        places.min_by_key(|span| span.end - span.start)
    }

    /// All places, in the order of the text.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Span, UseId, &Events)> {
        self.places.iter().map(|((span, used), events)| (*span, *used, events))
    }
}
