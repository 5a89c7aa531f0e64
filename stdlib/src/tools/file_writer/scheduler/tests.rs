use super::*;

impl OfDelivery for u64 {
    fn delivery(&self) -> u64 {
        *self
    }

    fn awaited(&self) -> Option<Awaited> {
        // In these tests peers wait for deliveries from 100 on.
        let now = Instant::now();
        (*self >= 100).then(|| Awaited { since: now, until: now + Duration::from_secs(30) })
    }
}

/// A scheduler whose files are names, and whose rows are the numbers of their deliveries.
type TestScheduler = Scheduler<String, u64>;

fn scheduler(open_max: usize) -> TestScheduler {
    Scheduler::new(open_max, false)
}

fn now() -> Instant {
    Instant::now()
}

/// Does all work that is ready. Files are named after directory and first delivery. Returns the completed files.
fn work(scheduler: &mut TestScheduler) -> Vec<String> {
    let mut completed = Vec::new();
    while let Some(work) = scheduler.next_work() {
        match work {
            Work::Append { queue, directory, file, rows } => {
                let file = file.unwrap_or_else(|| format!("{directory}{}", rows[0]));
                assert_eq!(scheduler.appended(queue, file, false, VecDeque::new(), now()), None);
            }
            Work::Complete { file, .. } => completed.extend(file),
            Work::Commit { queue, file, .. } => {
                file.into_iter().for_each(|file| scheduler.returned(queue, file))
            }
        }
    }
    completed
}

fn push(scheduler: &mut TestScheduler, directory: &str, delivery: u64) -> bool {
    scheduler.push(directory.to_string(), delivery, now())
}

#[test]
fn rows_of_a_directory_go_into_one_file_until_it_is_closed() {
    let mut scheduler = scheduler(10);
    push(&mut scheduler, "a", 1);
    push(&mut scheduler, "a", 2);
    push(&mut scheduler, "b", 2);
    assert_eq!(work(&mut scheduler), [""; 0]);
    push(&mut scheduler, "a", 3);
    scheduler.close_all();
    let mut completed = work(&mut scheduler);
    completed.sort();
    assert_eq!(completed, ["a1", "b2"]);
    assert!(scheduler.is_empty() && scheduler.by_directory.is_empty() && scheduler.open == 0);
}

#[test]
fn rows_behind_an_order_to_close_go_into_the_next_file() {
    let mut scheduler = scheduler(10);
    push(&mut scheduler, "a", 1);
    scheduler.close_all();
    push(&mut scheduler, "a", 2);
    assert_eq!(work(&mut scheduler), ["a1"]);
    scheduler.close_all();
    assert_eq!(work(&mut scheduler), ["a2"]);
}

#[test]
fn a_queue_has_one_task_at_a_time() {
    let mut scheduler = scheduler(10);
    push(&mut scheduler, "a", 1);
    let Some(Work::Append { queue, rows, .. }) = scheduler.next_work() else { panic!("there is work") };
    push(&mut scheduler, "a", 2);
    scheduler.close_all();
    assert!(scheduler.next_work().is_none());
    // The file was full behind the first rows of the delivery: the rows that are left begin another file.
    assert_eq!(scheduler.appended(queue, "a1".into(), true, rows, now()), Some("a1".into()));
    assert_eq!(work(&mut scheduler), ["a1"]);
    assert!(scheduler.is_empty());
}

#[test]
fn a_file_that_was_full_when_it_was_to_be_closed_is_closed_once() {
    let mut scheduler = scheduler(10);
    push(&mut scheduler, "a", 1);
    let Some(Work::Append { queue, .. }) = scheduler.next_work() else { panic!("there is work") };
    scheduler.release_older_half();
    scheduler.appended(queue, "a1".into(), true, VecDeque::new(), now());
    let Some(Work::Complete { file: None, reason: CloseReason::Early }) = scheduler.next_work() else {
        panic!("an order")
    };
    assert!(scheduler.is_empty());
}

