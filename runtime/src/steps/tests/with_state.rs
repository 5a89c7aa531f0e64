//! Steps with state, and `sample`: what passes, what is counted, and what a batch that is rolled back leaves.

use std::time::Duration;

use arrow_array::{BooleanArray, Float64Array, StringViewArray};
use proptest::prelude::*;

use super::*;
use crate::batch::{Column, Identities, Partition};
use crate::steps::fingerprint::for_each_fingerprint;

const WITHIN: Duration = Duration::from_secs(600);

fn compiled(action: Action) -> Arc<Step> {
    Arc::new(Step::compile(&step(action, None), &StepTools::none(), &mut Before::default()).unwrap())
}

fn by(column: &str, data_type: DataType) -> Expression {
    Expression { data_type, nullable: false, operation: Operation::Column(column.into()) }
}

fn dedupe() -> Arc<Step> {
    compiled(Action::Dedupe { by: by("body", DataType::BinaryView), within: WITHIN })
}

fn events(bodies: &[&str]) -> Batch {
    let schema = Arc::new(Schema::new(vec![Field::new("body", DataType::BinaryView, false)]));
    let column = BinaryViewArray::from_iter_values(bodies).into();
    Batch::new(schema, vec![column], bodies.len(), Origins::default()).unwrap()
}

fn bodies(batch: &Batch) -> Vec<String> {
    let bodies = batch.bodies().unwrap().iter().flatten();
    bodies.map(|body| String::from_utf8_lossy(body).into_owned()).collect()
}

/// Applies a step in a transaction. Returns the bodies after it, and the transaction.
fn pass(step: &Arc<Step>, batch: &Batch, transaction: Transaction) -> (Vec<String>, Transaction) {
    let mut pass = Pass::within(transaction);
    let after = pass.through(std::slice::from_ref(step), batch, 0).unwrap();
    assert_eq!(pass.counts[0].dropped.events as usize, batch.rows() - after.rows());
    (bodies(&after), pass.transaction)
}

fn put(step: &Arc<Step>, texts: &[&str]) -> (Vec<String>, Transaction) {
    pass(step, &events(texts), Transaction::default())
}

/// Applies a step to a put that the channels take.
fn committed(step: &Arc<Step>, texts: &[&str]) -> Vec<String> {
    let (bodies, transaction) = put(step, texts);
    transaction.commit();
    bodies
}

#[tokio::test(start_paused = true)]
async fn dedupe_drops_an_event_whose_value_has_passed_within_the_time() {
    let step = dedupe();
    assert_eq!(committed(&step, &["a", "b", "a"]), ["a", "b"]);
    tokio::time::advance(WITHIN - Duration::from_millis(1)).await;
    // A dropped event does not prolong the time: it counts from the event that has passed.
    assert_eq!(committed(&step, &["a", "c"]), ["c"]);
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(committed(&step, &["a", "b", "c", "b"]), ["a", "b"]);
}

#[tokio::test(start_paused = true)]
async fn dedupe_forgets_the_values_of_a_put_that_is_rolled_back() {
    let step = dedupe();
    committed(&step, &["a"]);
    let (passed, transaction) = put(&step, &["b", "a", "b"]);
    assert_eq!(passed, ["b"]);
    drop(transaction);
    assert_eq!(committed(&step, &["a", "b"]), ["b"]);
    assert_eq!(committed(&step, &["b"]), [""; 0]);
}

/// A put that may still be rolled back takes nothing from another one.
#[tokio::test(start_paused = true)]
async fn dedupe_drops_no_event_for_a_put_that_is_not_committed() {
    let step = dedupe();
    let (_, open) = put(&step, &["a"]);
    assert_eq!(committed(&step, &["a"]), ["a"]);
    open.commit();
    assert_eq!(committed(&step, &["a"]), [""; 0]);
}

/// The outlet applies the steps again to the halves of a part that is too large.
#[tokio::test(start_paused = true)]
async fn dedupe_knows_the_parts_of_one_put() {
    let step = dedupe();
    let number = PutNumber::next();
    let part = |texts: &[&str]| pass(&step, &events(texts), Transaction::of_put(number));
    let (first, first_part) = part(&["a"]);
    let (second, too_large) = part(&["a", "b", "c"]);
    assert_eq!((first, second), (vec!["a".to_owned()], vec!["b".to_owned(), "c".to_owned()]));
    drop(too_large);
    let (half, second_part) = part(&["a", "b"]);
    let (other_half, third_part) = part(&["c", "b"]);
    assert_eq!((half, other_half), (vec!["b".to_owned()], vec!["c".to_owned()]));
    [first_part, second_part, third_part].into_iter().for_each(Transaction::commit);
    assert_eq!(committed(&step, &["a", "b", "c"]), [""; 0]);
}

