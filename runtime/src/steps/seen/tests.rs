use std::sync::Arc;

use arrow_array::Int64Array;

use super::*;

/// The numbers of a range that are the first of their value, and whether values are forgotten for the first time.
fn first(seen: &Arc<Seen>, numbers: std::ops::Range<i64>) -> (usize, bool) {
    let rows = numbers.clone().count();
    let column = Int64Array::from_iter_values(numbers).into();
    let mut transaction = Transaction::default();
    let first = seen.first_of_each(&column, rows, &mut transaction).unwrap();
    transaction.commit();
    (first.rows.true_count(), first.forgets)
}

#[tokio::test(start_paused = true)]
async fn the_oldest_values_are_forgotten_beyond_the_bound() {
    let seen = Arc::new(Seen::new(Duration::from_secs(60), 100));
    assert_eq!(first(&seen, 0..100), (100, false));
    assert_eq!(first(&seen, 0..100), (0, false));
    assert_eq!(first(&seen, 100..103), (3, true));
    assert_eq!(first(&seen, 3..103), (0, false));
    assert_eq!(first(&seen, 0..3), (3, false));
    seen.with(|seen| assert_eq!((seen.queue.len(), seen.numbers.len()), (100, 100)));
}

/// The bound that a plan shows.
#[tokio::test(start_paused = true)]
async fn a_value_takes_at_most_the_bytes_that_a_plan_shows() {
    let rows = weir_plan::DEDUPE_VALUES_MAX;
    let seen = Arc::new(Seen::new(Duration::from_secs(60), rows));
    assert_eq!(first(&seen, 0..rows as i64 + 10), (rows + 10, true));
    let bytes = seen.with(|seen| {
        let queue = seen.queue.capacity() * size_of::<Passed>();
        queue + seen.numbers.allocation_size()
    });
    assert!(bytes <= rows * weir_plan::DEDUPE_VALUE_BYTES + (1 << 10), "{bytes} bytes for {rows} values");
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(first(&seen, 0..1), (1, false));
    seen.with(|seen| assert_eq!((seen.queue.len(), seen.numbers.len()), (1, 1)));
}
