//! Compares a channel with the state that one of its sinks has recovered: channel or sink may have been cut, damaged,
//! deleted, or restored from a backup.

use thiserror::Error;
use tracing::warn;

use super::claim::Claim;
use super::incarnations::Missing;
use super::{FileChannel, PARTITION_PREFIX};
use crate::channel::{Incarnation, Reached, Recovered};
use crate::environment::storage::Storage;
use crate::failure::Failure;

/// The channel or the sink has lost a part of its state.
#[derive(Debug, Error)]
enum Divergence {
    #[error(
        "reader {reader} has had the events of this channel up to number {through}, and {place} has them up to {after}: events {} to {through} ({} of them) are missing in it. Its log was cut or damaged at its end, or was put back from a backup. {}",
        after + 1,
        through - after,
        way_out(place, "the directory")
    )]
    Events { reader: String, place: String, after: u64, through: u64 },
    #[error(
        "reader {reader} has had events of this channel up to number {through}, some of them under the incarnation {incarnation}, which {place} does not know: what was put under that is missing in it, of the {highest} events that it has numbered. Its log was cut or damaged at its end, or was put back from a backup. {}",
        way_out(place, "the directory")
    )]
    Incarnation { reader: String, place: String, through: u64, incarnation: Incarnation, highest: u64 },
    #[error(
        "reader {reader} has committed {kept} times, as {place} knows, and remembers only {mark} of them: its ledger was deleted, put back from a backup, or is another one than before. What it does not remember would come again. {}",
        way_out(place, "the ledger")
    )]
    Mark { reader: String, place: String, kept: u64, mark: u64 },
    #[error(
        "reader {reader} has had events up to number {through} of {stranger}, and none of the channel in {place}: that directory was deleted, or is another one than before. {}",
        way_out(place, "the directory")
    )]
    Stranger { reader: String, place: String, stranger: String, through: u64 },
    #[error(
        "{what}. What it has forgotten would come again. {}",
        way_out(place, "the ledger, with the channel's directory,")
    )]
    LedgerLoss { what: String, place: String },
}

fn way_out(place: &str, what: &str) -> String {
    format!(
        "No event was delivered, skipped or removed: put {what} back that belongs here, or go on without what is missing with `weir channel repair --accept-loss {place}`, which reads the file `claim` that this start has left there"
    )
}

impl<S: Storage> FileChannel<S> {
    /// See [`Channel::check_recovered`](crate::channel::Channel::check_recovered).
    pub(super) fn compare(&self, reader: &str, recovered: &Recovered) -> Result<(), Failure> {
        let (Some(storage), Some(partition)) = (self.shared.storage.get(), self.shared.partition.get())
        else {
            return Ok(());
        };
        let reached = recovered.reached.get(partition).copied();
        let Some(divergence) = self.divergence(reader, reached, recovered, storage.place()) else {
            // An earlier start may have been refused and have left a claim.
            let removed = Claim::remove(storage).and_then(|()| match self.has_accepted(reader, recovered) {
                true => Ok(()),
                false => Claim::remove_accepted(storage),
            });
            if let Err(error) = removed {
                warn!(component = %self.shared.component, "removing a claim that is no longer valid: {error}");
            }
            return Ok(());
        };
        let claim = Claim {
            reader: reader.to_owned(),
            through: reached.map_or(0, |reached| reached.through),
            incarnation: reached.and_then(|reached| reached.incarnation),
            mark: recovered.mark,
            message: divergence.to_string(),
        };
        if let Err(error) = claim.write(storage) {
            let component = &self.shared.component;
            warn!(component = %component, "writing down what is missing, for `weir channel repair`: {error}");
        }
        Err(Failure::permanent(divergence))
    }

    /// See [`Channel::accepts_loss`](crate::channel::Channel::accepts_loss).
    pub(super) fn has_accepted(&self, reader: &str, recovered: &Recovered) -> bool {
        let Some(storage) = self.shared.storage.get() else { return false };
        // An acceptance that can't be read is not valid.
        let accepted = Claim::accepted(storage).ok().flatten();
        accepted.is_some_and(|claim| claim.reader == reader && claim.mark == recovered.mark)
    }

    fn divergence(
        &self,
        reader: &str,
        reached: Option<Reached>,
        recovered: &Recovered,
        place: String,
    ) -> Option<Divergence> {
        let state = self.shared.lock();
        let reader = reader.to_owned();
        let highest = state.incarnations.highest_number(state.events_put);
        let missing = reached.and_then(|Reached { through, incarnation }| {
            state.incarnations.missing(state.events_put, through, incarnation)
        });
        let incarnation = reached.and_then(|reached| reached.incarnation);
        match (missing, incarnation) {
            (Some(Missing::Events { after, through }), _) => {
                return Some(Divergence::Events { reader, place, after, through });
            }
            (Some(Missing::Incarnation { through }), Some(incarnation)) => {
                return Some(Divergence::Incarnation { reader, place, through, incarnation, highest });
            }
            _ => {}
        }
        let kept = state.cursors.iter().find(|cursor| cursor.name == reader).map_or(0, |cursor| cursor.mark);
        let mark = recovered.mark;
        if mark < kept {
            return Some(Divergence::Mark { reader, place, kept, mark });
        }
        let mut strangers =
            recovered.reached.iter().filter(|(partition, _)| partition.name().starts_with(PARTITION_PREFIX));
        let stranger = strangers.next().filter(|_| reached.is_none() && !state.accepts_strangers);
        drop(state);
        if let Some((stranger, far)) = stranger {
            let stranger = stranger.name().to_owned();
            return Some(Divergence::Stranger { reader, place, stranger, through: far.through });
        }
        let forgotten = recovered.ledger_loss.as_ref().filter(|_| !self.has_accepted(&reader, recovered))?;
        Some(Divergence::LedgerLoss { what: forgotten.what.clone(), place })
    }
}
