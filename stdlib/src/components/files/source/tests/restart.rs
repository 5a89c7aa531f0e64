//! Restarts of the source.

use std::os::unix::fs::FileExt;

use super::*;

/// Returns environments that remember positions in different ways: in the file of positions, and in a file channel.
fn environments(mode: Value) -> [Environment; 2] {
    [Environment::new(mode.clone()).with_positions(), Environment::new(mode).with_durable_channel()]
}

#[tokio::test]
async fn a_restart_continues_behind_the_delivered_lines() {
    for environment in environments(follow("beginning")) {
        environment.write("a.log", "1\n2\n");
        environment.write("b.log", "1\n2\n");
        let mut harness = environment.begin().await;
        harness.lines(4).await;
        let environment = harness.end().await;
        environment.append("a.log", "3\n");
        environment.rename("b.log", "b.log.1");
        environment.append("b.log.1", "4\n");
        environment.write("b.log", "5\n");
        let mut harness = environment.begin().await;
        let mut lines = harness.lines(3).await;
        lines.sort();
        assert_eq!(lines, ["3", "4", "5"]);
        harness.end().await;
    }
}

#[tokio::test]
async fn complete_files_that_were_delivered_are_not_read_again() {
    for environment in environments(keep()) {
        environment.write("a.log", "1\n2");
        let mut harness = environment.begin().await;
        harness.lines(2).await;
        let environment = harness.end().await;
        environment.write("b.log", "3\n");
        let mut harness = environment.begin().await;
        assert_eq!(harness.lines(1).await, ["3"]);
        harness.end().await;
    }
}

#[tokio::test]
async fn a_file_that_was_delivered_before_a_crash_is_deleted_after_it() {
    // The first run keeps the file, as if it had crashed before deleting it.
    for environment in environments(keep()) {
        environment.write("a.log", "1\n2\n");
        let mut harness = environment.begin().await;
        harness.lines(2).await;
        let environment = harness.end().await;
        let environment = environment.with("mode", complete(variant("delete", &[])));
        let harness = environment.begin().await;
        harness.counted("files_delivered", 1).await;
        assert!(!harness.path("a.log").exists());
        harness.end().await;
    }
}

#[tokio::test]
async fn lines_that_were_not_delivered_are_read_again() {
    let environment = Environment::new(follow("beginning")).with_positions();
    environment.write("a.log", (0..250).map(|number| format!("{number}\n")).collect::<String>());
    let mut harness = environment.begin().await;
    harness.lines(100).await;
    let held = harness.take().await;
    while !fs::read_to_string(harness.path("state/positions.json"))
        .is_ok_and(|text| text.contains("\"position\":290"))
    {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let environment = harness.crash().await;
    drop(held);
    let mut harness = environment.begin().await;
    let lines = harness.lines(150).await;
    assert_eq!((lines.len(), lines[0].as_str(), lines[149].as_str()), (150, "100", "249"));
    harness.end().await;
}

#[tokio::test]
async fn an_edit_between_two_runs_is_detected() {
    let environment = Environment::new(follow("beginning")).with_positions();
    let text: String = (0..500).map(|number| format!("line {number}\n")).collect();
    environment.write("a.log", &text);
    let mut harness = environment.begin().await;
    harness.lines(500).await;
    let environment = harness.end().await;
    let file = OpenOptions::new().write(true).open(environment.path("a.log")).unwrap();
    file.write_all_at(b"LINE", 2_000).unwrap();
    environment.append("a.log", "new\n");
    let harness = environment.begin().await;
    harness.counted("files_set_aside", 1).await;
    harness.end().await;
}

#[tokio::test]
async fn a_file_that_was_truncated_between_two_runs_is_read_from_its_beginning() {
    for environment in environments(follow("beginning")) {
        environment.write("a.log", "the first line\nthe second line\n");
        let mut harness = environment.begin().await;
        harness.lines(2).await;
        let environment = harness.end().await;
        let file = OpenOptions::new().write(true).open(environment.path("a.log")).unwrap();
        file.set_len(0).unwrap();
        environment.append("a.log", "anew\n");
        let mut harness = environment.begin().await;
        assert_eq!(harness.lines(1).await, ["anew"]);
        let environment = harness.end().await;
        environment.append("a.log", "more\n");
        let mut harness = environment.begin().await;
        assert_eq!(harness.lines(1).await, ["more"]);
        harness.end().await;
    }
}

#[tokio::test]
async fn start_end_reads_only_lines_that_are_written_later() {
    for environment in environments(follow("end")) {
        environment.write("a.log", "old\nhal");
        let mut harness = environment.begin().await;
        harness.counted("files_begun_at_their_end", 1).await;
        harness.append("a.log", "f\n1\n");
        assert_eq!(harness.lines(2).await, ["half", "1"]);
        harness.write("b.log", "2\n");
        assert_eq!(harness.lines(1).await, ["2"]);
        let environment = harness.end().await;
        // Files that appear between two runs did not exist before the first run, so they are read completely.
        environment.append("a.log", "3\n");
        environment.write("c.log", "4\n");
        let mut harness = environment.begin().await;
        let mut lines = harness.lines(2).await;
        lines.sort();
        assert_eq!(lines, ["3", "4"]);
        harness.end().await;
    }
}

#[tokio::test]
async fn a_run_after_a_failure_continues_behind_the_delivered_lines() {
    let environment = Environment::new(follow("beginning"));
    environment.write("a.log", "1\n");
    let meter = Arc::new(Meter::default());
    let mut source = environment.source(&meter).unwrap();
    for (run, expected) in ["1", "2"].into_iter().enumerate() {
        let channel = environment.channel();
        let mut sink = SinkPort::reading(channel.as_ref());
        let port = SourcePort::into_channel(channel);
        let stop = port.stop.clone();
        let sinking = async {
            let Taken::Events(delivery) = sink.take().await.unwrap() else { panic!("run {run}") };
            assert_eq!(delivery.batch.bodies().unwrap().value(0), expected.as_bytes());
            delivery.acknowledgement.done();
            stop.cancel();
        };
        let (ran, ()) = tokio::join!(source.run(port), sinking);
        ran.unwrap();
        environment.append("a.log", "2\n");
    }
}

#[tokio::test]
async fn positions_that_cant_be_parsed_stop_the_source() {
    let environment = Environment::new(follow("beginning")).with_positions();
    environment.write("state/positions.json", "nonsense");
    let meter = Arc::default();
    let mut source = environment.source(&meter).unwrap();
    let failure = source.run(SourcePort::into_channel(environment.channel())).await.unwrap_err();
    assert!(failure.is_permanent());
    assert!(failure.to_string().contains("can't be understood"), "{failure}");
}
