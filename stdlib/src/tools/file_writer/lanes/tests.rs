use super::*;

impl Delivered for u64 {
    fn delivery(&self) -> u64 {
        *self
    }

    fn awaited(&self) -> Option<Awaited> {
        // In these tests peers wait for deliveries from 100 on.
        let now = Instant::now();
        (*self >= 100).then(|| Awaited { since: now, until: now + Duration::from_secs(30) })
    }
}

/// Lanes whose files are names, and whose rows are the numbers of their deliveries.
type TestLanes = Lanes<String, u64>;

fn lanes(open_max: usize) -> TestLanes {
    Lanes::new(open_max, false)
}

fn now() -> Instant {
    Instant::now()
}

/// Does all work that there is: files are called by directory and first delivery. Returns those
/// that were completed.
fn work(lanes: &mut TestLanes) -> Vec<String> {
    let mut completed = Vec::new();
    while let Some(work) = lanes.next_work() {
        match work {
            Work::Append { lane, directory, file, rows } => {
                let file = file.unwrap_or_else(|| format!("{directory}{}", rows[0]));
                assert_eq!(lanes.appended(lane, file, false, VecDeque::new(), now()), None);
            }
            Work::Complete { file, .. } => completed.extend(file),
            Work::Commit { lane, file, .. } => file.into_iter().for_each(|file| lanes.returned(lane, file)),
        }
    }
    completed
}

fn push(lanes: &mut TestLanes, directory: &str, delivery: u64) -> bool {
    lanes.push(directory.to_string(), delivery, now())
}

#[test]
fn rows_of_a_directory_go_into_one_file_until_it_is_closed() {
    let mut lanes = lanes(10);
    push(&mut lanes, "a", 1);
    push(&mut lanes, "a", 2);
    push(&mut lanes, "b", 2);
    assert_eq!(work(&mut lanes), [""; 0]);
    push(&mut lanes, "a", 3);
    lanes.close_all();
    let mut completed = work(&mut lanes);
    completed.sort();
    assert_eq!(completed, ["a1", "b2"]);
    assert!(lanes.is_empty() && lanes.by_directory.is_empty() && lanes.open == 0);
}

#[test]
fn rows_behind_an_order_to_close_go_into_the_next_file() {
    let mut lanes = lanes(10);
    push(&mut lanes, "a", 1);
    lanes.close_all();
    push(&mut lanes, "a", 2);
    assert_eq!(work(&mut lanes), ["a1"]);
    lanes.close_all();
    assert_eq!(work(&mut lanes), ["a2"]);
}

#[test]
fn a_lane_is_at_work_once_at_a_time() {
    let mut lanes = lanes(10);
    push(&mut lanes, "a", 1);
    let Some(Work::Append { lane, rows, .. }) = lanes.next_work() else { panic!("there is work") };
    push(&mut lanes, "a", 2);
    lanes.close_all();
    assert!(lanes.next_work().is_none());
    // The file was full behind the first delivery's rows: those that are left begin another.
    assert_eq!(lanes.appended(lane, "a1".into(), true, rows, now()), Some("a1".into()));
    assert_eq!(work(&mut lanes), ["a1"]);
    assert!(lanes.is_empty());
}

#[test]
fn a_file_that_was_full_when_it_was_to_be_closed_is_closed_once() {
    let mut lanes = lanes(10);
    push(&mut lanes, "a", 1);
    let Some(Work::Append { lane, .. }) = lanes.next_work() else { panic!("there is work") };
    lanes.give_back_older_half();
    lanes.appended(lane, "a1".into(), true, VecDeque::new(), now());
    let Some(Work::Complete { file: None, close: Close::Early }) = lanes.next_work() else {
        panic!("an order")
    };
    assert!(lanes.is_empty());
}