#[test]
fn the_file_unused_for_longest_makes_room() {
    let mut scheduler = scheduler(2);
    assert!(!push(&mut scheduler, "a", 1));
    assert!(!push(&mut scheduler, "b", 2));
    assert!(!push(&mut scheduler, "a", 3));
    work(&mut scheduler);
    assert!(push(&mut scheduler, "c", 4));
    assert_eq!(work(&mut scheduler), ["b2"]);
    assert_eq!(scheduler.open, 2);
}

#[test]
fn all_directories_of_a_delivery_get_a_file_although_fewer_may_be_open() {
    for open_max in 1..4 {
        let mut scheduler = scheduler(open_max);
        for directory in ["a", "b", "c", "d", "e", "a", "c"] {
            push(&mut scheduler, directory, 1);
        }
        let mut completed = work(&mut scheduler);
        assert!(scheduler.open <= open_max);
        assert!(scheduler.parked.is_empty(), "no queue waits without an order that frees a file");
        scheduler.close_all();
        completed.append(&mut work(&mut scheduler));
        assert!(completed.len() >= 5, "{completed:?}");
        assert!(scheduler.is_empty() && scheduler.open == 0);
    }
}

#[tokio::test(start_paused = true)]
async fn age_counts_from_a_files_first_row() {
    let age = Duration::from_secs(10);
    let close_after = CloseAfter { age, idle: None };
    let mut scheduler = scheduler(10);
    assert_eq!(scheduler.next_due(close_after), None);
    let begun = now();
    push(&mut scheduler, "a", 1);
    tokio::time::advance(Duration::from_secs(4)).await;
    push(&mut scheduler, "b", 2);
    push(&mut scheduler, "a", 3);
    assert_eq!(scheduler.next_due(close_after), Some(begun + age));
    scheduler.close_due(close_after, begun + age);
    assert_eq!(work(&mut scheduler), ["a1"]);
    assert_eq!(scheduler.next_due(close_after), Some(begun + Duration::from_secs(14)));
}

#[test]
fn rows_behind_an_order_to_close_are_closed_although_the_file_before_was_full() {
    let mut scheduler = scheduler(10);
    push(&mut scheduler, "a", 1);
    let Some(Work::Append { queue, .. }) = scheduler.next_work() else { panic!("there is work") };
    scheduler.close_all();
    push(&mut scheduler, "a", 2);
    let full = scheduler.appended(queue, "a1".into(), true, VecDeque::new(), now());
    assert_eq!(full, Some("a1".into()));
    assert_eq!(work(&mut scheduler), [""; 0]);
    scheduler.close_all();
    assert_eq!(work(&mut scheduler), ["a2"]);
    assert!(scheduler.is_empty() && scheduler.open == 0);
}

#[tokio::test(start_paused = true)]
async fn idleness_counts_from_a_files_last_row() {
    let close_after = CloseAfter { age: Duration::from_secs(10), idle: Some(Duration::from_secs(3)) };
    let mut scheduler = scheduler(10);
    let begun = now();
    push(&mut scheduler, "a", 1);
    for second in [2, 4, 6, 8] {
        tokio::time::advance(Duration::from_secs(2)).await;
        push(&mut scheduler, "a", second);
        if second == 2 {
            push(&mut scheduler, "b", second);
            assert_eq!(scheduler.next_due(close_after), Some(begun + Duration::from_secs(5)));
            scheduler.close_due(close_after, begun + Duration::from_secs(5));
        }
    }
    // Both files were closed for idleness; the next file of `a` was begun at 4 s.
    assert_eq!(scheduler.next_due(close_after), Some(begun + Duration::from_secs(11)));
}

