//! Random sequences of puts, takes, acknowledgements and rollbacks, compared with a simple model that keeps
//! everything in sets.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arrow_array::BinaryViewArray;
use arrow_schema::{DataType, Field, Schema};
use proptest::prelude::*;

use super::*;
use crate::batch::Origins;
use crate::routing::Settle;

const READERS: usize = 2;

#[derive(Debug, Clone)]
enum Operation {
    /// Puts this number of events.
    Put(usize),
    Take(usize),
    /// A reader acknowledges one of its leases.
    Acknowledge(usize, prop::sample::Index),
    RollBack(usize, prop::sample::Index),
}

fn operation() -> impl Strategy<Value = Operation> {
    let reader = 0..READERS;
    prop_oneof![
        3 => (1..5usize).prop_map(Operation::Put),
        4 => reader.clone().prop_map(Operation::Take),
        3 => (reader.clone(), any::<prop::sample::Index>()).prop_map(|(r, i)| Operation::Acknowledge(r, i)),
        2 => (reader, any::<prop::sample::Index>()).prop_map(|(r, i)| Operation::RollBack(r, i)),
    ]
}

/// The expected state of the channel.
#[derive(Default)]
struct Model {
    /// Events of each put, by sequence.
    puts: Vec<usize>,
    leased: [BTreeSet<u64>; READERS],
    acknowledged: [BTreeSet<u64>; READERS],
}

impl Model {
    fn next(&self, reader: usize) -> Option<u64> {
        (0..self.puts.len() as u64)
            .find(|put| !self.leased[reader].contains(put) && !self.acknowledged[reader].contains(put))
    }

    fn is_reclaimed(&self, put: u64) -> bool {
        self.acknowledged.iter().all(|acknowledged| acknowledged.contains(&put))
    }

    fn events(&self, puts: impl Iterator<Item = u64>) -> usize {
        puts.map(|put| self.puts[put as usize]).sum()
    }
}

#[derive(Clone, Default)]
struct Outcomes(Arc<Mutex<BTreeSet<(u64, bool)>>>);

struct Outcome(u64, Outcomes);

impl Settle for Outcome {
    fn settle(self: Box<Self>, done: bool) {
        assert!(self.1.0.lock().unwrap().insert((self.0, done)), "a put is settled once");
    }
}

fn batch(rows: usize) -> Batch {
    let schema = Arc::new(Schema::new(vec![Field::new("body", DataType::BinaryView, false)]));
    let bodies = BinaryViewArray::from_iter_values(std::iter::repeat_n("x", rows));
    Batch::new(schema, vec![bodies.into()], rows, Origins::default()).unwrap()
}

fn chosen(leased: &BTreeSet<u64>, index: &prop::sample::Index) -> Option<u64> {
    (!leased.is_empty()).then(|| *leased.iter().nth(index.index(leased.len())).unwrap())
}

/// Applies one operation to the channel and to the model.
fn step(
    state: &mut State<()>,
    readers: &[ReaderId],
    model: &mut Model,
    outcomes: &Outcomes,
    operation: &Operation,
) {
    match operation {
        Operation::Put(rows) => {
            let outcome = Outcome(model.puts.len() as u64, outcomes.clone());
            model.puts.push(*rows);
            state.put(batch(*rows), Acknowledgement::new(1, Box::new(outcome)), ()).settle();
        }
        Operation::Take(reader) => {
            let expected = model.next(*reader);
            let taken = state.lease(readers[*reader]);
            assert_eq!(taken.as_ref().map(|(sequence, _)| *sequence), expected, "the oldest that is visible");
            if let Some((sequence, batch)) = taken {
                assert_eq!(batch.rows(), model.puts[sequence as usize]);
                model.leased[*reader].insert(sequence);
            }
        }
        Operation::Acknowledge(reader, index) => {
            let Some(sequence) = chosen(&model.leased[*reader], index) else { return };
            model.leased[*reader].remove(&sequence);
            model.acknowledged[*reader].insert(sequence);
            let released = state.acknowledge(readers[*reader], sequence, Reading::default());
            assert_eq!(
                !released.reservations.is_empty(),
                model.is_reclaimed(sequence),
                "the last reader reclaims"
            );
            released.settle();
        }
        Operation::RollBack(reader, index) => {
            let Some(sequence) = chosen(&model.leased[*reader], index) else { return };
            model.leased[*reader].remove(&sequence);
            state.roll_back(readers[*reader], sequence);
        }
    }
}

fn check(state: &State<()>, readers: &[ReaderId], model: &Model, outcomes: &Outcomes) {
    let puts = 0..model.puts.len() as u64;
    let kept = model.events(puts.clone().filter(|put| !model.is_reclaimed(*put)));
    assert_eq!(state.fill().events, kept);
    for (reader, leased) in readers.iter().zip(&model.leased) {
        assert_eq!(state.held(*reader).events, model.events(leased.iter().copied()));
    }
    let settled: BTreeSet<(u64, bool)> =
        puts.filter(|put| model.is_reclaimed(*put)).map(|put| (put, true)).collect();
    assert_eq!(*outcomes.0.lock().unwrap(), settled, "exactly what every reader has is acknowledged");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_event_is_lost_and_the_order_is_kept(operations in prop::collection::vec(operation(), 20..80)) {
        let mut state = State::new();
        let readers: Vec<ReaderId> = (0..READERS).map(|reader| state.reader(&reader.to_string(), Demand::Required)).collect();
        let (mut model, outcomes) = (Model::default(), Outcomes::default());
        for operation in &operations {
            step(&mut state, &readers, &mut model, &outcomes, operation);
            check(&state, &readers, &model, &outcomes);
        }
    }

    #[test]
    fn leases_block_puts_when_they_are_half_of_the_channel(
        operations in prop::collection::vec(operation(), 20..80),
    ) {
        let limits = Limits {
            capacity: 10,
            transaction_capacity: 10,
            byte_capacity: 1 << 20,
            keep_alive: Duration::from_secs(1),
        };
        let mut state = State::new();
        let readers: Vec<ReaderId> = (0..READERS).map(|reader| state.reader(&reader.to_string(), Demand::Required)).collect();
        let (mut model, outcomes) = (Model::default(), Outcomes::default());
        for operation in &operations {
            step(&mut state, &readers, &mut model, &outcomes, operation);
            for (reader, leased) in readers.iter().zip(&model.leased) {
                let half = 2 * model.events(leased.iter().copied()) >= limits.capacity;
                prop_assert_eq!(state.blocks_puts(*reader, &limits), half, "no put waits here");
            }
        }
    }
}