#[test]
fn the_lane_unused_for_longest_makes_room() {
    let mut lanes = lanes(2);
    assert!(!push(&mut lanes, "a", 1));
    assert!(!push(&mut lanes, "b", 2));
    assert!(!push(&mut lanes, "a", 3));
    work(&mut lanes);
    assert!(push(&mut lanes, "c", 4));
    assert_eq!(work(&mut lanes), ["b2"]);
    assert_eq!(lanes.open, 2);
}

#[test]
fn more_directories_than_files_in_one_delivery_all_get_their_turn() {
    for open_max in 1..4 {
        let mut lanes = lanes(open_max);
        for directory in ["a", "b", "c", "d", "e", "a", "c"] {
            push(&mut lanes, directory, 1);
        }
        let mut completed = work(&mut lanes);
        assert!(lanes.open <= open_max);
        assert!(lanes.parked.is_empty(), "nobody waits for what is not coming");
        lanes.close_all();
        completed.append(&mut work(&mut lanes));
        assert!(completed.len() >= 5, "{completed:?}");
        assert!(lanes.is_empty() && lanes.open == 0);
    }
}

#[tokio::test(start_paused = true)]
async fn age_counts_from_a_files_first_row() {
    let age = Duration::from_secs(10);
    let due = Due { age, idle: None };
    let mut lanes = lanes(10);
    assert_eq!(lanes.next_due(due), None);
    let begun = now();
    push(&mut lanes, "a", 1);
    tokio::time::advance(Duration::from_secs(4)).await;
    push(&mut lanes, "b", 2);
    push(&mut lanes, "a", 3);
    assert_eq!(lanes.next_due(due), Some(begun + age));
    lanes.close_due(due, begun + age);
    assert_eq!(work(&mut lanes), ["a1"]);
    assert_eq!(lanes.next_due(due), Some(begun + Duration::from_secs(14)));
}

#[test]
fn rows_behind_an_order_to_close_are_closed_although_the_file_before_was_full() {
    let mut lanes = lanes(10);
    push(&mut lanes, "a", 1);
    let Some(Work::Append { lane, .. }) = lanes.next_work() else { panic!("there is work") };
    lanes.close_all();
    push(&mut lanes, "a", 2);
    let full = lanes.appended(lane, "a1".into(), true, VecDeque::new(), now());
    assert_eq!(full, Some("a1".into()));
    assert_eq!(work(&mut lanes), [""; 0]);
    lanes.close_all();
    assert_eq!(work(&mut lanes), ["a2"]);
    assert!(lanes.is_empty() && lanes.open == 0);
}

#[tokio::test(start_paused = true)]
async fn idleness_counts_from_a_files_last_row() {
    let due = Due { age: Duration::from_secs(10), idle: Some(Duration::from_secs(3)) };
    let mut lanes = lanes(10);
    let begun = now();
    push(&mut lanes, "a", 1);
    for second in [2, 4, 6, 8] {
        tokio::time::advance(Duration::from_secs(2)).await;
        push(&mut lanes, "a", second);
        if second == 2 {
            push(&mut lanes, "b", second);
            assert_eq!(lanes.next_due(due), Some(begun + Duration::from_secs(5)));
            lanes.close_due(due, begun + Duration::from_secs(5));
        }
    }
    // Both were closed when they had been idle; `a` was begun anew at 4 s.
    assert_eq!(lanes.next_due(due), Some(begun + Duration::from_secs(11)));
}

