//! What tests of programs ask components without running them: the events that a source makes of lines, and what a sink writes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use weir_plan::{Settings, Value};

use crate::batch::Batch;
use crate::failure::Failure;

/// Returns the bodies of the events that a source with these settings makes of a text of whole lines.
pub type EventsOfLines = fn(&Settings, &[u8]) -> Result<Vec<Vec<u8>>, Failure>;

/// Returns for each event of a batch what a sink with these settings writes: the parts that its templates make, by the names of the
/// settings, and the text of the event as `body`, if its format has one for each event.
pub type Writes = fn(&Settings, &Batch) -> Result<Vec<BTreeMap<String, Value>>, Failure>;

/// The previews of the components of a registry, by their kinds.
#[derive(Default)]
pub(crate) struct Previews {
    pub(crate) lines: BTreeMap<Cow<'static, str>, EventsOfLines>,
    pub(crate) writes: BTreeMap<Cow<'static, str>, Writes>,
}
