//! Restarts of the source.

use std::os::unix::fs::FileExt;

use super::*;

/// Returns environments that remember positions in different ways: in the file of positions, and in a file channel.
fn settings(mode: Value) -> [Setting; 2] {
    [Setting::new(mode.clone()).with_positions(), Setting::new(mode).with_durable_channel()]
}

#[tokio::test]
async fn a_restart_continues_behind_the_delivered_lines() {
    for setting in settings(follow("beginning")) {
        setting.write("a.log", "1\n2\n");
        setting.write("b.log", "1\n2\n");
        let mut trial = setting.begin().await;
        trial.lines(4).await;
        let setting = trial.end().await;
        setting.append("a.log", "3\n");
        setting.rename("b.log", "b.log.1");
        setting.append("b.log.1", "4\n");
        setting.write("b.log", "5\n");
        let mut trial = setting.begin().await;
        let mut lines = trial.lines(3).await;
        lines.sort();
        assert_eq!(lines, ["3", "4", "5"]);
        trial.end().await;
    }
}

#[tokio::test]
async fn complete_files_that_were_delivered_are_not_read_again() {
    for setting in settings(keep()) {
        setting.write("a.log", "1\n2");
        let mut trial = setting.begin().await;
        trial.lines(2).await;
        let setting = trial.end().await;
        setting.write("b.log", "3\n");
        let mut trial = setting.begin().await;
        assert_eq!(trial.lines(1).await, ["3"]);
        trial.end().await;
    }
}

#[tokio::test]
async fn a_file_that_was_delivered_before_a_crash_is_deleted_after_it() {
    // The first run keeps the file, as if it had crashed before deleting it.
    for setting in settings(keep()) {
        setting.write("a.log", "1\n2\n");
        let mut trial = setting.begin().await;
        trial.lines(2).await;
        let setting = trial.end().await;
        let setting = setting.with("mode", complete(variant("delete", &[])));
        let trial = setting.begin().await;
        trial.counted("files_delivered", 1).await;
        assert!(!trial.path("a.log").exists());
        trial.end().await;
    }
}

#[tokio::test]
async fn lines_that_were_not_delivered_are_read_again() {
    let setting = Setting::new(follow("beginning")).with_positions();
    setting.write("a.log", (0..250).map(|number| format!("{number}\n")).collect::<String>());
    let mut trial = setting.begin().await;
    trial.lines(100).await;
    let held = trial.take().await;
    while !fs::read_to_string(trial.path("state/positions.json"))
        .is_ok_and(|text| text.contains("\"position\":290"))
    {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    let setting = trial.crash().await;
    drop(held);
    let mut trial = setting.begin().await;
    let lines = trial.lines(150).await;
    assert_eq!((lines.len(), lines[0].as_str(), lines[149].as_str()), (150, "100", "249"));
    trial.end().await;
}

#[tokio::test]
async fn an_edit_between_two_runs_is_detected() {
    let setting = Setting::new(follow("beginning")).with_positions();
    let text: String = (0..500).map(|number| format!("line {number}\n")).collect();
    setting.write("a.log", &text);
    let mut trial = setting.begin().await;
    trial.lines(500).await;
    let setting = trial.end().await;
    let file = OpenOptions::new().write(true).open(setting.path("a.log")).unwrap();
    file.write_all_at(b"LINE", 2_000).unwrap();
    setting.append("a.log", "new\n");
    let trial = setting.begin().await;
    trial.counted("files_set_aside", 1).await;
    trial.end().await;
}

#[tokio::test]
async fn a_file_that_was_truncated_between_two_runs_is_read_from_its_beginning() {
    for setting in settings(follow("beginning")) {
        setting.write("a.log", "the first line\nthe second line\n");
        let mut trial = setting.begin().await;
        trial.lines(2).await;
        let setting = trial.end().await;
        let file = OpenOptions::new().write(true).open(setting.path("a.log")).unwrap();
        file.set_len(0).unwrap();
        setting.append("a.log", "anew\n");
        let mut trial = setting.begin().await;
        assert_eq!(trial.lines(1).await, ["anew"]);
        let setting = trial.end().await;
        setting.append("a.log", "more\n");
        let mut trial = setting.begin().await;
        assert_eq!(trial.lines(1).await, ["more"]);
        trial.end().await;
    }
}

#[tokio::test]
async fn start_end_reads_only_lines_that_are_written_later() {
    for setting in settings(follow("end")) {
        setting.write("a.log", "old\nhal");
        let mut trial = setting.begin().await;
        trial.counted("files_begun_at_their_end", 1).await;
        trial.append("a.log", "f\n1\n");
        assert_eq!(trial.lines(2).await, ["half", "1"]);
        trial.write("b.log", "2\n");
        assert_eq!(trial.lines(1).await, ["2"]);
        let setting = trial.end().await;
        // Files that appear between two runs did not exist before the first run, so they are read completely.
        setting.append("a.log", "3\n");
        setting.write("c.log", "4\n");
        let mut trial = setting.begin().await;
        let mut lines = trial.lines(2).await;
        lines.sort();
        assert_eq!(lines, ["3", "4"]);
        trial.end().await;
    }
}

#[tokio::test]
async fn a_run_after_a_failure_continues_behind_the_delivered_lines() {
    let setting = Setting::new(follow("beginning"));
    setting.write("a.log", "1\n");
    let meter = Arc::new(Meter::default());
    let mut source = setting.source(&meter).unwrap();
    for (run, expected) in ["1", "2"].into_iter().enumerate() {
        let channel = setting.channel();
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
        setting.append("a.log", "2\n");
    }
}

#[tokio::test]
async fn positions_that_cant_be_parsed_stop_the_source() {
    let setting = Setting::new(follow("beginning")).with_positions();
    setting.write("state/positions.json", "nonsense");
    let meter = Arc::default();
    let mut source = setting.source(&meter).unwrap();
    let failure = source.run(SourcePort::into_channel(setting.channel())).await.unwrap_err();
    assert!(failure.is_permanent());
    assert!(failure.to_string().contains("can't be understood"), "{failure}");
}
