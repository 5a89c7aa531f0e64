//! Complete files.

use super::*;

#[tokio::test]
async fn every_line_of_every_matching_file_is_read() {
    let environment = Environment::new(keep());
    environment.write("a.log", "1\n2\n");
    environment.write("deep/b.log", "3\r\n4");
    environment.write("c.txt", "no\n");
    let mut harness = environment.begin().await;
    let mut lines = harness.lines(4).await;
    lines.sort();
    assert_eq!(lines, ["1", "2", "3", "4"]);
    harness.write("later.log", "5\n");
    assert_eq!(harness.lines(1).await, ["5"]);
    harness.end().await;
}

#[tokio::test]
async fn a_file_is_deleted_only_when_all_its_lines_are_delivered() {
    let environment = Environment::new(complete(variant("delete", &[])));
    environment.write("a.log", (0..250).map(|number| format!("{number}\n")).collect::<String>());
    let mut harness = environment.begin().await;
    let first = harness.take().await;
    harness.lines(150).await;
    harness.counted("files_read", 1).await;
    assert!(harness.path("a.log").exists(), "its first lines are not delivered");
    first.acknowledgement.done();
    harness.counted("files_delivered", 1).await;
    assert!(!harness.path("a.log").exists());
    harness.end().await;
}

#[tokio::test]
async fn a_delivered_file_gets_its_suffix_and_is_not_read_again() {
    let after = variant("rename", &[("suffix", Value::Text(".done.log".into()))]);
    let environment = Environment::new(complete(after));
    environment.write("a.log", "1\n");
    environment.write("empty.log", "");
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(1).await, ["1"]);
    harness.counted("files_delivered", 2).await;
    harness.write("b.log", "2\n");
    assert_eq!(harness.lines(1).await, ["2"]);
    harness.counted("files_delivered", 3).await;
    let environment = harness.end().await;
    let mut names: Vec<String> = fs::read_dir(environment.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["a.log.done.log", "b.log.done.log", "empty.log.done.log"]);
}

#[tokio::test]
async fn renaming_a_delivered_file_never_overwrites_another_file() {
    let after = variant("rename", &[("suffix", Value::Text(".done".into()))]);
    let environment = Environment::new(complete(after));
    environment.write("a.log", "1\n");
    environment.write("a.log.done", "earlier\n");
    let mut harness = environment.begin().await;
    harness.lines(1).await;
    harness.counted("files_not_put_away", 1).await;
    assert_eq!(fs::read_to_string(harness.path("a.log.done")).unwrap(), "earlier\n");
    harness.end().await;
}

#[tokio::test]
async fn a_renamed_file_is_not_read_again() {
    let environment = Environment::new(keep());
    environment.write("a.log", "1\n");
    let mut harness = environment.begin().await;
    harness.lines(1).await;
    harness.rename("a.log", "a.1.log");
    harness.write("a.log", "2\n");
    assert_eq!(harness.lines(1).await, ["2"]);
    harness.end().await;
}

#[tokio::test]
async fn a_file_that_is_not_delivered_before_a_stop_is_not_deleted() {
    let environment = Environment::new(complete(variant("delete", &[])));
    environment.write("a.log", "1\n");
    let mut harness = environment.begin().await;
    let held = harness.take().await;
    harness.counted("files_read", 1).await;
    harness.stop.cancel();
    drop(held);
    let again = harness.take().await;
    assert!(harness.path("a.log").exists());
    again.acknowledgement.done();
    let environment = harness.end().await;
    assert!(!environment.path("a.log").exists());
}

#[tokio::test]
async fn a_new_file_at_the_path_of_a_deleted_one_is_read_even_if_it_has_the_same_text() {
    let environment = Environment::new(complete(variant("delete", &[])));
    let mut harness = environment.begin().await;
    for round in 1..=5 {
        harness.write("a.tmp", "the same\n");
        harness.rename("a.tmp", "a.log");
        assert_eq!(harness.lines(1).await, ["the same"]);
        harness.counted("files_delivered", round).await;
    }
    harness.end().await;
}

#[tokio::test]
async fn a_file_that_changes_after_it_was_read_is_set_aside_and_others_are_read() {
    let environment = Environment::new(keep());
    environment.write("a.log", "1\n");
    let mut harness = environment.begin().await;
    harness.lines(1).await;
    harness.counted("files_read", 1).await;
    harness.append("a.log", "more\n");
    harness.counted("files_set_aside", 1).await;
    harness.write("b.log", "2\n");
    assert_eq!(harness.lines(1).await, ["2"]);
    harness.end().await;
}

#[tokio::test]
async fn offsets_and_names_are_in_the_headers() {
    let environment = Environment::new(keep());
    environment.write("a.log", "first\nsecond\n");
    let mut harness = environment.begin().await;
    let delivery = harness.take().await;
    let offset = delivery.batch.column("@offset").unwrap();
    assert_eq!(format!("{:?}", offset.values()), "PrimitiveArray<Int64>\n[\n  0,\n  6,\n]");
    let Column::Constant(_) = delivery.batch.column("@file").unwrap() else { panic!("stored once") };
    delivery.acknowledgement.done();
    harness.end().await;
}

#[tokio::test]
async fn lines_that_belong_together_are_one_event() {
    let pattern = ("pattern", Value::Text(r"^\s".into()));
    let wait = ("wait", Value::Duration(Duration::from_secs(2)));
    let multiline = variant("continues", &[pattern, ("most", Value::Int(10)), wait]);
    let environment = Environment::new(keep()).with("multiline", multiline);
    environment.write("a.log", "Error\n  at a\n  at b\nFine\nError\n  at c");
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(3).await, ["Error\n  at a\n  at b", "Fine", "Error\n  at c"]);
    harness.end().await;
}
