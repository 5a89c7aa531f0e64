//! The columns of the events at each place of a flow.

use std::sync::Arc;

use crate::types::columns::Columns;

/// The columns of the events before and after a place. `None` if the columns are unknown.
#[derive(Debug, Clone, Default)]
pub struct Events {
    /// The columns of the events that arrive at the place.
    pub before: Option<Arc<Columns>>,
    /// The columns of the events that leave the place. `None` for a sink: no events leave it.
    pub after: Option<Arc<Columns>>,
}