/// A lease comes again until its events have arrived, and other leases may come in between.
#[tokio::test(start_paused = true)]
async fn dedupe_passes_the_same_events_of_a_lease_each_time_that_it_comes() {
    let step = dedupe();
    let lease = |number| Transaction::of_lease(7, number);
    let first = events(&["a", "b", "a"]);
    for _attempt in 0..3 {
        assert_eq!(pass(&step, &first, lease(1)).0, ["a", "b"]);
        assert_eq!(pass(&step, &events(&["c", "b"]), lease(2)).0, ["c"]);
    }
    // Another reader has leases with the same numbers.
    assert_eq!(pass(&step, &first, Transaction::of_lease(8, 1)).0, [""; 0]);
    tokio::time::advance(WITHIN).await;
    assert_eq!(pass(&step, &events(&["b"]), lease(3)).0, ["b"]);
    assert_eq!(pass(&step, &first, lease(1)).0, ["a"]);
}

#[tokio::test(start_paused = true)]
async fn each_reader_has_its_own_values() {
    let step = dedupe();
    let other = Arc::new(step.with_own_state().unwrap());
    assert_eq!(committed(&step, &["a"]), ["a"]);
    assert_eq!(committed(&other, &["a"]), ["a"]);
    assert!(compiled(Action::Sample(0.5)).with_own_state().is_none());
}

#[test]
fn a_constant_value_keeps_one_event() {
    let schema = Arc::new(Schema::new(vec![
        Field::new("@host", DataType::Utf8View, false),
        Field::new("body", DataType::BinaryView, false),
    ]));
    let body = BinaryViewArray::from_iter_values(["1", "2", "3"]).into();
    let batch = Batch::new(schema, vec![Column::constant_text("h"), body], 3, Origins::default()).unwrap();
    let step = compiled(Action::Dedupe { by: by("@host", DataType::Utf8View), within: WITHIN });
    assert_eq!(pass(&step, &batch, Transaction::default()).0, ["1"]);
}

fn fingerprints(values: &dyn Array) -> Vec<u128> {
    let mut found = Vec::new();
    for_each_fingerprint(values, |fingerprint| found.push(fingerprint)).unwrap();
    found
}

#[test]
fn equal_values_have_equal_fingerprints_and_others_do_not() {
    let floats = fingerprints(&Float64Array::from(vec![0.0, -0.0, 1.0, f64::NAN, -f64::NAN]));
    assert_eq!((floats[0], floats[3]), (floats[1], floats[4]));
    assert!(floats[0] != floats[2] && floats[2] != floats[3]);
    // A slice of an array has an offset, which numbers and truths must respect.
    let numbers = fingerprints(&Int64Array::from(vec![1, 2, 3, 2]).slice(1, 3));
    assert!(numbers[0] == numbers[2] && numbers[0] != numbers[1]);
    let truths = fingerprints(&BooleanArray::from(vec![true, false, true, true]).slice(1, 3));
    assert!(truths[0] != truths[1] && truths[1] == truths[2]);
    let texts =
        fingerprints(&StringViewArray::from_iter_values(["", "a", "a longer text than a view has", "a"]));
    assert!(texts[1] == texts[3] && texts[0] != texts[1] && texts[1] != texts[2]);
    let lists = [vec![1, 2], vec![12], vec![1, 2], vec![]];
    let lists = lists.map(|items: Vec<i64>| Some(items.into_iter().map(Some).collect::<Vec<_>>()));
    let lists = arrow_array::ListArray::from_iter_primitive::<arrow_array::types::Int64Type, _, _>(lists);
    let lists = fingerprints(&lists);
    assert!(lists[0] == lists[2] && lists[0] != lists[1] && lists[1] != lists[3]);
}

/// Events of one partition, beginning at a position.
fn identified(partition: &str, first: u64, rows: usize) -> Batch {
    let texts: Vec<String> = (first..first + rows as u64).map(|position| position.to_string()).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let identities = Identities::counting(Partition::new(partition), first);
    events(&texts).with_identities(identities).unwrap()
}

#[test]
fn sample_keeps_the_share_and_decides_by_the_event_alone() {
    let step = compiled(Action::Sample(0.1));
    let sampled = |batch: &Batch| pass(&step, batch, Transaction::default()).0;
    let all = sampled(&identified("p", 1, 100_000));
    assert!((9_500..10_500).contains(&all.len()), "{} of 100,000 at 10%", all.len());
    // The same events in other batches, as after a restart.
    let in_parts = (0..10).flat_map(|part| sampled(&identified("p", 1 + part * 10_000, 10_000)));
    assert_eq!(in_parts.collect::<Vec<_>>(), all);
    assert_ne!(sampled(&identified("q", 1, 100_000)), all);
    assert_eq!(sampled(&events(&[])), [""; 0]);
}