#[test]
fn all_files_with_rows_of_the_older_half_are_closed() {
    let mut lanes = lanes(10);
    for (directory, delivery) in [("a", 1), ("b", 1), ("c", 5), ("d", 9), ("e", 6), ("a", 10)] {
        push(&mut lanes, directory, delivery);
    }
    work(&mut lanes);
    // From 1 to 10: the older half ends at 5.
    assert_eq!(lanes.give_back_older_half(), 3);
    let mut completed = work(&mut lanes);
    completed.sort();
    assert_eq!(completed, ["a1", "b1", "c5"]);
    assert_eq!(lanes.give_back_older_half(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_can_not_be_committed_open_is_closed_when_peers_have_waited_for_half_their_time() {
    let due = Due { age: Duration::from_secs(300), idle: None };
    let mut lanes = lanes(10);
    let begun = now();
    push(&mut lanes, "a", 1);
    push(&mut lanes, "b", 100);
    tokio::time::advance(Duration::from_secs(5)).await;
    push(&mut lanes, "b", 101);
    assert!(!lanes.is_awaited());
    let half = begun + Duration::from_secs(15);
    assert_eq!(lanes.next_due(due), Some(half));
    assert_eq!(lanes.close_due(due, half), 1);
    assert_eq!(work(&mut lanes), ["b100"]);
    assert_eq!(lanes.next_due(due), Some(begun + due.age));
}

#[test]
fn awaited_rows_are_committed_and_their_file_goes_on() {
    let mut lanes = TestLanes::new(10, true);
    push(&mut lanes, "a", 1);
    push(&mut lanes, "b", 100);
    work(&mut lanes);
    assert!(lanes.is_awaited());
    assert_eq!(lanes.commit_awaited(), 1);
    assert!(!lanes.is_awaited());
    push(&mut lanes, "b", 101);
    let Some(Work::Commit { lane, file: Some(file), reason: Reason::Peers }) = lanes.next_work() else {
        panic!("an order")
    };
    assert_eq!(file, "b100");
    // What comes while it is being committed waits.
    assert!(lanes.next_work().is_none());
    assert!(lanes.is_awaited());
    lanes.returned(lane, file);
    assert_eq!(work(&mut lanes), [""; 0]);
    lanes.close_all();
    let mut completed = work(&mut lanes);
    completed.sort();
    assert_eq!(completed, ["a1", "b100"]);
    assert!(lanes.is_empty() && lanes.open == 0);
}

#[test]
fn an_order_to_commit_a_file_that_has_become_full_forgets_no_row_behind_it() {
    let mut lanes = TestLanes::new(10, true);
    push(&mut lanes, "a", 100);
    let Some(Work::Append { lane, .. }) = lanes.next_work() else { panic!("there is work") };
    lanes.commit_awaited();
    push(&mut lanes, "a", 101);
    lanes.appended(lane, "a100".into(), true, VecDeque::from([100]), now());
    assert!(lanes.is_awaited(), "what is behind the order is not committed");
    assert_eq!(work(&mut lanes), [""; 0]);
    assert_eq!(lanes.commit_awaited(), 1);
    assert_eq!(work(&mut lanes), [""; 0]);
    lanes.close_all();
    assert_eq!(work(&mut lanes), ["a100"]);
    // A file that is full with its last row leaves nothing but the order.
    push(&mut lanes, "b", 200);
    let Some(Work::Append { lane, .. }) = lanes.next_work() else { panic!("there is work") };
    lanes.commit_awaited();
    lanes.appended(lane, "b200".into(), true, VecDeque::new(), now());
    let Some(Work::Commit { file: None, .. }) = lanes.next_work() else { panic!("an order") };
    assert!(lanes.is_empty() && lanes.open == 0);
}

#[test]
fn rows_without_a_descriptor_wait_until_a_file_has_gone() {
    let mut lanes = lanes(10);
    push(&mut lanes, "a", 1);
    work(&mut lanes);
    push(&mut lanes, "b", 2);
    let Some(Work::Append { lane, rows, .. }) = lanes.next_work() else { panic!("there is work") };
    lanes.park(lane, rows);
    assert!(lanes.close_one_that_is_open());
    let Some(Work::Complete { file: Some(file), .. }) = lanes.next_work() else { panic!("an order") };
    assert_eq!(file, "a1");
    assert_eq!(work(&mut lanes), [""; 0]);
    lanes.close_all();
    assert_eq!(work(&mut lanes), ["b2"]);
    assert!(lanes.is_empty() && lanes.open == 0);
}
