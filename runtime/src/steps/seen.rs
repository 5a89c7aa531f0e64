//! The values of the events that a `dedupe` has let pass.
//!
//! A queue has the values in the order in which they expire, and a table finds them by their fingerprints. An event is a
//! duplicate only if another event with its value is safe in a channel, is in the same batch, or is in a lease, which comes
//! again until it has arrived. So no value gets lost with a batch that is rolled back.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arrow_array::BooleanArray;
use arrow_buffer::BooleanBufferBuilder;
use hashbrown::HashTable;
use tokio::time::Instant;

use super::fingerprint::{Fingerprint, for_each_fingerprint};
use super::transaction::{State, Transaction};
use crate::batch::{BatchError, Column};

/// The values that have passed, shared by the batches of a step.
pub(super) struct Seen {
    within: Duration,
    values_max: usize,
    values: Mutex<Values>,
}

/// The events of a batch that are the first with their value.
pub(super) struct First {
    /// Whether each event is the first.
    pub(super) rows: BooleanArray,
    /// Whether the step has now forgotten a value before its time, for the first time.
    pub(super) forgets: bool,
}

struct Values {
    /// The values, oldest first.
    queue: VecDeque<Passed>,
    /// The number of the first value in the queue.
    first: u64,
    /// The lower halves of the numbers of the values, by fingerprint.
    numbers: HashTable<u32>,
    /// The uncommitted puts, each with the number of its parts that have changed values.
    open: Vec<(u64, usize)>,
    /// The instant at which the times of values begin.
    begin: Instant,
    has_forgotten: bool,
}

/// A value that has passed.
struct Passed {
    fingerprint: [u64; 2],
    /// In microseconds.
    at: u64,
    /// The transaction of the event; 0 when it was rolled back.
    owner: u64,
    /// The attempt of the lease in which the event passed last.
    attempt: u64,
}

impl Seen {
    /// Makes the state of a step that remembers at most so many values.
    pub(super) fn new(within: Duration, values_max: usize) -> Seen {
        let values = Values {
            queue: VecDeque::new(),
            first: 0,
            numbers: HashTable::new(),
            open: Vec::new(),
            begin: Instant::now(),
            has_forgotten: false,
        };
        Seen { within, values_max, values: Mutex::new(values) }
    }

    fn with<T>(&self, change: impl FnOnce(&mut Values) -> T) -> T {
        change(&mut self.values.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Returns which events of a batch have no earlier event with the same value, and remembers their values.
    ///
    /// # Errors
    /// When values of this type have no fingerprint.
    pub(super) fn first_of_each(
        self: &Arc<Self>,
        values: &Column,
        rows: usize,
        transaction: &mut Transaction,
    ) -> Result<First, BatchError> {
        let mut first = BooleanBufferBuilder::new(rows);
        let (begin, forgets, failed) = self.with(|seen| {
            let had_forgotten = seen.has_forgotten;
            let now = u64::try_from(seen.begin.elapsed().as_micros()).unwrap_or(u64::MAX);
            seen.expire(now, self.within);
            let begin = seen.first + seen.queue.len() as u64;
            let failed = for_each_fingerprint(values.values(), |fingerprint| {
                first.append(seen.is_first(fingerprint, now, transaction, self.values_max));
            });
            if !transaction.is_lease {
                seen.open_part(transaction.owner);
            }
            (begin, seen.has_forgotten && !had_forgotten, failed)
        });
        if !transaction.is_lease {
            transaction.add(self.clone(), begin);
        }
        failed?;
        // A constant has one value for all events, of which the others are duplicates.
        if let Column::Constant(_) = values {
            first.append_n(rows - 1, false);
        }
        Ok(First { rows: BooleanArray::new(first.finish(), None), forgets })
    }
}

impl Values {
    /// Forgets the values whose time is over.
    fn expire(&mut self, now: u64, within: Duration) {
        let within = u64::try_from(within.as_micros()).unwrap_or(u64::MAX);
        while self.queue.front().is_some_and(|value| now - value.at >= within) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some(value) = self.queue.pop_front() else { return };
        let number = self.first as u32;
        self.first += 1;
        self.remove(value.fingerprint, number);
    }

    fn remove(&mut self, fingerprint: [u64; 2], number: u32) {
        if let Ok(entry) = self.numbers.find_entry(fingerprint[0], |found| *found == number) {
            entry.remove();
        }
    }

    /// Returns whether an event is the first with its value, and remembers the value then.
    fn is_first(
        &mut self,
        fingerprint: Fingerprint,
        now: u64,
        transaction: &Transaction,
        values_max: usize,
    ) -> bool {
        let halves = [fingerprint as u64, (fingerprint >> 64) as u64];
        let Values { queue, first, numbers, open, .. } = self;
        let begin = *first as u32;
        let index = |number: u32| number.wrapping_sub(begin) as usize;
        let found = numbers.find(halves[0], |number| queue[index(*number)].fingerprint == halves);
        if let Some(number) = found.copied() {
            let passed = &mut queue[index(number)];
            if passed.owner == transaction.owner {
                // A lease that comes again passes the events that it has passed before.
                return std::mem::replace(&mut passed.attempt, transaction.attempt) != transaction.attempt;
            }
            // The events of a put that is not committed may not be safe.
            return open.iter().any(|(owner, _)| *owner == passed.owner);
        }
        if self.queue.len() >= values_max {
            self.forget_oldest();
            self.has_forgotten = true;
        }
        let Values { queue, first, numbers, .. } = self;
        let begin = *first as u32;
        let index = |number: u32| number.wrapping_sub(begin) as usize;
        let number = (*first + queue.len() as u64) as u32;
        let Transaction { owner, attempt, .. } = *transaction;
        queue.push_back(Passed { fingerprint: halves, at: now, owner, attempt });
        numbers.insert_unique(halves[0], number, |number| queue[index(*number)].fingerprint[0]);
        true
    }

    fn open_part(&mut self, owner: u64) {
        match self.open.iter_mut().find(|(open, _)| *open == owner) {
            Some((_, parts)) => *parts += 1,
            None => self.open.push((owner, 1)),
        }
    }

    fn close_part(&mut self, owner: u64) {
        self.open.iter_mut().filter(|(open, _)| *open == owner).for_each(|(_, parts)| *parts -= 1);
        self.open.retain(|(_, parts)| *parts > 0);
    }
}

impl State for Seen {
    fn commit(&self, owner: u64) {
        self.with(|seen| seen.close_part(owner));
    }

    /// Forgets the values of a put from the number `change` on.
    fn roll_back(&self, owner: u64, change: u64) {
        self.with(|seen| {
            let begin = change.max(seen.first);
            for number in begin..seen.first + seen.queue.len() as u64 {
                let passed = &mut seen.queue[(number - seen.first) as usize];
                if passed.owner == owner {
                    passed.owner = 0;
                    let fingerprint = passed.fingerprint;
                    seen.remove(fingerprint, number as u32);
                }
            }
            seen.close_part(owner);
        });
    }
}

#[cfg(test)]
mod tests;