#[test]
fn two_samples_of_a_path_choose_independently() {
    let mut before = Before::default();
    let mut sample =
        || Step::compile(&step(Action::Sample(0.1), None), &StepTools::none(), &mut before).unwrap();
    let steps = [Arc::new(sample()), Arc::new(sample())];
    let kept = apply_all(&steps, &identified("p", 1, 100_000), &Meter::default()).unwrap().rows();
    assert!((800..1_200).contains(&kept), "{kept} of 100,000 at 10% of 10%");
}

#[test]
fn sample_keeps_everything_at_100_percent_and_nothing_at_0() {
    let sampled =
        |share| pass(&compiled(Action::Sample(share)), &identified("p", 1, 1_000), Transaction::default()).0;
    assert_eq!(sampled(1.0).len(), 1_000);
    assert_eq!(sampled(0.0).len(), 0);
}

#[test]
fn a_sample_of_events_without_identities_is_a_defect() {
    let error = apply_all(&[compiled(Action::Sample(0.5))], &events(&["a"]), &Meter::default()).unwrap_err();
    assert!(error.to_string().contains("identities that are not those of 1 events"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn throttle_gives_events_and_bytes_their_time() {
    let begun = Instant::now();
    let pace = |step: &Arc<Step>, texts: &[&str]| {
        let (passed, transaction) = put(step, texts);
        assert_eq!(passed, texts);
        transaction.pace().map(|pace| (pace.begin - begun, pace.duration, transaction))
    };
    let events = compiled(Action::Throttle(Value::EventRate(2.0)));
    let bytes = compiled(Action::Throttle(Value::ByteRate(10.0)));
    let millis = Duration::from_millis;
    let (begin, duration, first) = pace(&events, &["a", "b", "c"]).unwrap();
    assert_eq!((begin, duration), (millis(0), millis(1_500)));
    let (begin, _, second) = pace(&events, &["d"]).unwrap();
    assert_eq!(begin, millis(1_500));
    // The time of events that did not go on is given back.
    drop(second);
    first.commit();
    let (begin, _, third) = pace(&events, &["d"]).unwrap();
    assert_eq!(begin, millis(1_500));
    third.commit();
    // No time is saved up.
    tokio::time::advance(millis(10_000)).await;
    assert_eq!(pace(&events, &["e"]).unwrap().0, millis(10_000));
    let (begin, duration, _) = pace(&bytes, &["12345", "", "67890"]).unwrap();
    assert_eq!((begin, duration), (millis(10_000), millis(1_000)));
    assert!(pace(&bytes, &[""]).is_none());
    let never = compiled(Action::Throttle(Value::EventRate(1e-300)));
    assert!(pace(&never, &["a"]).unwrap().1 > Duration::from_secs(300 * 24 * 60 * 60));
}

#[derive(Debug, Clone)]
enum Move {
    Put { texts: Vec<u8>, commits: bool },
    Wait(u64),
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let put = (prop::collection::vec(0..6_u8, 0..8), any::<bool>())
        .prop_map(|(texts, commits)| Move::Put { texts, commits });
    prop::collection::vec(prop_oneof![4 => put, 1 => (1..900_u64).prop_map(Move::Wait)], 1..40)
}

proptest! {
    /// A list that is searched from the begin gives the same answers as the table and the queue.
    #[test]
    fn dedupe_agrees_with_a_list_of_what_has_passed(moves in moves()) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let step = dedupe();
            let mut passed: Vec<(String, Instant)> = Vec::new();
            for next in moves {
                match next {
                    Move::Wait(seconds) => tokio::time::advance(Duration::from_secs(seconds)).await,
                    Move::Put { texts, commits } => {
                        let texts: Vec<String> = texts.iter().map(u8::to_string).collect();
                        let before = passed.len();
                        let now = Instant::now();
                        for text in &texts {
                            let is_known = |(value, at): &(String, Instant)| value == text && now - *at < WITHIN;
                            if !passed.iter().any(is_known) {
                                passed.push((text.clone(), now));
                            }
                        }
                        let expected: Vec<String> = passed[before..].iter().map(|(text, _)| text.clone()).collect();
                        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                        let (found, transaction) = put(&step, &texts);
                        assert_eq!(found, expected);
                        if commits {
                            transaction.commit();
                        } else {
                            passed.truncate(before);
                        }
                    }
                }
            }
        });
    }
}
