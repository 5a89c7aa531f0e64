//! Sources that may only have been renamed. A durable channel knows by a source's name how far it was read, so a source with
//! another name reads everything again.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::starting::NotStarted;
use super::{Agent, BuiltSource, Leg};
use crate::failure::Failure;
use crate::source::{scope_names, source_of_scope};

impl Agent {
    /// Returns the same agent with the names of sources that are known to be new, so that they may begin at their start.
    pub fn with_new_sources(self, names: impl IntoIterator<Item = String>) -> Agent {
        Agent { new_sources: names.into_iter().collect(), ..self }
    }

    /// Refuses a source of whose positions an open channel knows nothing, if the channel knows those of a source that the
    /// program no longer has: one was renamed to the other, or one is new and the other is gone.
    ///
    /// # Errors
    /// Names the channel and both sources.
    pub(super) fn refuse_renamed_sources(&self) -> Result<(), NotStarted> {
        let present: BTreeSet<&str> = self.sources.iter().map(|source| &*source.name).collect();
        let asked = |source: &&BuiltSource| {
            source.source.keeps_exactly_once() && !self.new_sources.contains(&*source.name)
        };
        for source in self.sources.iter().filter(asked) {
            let targets =
                source.legs.iter().flat_map(Leg::targets).zip(scope_names(&source.name, &source.legs));
            for (target, _) in targets.filter(|(target, _)| target.channel.is_durable() && !target.optional) {
                let scopes = target.channel.scopes();
                let known: BTreeSet<&str> =
                    scopes.iter().filter_map(|scope| source_of_scope(scope)).collect();
                if known.contains(&*source.name) {
                    continue;
                }
                if let Some(gone) = known.difference(&present).next() {
                    let (component, place) = (target.name.clone(), target.channel.place());
                    let failure = refusal(&place.unwrap_or_default(), gone, &source.name);
                    return Err(NotStarted::Failed { component: Arc::from(&*component), failure });
                }
            }
        }
        Ok(())
    }
}

fn refusal(place: &str, gone: &str, new: &str) -> Failure {
    Failure::permanent(format!(
        "{place} knows how far the source `{gone}` was read, which this program does not have, and nothing of the source \
         `{new}`. A source that was renamed would read everything again: call it `{gone}` as before, or say that it is \
         another source with `weir run --new-source {new}`"
    ))
}