#[test]
fn all_files_with_rows_of_the_older_half_are_closed() {
    let mut scheduler = scheduler(10);
    for (directory, delivery) in [("a", 1), ("b", 1), ("c", 5), ("d", 9), ("e", 6), ("a", 10)] {
        push(&mut scheduler, directory, delivery);
    }
    work(&mut scheduler);
    // From 1 to 10: the older half ends at 5.
    assert_eq!(scheduler.release_older_half(), 3);
    let mut completed = work(&mut scheduler);
    completed.sort();
    assert_eq!(completed, ["a1", "b1", "c5"]);
    assert_eq!(scheduler.release_older_half(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_can_not_be_committed_open_is_closed_when_peers_have_waited_for_half_their_time() {
    let close_after = CloseAfter { age: Duration::from_secs(300), idle: None };
    let mut scheduler = scheduler(10);
    let begun = now();
    push(&mut scheduler, "a", 1);
    push(&mut scheduler, "b", 100);
    tokio::time::advance(Duration::from_secs(5)).await;
    push(&mut scheduler, "b", 101);
    assert!(!scheduler.is_awaited());
    let half = begun + Duration::from_secs(15);
    assert_eq!(scheduler.next_due(close_after), Some(half));
    assert_eq!(scheduler.close_due(close_after, half), 1);
    assert_eq!(work(&mut scheduler), ["b100"]);
    assert_eq!(scheduler.next_due(close_after), Some(begun + close_after.age));
}

#[test]
fn awaited_rows_are_committed_and_their_file_goes_on() {
    let mut scheduler = TestScheduler::new(10, true);
    push(&mut scheduler, "a", 1);
    push(&mut scheduler, "b", 100);
    work(&mut scheduler);
    assert!(scheduler.is_awaited());
    assert_eq!(scheduler.commit_awaited(), 1);
    assert!(!scheduler.is_awaited());
    push(&mut scheduler, "b", 101);
    let Some(Work::Commit { queue, file: Some(file), reason: CommitReason::Peers }) = scheduler.next_work()
    else {
        panic!("an order")
    };
    assert_eq!(file, "b100");
    // Rows that arrive during the commit wait.
    assert!(scheduler.next_work().is_none());
    assert!(scheduler.is_awaited());
    scheduler.returned(queue, file);
    assert_eq!(work(&mut scheduler), [""; 0]);
    scheduler.close_all();
    let mut completed = work(&mut scheduler);
    completed.sort();
    assert_eq!(completed, ["a1", "b100"]);
    assert!(scheduler.is_empty() && scheduler.open == 0);
}

#[test]
fn an_order_to_commit_a_full_file_forgets_no_row_behind_it() {
    let mut scheduler = TestScheduler::new(10, true);
    push(&mut scheduler, "a", 100);
    let Some(Work::Append { queue, .. }) = scheduler.next_work() else { panic!("there is work") };
    scheduler.commit_awaited();
    push(&mut scheduler, "a", 101);
    scheduler.appended(queue, "a100".into(), true, VecDeque::from([100]), now());
    assert!(scheduler.is_awaited(), "the rows behind the order are not committed");
    assert_eq!(work(&mut scheduler), [""; 0]);
    assert_eq!(scheduler.commit_awaited(), 1);
    assert_eq!(work(&mut scheduler), [""; 0]);
    scheduler.close_all();
    assert_eq!(work(&mut scheduler), ["a100"]);
    // A file that is full with its last row leaves nothing but the order.
    push(&mut scheduler, "b", 200);
    let Some(Work::Append { queue, .. }) = scheduler.next_work() else { panic!("there is work") };
    scheduler.commit_awaited();
    scheduler.appended(queue, "b200".into(), true, VecDeque::new(), now());
    let Some(Work::Commit { file: None, .. }) = scheduler.next_work() else { panic!("an order") };
    assert!(scheduler.is_empty() && scheduler.open == 0);
}

#[test]
fn rows_without_a_descriptor_wait_until_a_file_has_gone() {
    let mut scheduler = scheduler(10);
    push(&mut scheduler, "a", 1);
    work(&mut scheduler);
    push(&mut scheduler, "b", 2);
    let Some(Work::Append { queue, rows, .. }) = scheduler.next_work() else { panic!("there is work") };
    scheduler.park(queue, rows);
    assert!(scheduler.close_an_open_file());
    let Some(Work::Complete { file: Some(file), .. }) = scheduler.next_work() else { panic!("an order") };
    assert_eq!(file, "a1");
    assert_eq!(work(&mut scheduler), [""; 0]);
    scheduler.close_all();
    assert_eq!(work(&mut scheduler), ["b2"]);
    assert!(scheduler.is_empty() && scheduler.open == 0);
}
