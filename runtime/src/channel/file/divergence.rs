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
        "reader {reader} has had events of this channel up to number {through}, some of them under the incarnation {incarnation}, which {place} does not know: what was put under that is missing in it. It has given numbers up to {highest}. Its log was cut or damaged at its end, or was put back from a backup. {}",
        way_out(place, "the directory")
    )]
    Incarnation { reader: String, place: String, through: u64, incarnation: Incarnation, highest: u64 },
    #[error(
        "{place} knows of commit number {kept} of reader {reader}, which remembers {}: its ledger was deleted, put back from a backup, or is another one than before. What it does not remember would come again. {}",
        remembered(*mark),
        way_out(place, "the ledger")
    )]
    Mark { reader: String, place: String, kept: u64, mark: u64 },
    #[error(
        "reader {reader} has had events up to number {through} of {stranger}, and none of the channel in {place}: that directory was deleted, or is another one than before. What its sources still have would come again. {}",
        way_out(place, "the directory")
    )]
    Stranger { reader: String, place: String, stranger: String, through: u64 },
    #[error(
        "reader {reader} has had events up to number {through} of {stranger}, which came in the place of the channel in {place} after this one was read last: what came by the one may come again by the other. {}",
        way_out(place, "the directory of the other one")
    )]
    Superseded { reader: String, place: String, stranger: String, through: u64 },
    #[error(
        "{what}. What it has forgotten would come again. {}",
        way_out(place, "the ledger, with the channel's directory,")
    )]
    LedgerLoss { what: String, place: String },
}

fn remembered(mark: u64) -> String {
    match mark {
        0 => "no commit".to_owned(),
        mark => format!("no later one than {mark}"),
    }
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
            let removed = Claim::remove(storage).and_then(|()| match self.accepted(reader, recovered) {
                Some(_) => Ok(()),
                None => Claim::remove_accepted(storage),
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
            kept: self.kept(reader, recovered),
            message: divergence.to_string(),
        };
        if let Err(error) = claim.write(storage) {
            let component = &self.shared.component;
            warn!(component = %component, "writing down what is missing, for `weir channel repair`: {error}");
        }
        Err(Failure::permanent(divergence))
    }

    /// Returns the claim that a repair has accepted for this sink in the recovered state.
    pub(super) fn accepted(&self, reader: &str, recovered: &Recovered) -> Option<Claim> {
        // An acceptance that can't be read is not valid.
        let accepted = Claim::accepted(self.shared.storage.get()?).ok().flatten();
        accepted.filter(|claim| claim.reader == reader && claim.mark == recovered.mark)
    }

    /// Returns the highest mark of this sink that the channel was told of. A repair that accepts a lower mark forgets it.
    fn kept(&self, reader: &str, recovered: &Recovered) -> u64 {
        let state = self.shared.lock();
        let kept = state.cursors.iter().find(|cursor| cursor.name == reader).map_or(0, |cursor| cursor.mark);
        drop(state);
        self.accepted(reader, recovered).map_or(kept, |claim| claim.kept.max(kept))
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
        let missing = reached.and_then(|Reached { through, incarnation, .. }| {
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
        drop(state);
        if self.accepted(&reader, recovered).is_some() {
            return None;
        }
        if let Some((stranger, through)) = self.read_instead(reached, recovered) {
            return Some(match reached {
                None => Divergence::Stranger { reader, place, stranger, through },
                Some(_) => Divergence::Superseded { reader, place, stranger, through },
            });
        }
        let loss = recovered.ledger_loss.as_ref()?;
        Some(Divergence::LedgerLoss { what: loss.what.clone(), place })
    }

    /// Returns the channel that the sink has read instead of this one, and its highest number that the sink has: the sink
    /// does not read that channel any more, and began to read it after it had read this one last.
    fn read_instead(&self, reached: Option<Reached>, recovered: &Recovered) -> Option<(String, u64)> {
        let own = self.shared.partition.get();
        let others = recovered.reached.iter().filter(|(partition, other)| {
            partition.name().starts_with(PARTITION_PREFIX) && own != Some(partition) && other.through > 0
        });
        let later = others.filter(|(_, other)| reached.is_none_or(|reached| other.came > reached.read));
        let (partition, other) = later.max_by_key(|(_, other)| other.read)?;
        Some((partition.name().to_owned(), other.through))
    }
}
