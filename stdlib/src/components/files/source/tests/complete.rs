//! Complete files.

use super::*;

#[tokio::test]
async fn every_line_of_every_matching_file_is_read() {
    let setting = Setting::new(keep());
    setting.write("a.log", "1\n2\n");
    setting.write("deep/b.log", "3\r\n4");
    setting.write("c.txt", "no\n");
    let mut trial = setting.begin().await;
    let mut lines = trial.lines(4).await;
    lines.sort();
    assert_eq!(lines, ["1", "2", "3", "4"]);
    trial.write("later.log", "5\n");
    assert_eq!(trial.lines(1).await, ["5"]);
    trial.end().await;
}

#[tokio::test]
async fn a_file_is_deleted_only_when_all_its_lines_are_delivered() {
    let setting = Setting::new(complete(variant("delete", &[])));
    setting.write("a.log", (0..250).map(|number| format!("{number}\n")).collect::<String>());
    let mut trial = setting.begin().await;
    let first = trial.take().await;
    trial.lines(150).await;
    trial.counted("files_read", 1).await;
    assert!(trial.path("a.log").exists(), "its first lines are not delivered");
    first.acknowledgement.done();
    trial.counted("files_delivered", 1).await;
    assert!(!trial.path("a.log").exists());
    trial.end().await;
}

#[tokio::test]
async fn a_delivered_file_gets_its_suffix_and_is_not_read_again() {
    let after = variant("rename", &[("suffix", Value::Text(".done.log".into()))]);
    let setting = Setting::new(complete(after));
    setting.write("a.log", "1\n");
    setting.write("empty.log", "");
    let mut trial = setting.begin().await;
    assert_eq!(trial.lines(1).await, ["1"]);
    trial.counted("files_delivered", 2).await;
    trial.write("b.log", "2\n");
    assert_eq!(trial.lines(1).await, ["2"]);
    trial.counted("files_delivered", 3).await;
    let setting = trial.end().await;
    let mut names: Vec<String> = fs::read_dir(setting.folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["a.log.done.log", "b.log.done.log", "empty.log.done.log"]);
}

#[tokio::test]
async fn renaming_a_delivered_file_never_overwrites_another_file() {
    let after = variant("rename", &[("suffix", Value::Text(".done".into()))]);
    let setting = Setting::new(complete(after));
    setting.write("a.log", "1\n");
    setting.write("a.log.done", "earlier\n");
    let mut trial = setting.begin().await;
    trial.lines(1).await;
    trial.counted("files_not_put_away", 1).await;
    assert_eq!(fs::read_to_string(trial.path("a.log.done")).unwrap(), "earlier\n");
    trial.end().await;
}

#[tokio::test]
async fn a_renamed_file_is_not_read_again() {
    let setting = Setting::new(keep());
    setting.write("a.log", "1\n");
    let mut trial = setting.begin().await;
    trial.lines(1).await;
    trial.rename("a.log", "a.1.log");
    trial.write("a.log", "2\n");
    assert_eq!(trial.lines(1).await, ["2"]);
    trial.end().await;
}

#[tokio::test]
async fn a_file_that_is_not_delivered_before_a_stop_is_not_deleted() {
    let setting = Setting::new(complete(variant("delete", &[])));
    setting.write("a.log", "1\n");
    let mut trial = setting.begin().await;
    let held = trial.take().await;
    trial.counted("files_read", 1).await;
    trial.stop.cancel();
    drop(held);
    let again = trial.take().await;
    assert!(trial.path("a.log").exists());
    again.acknowledgement.done();
    let setting = trial.end().await;
    assert!(!setting.path("a.log").exists());
}

#[tokio::test]
async fn a_new_file_at_the_path_of_a_deleted_one_is_read_even_if_it_has_the_same_text() {
    let setting = Setting::new(complete(variant("delete", &[])));
    let mut trial = setting.begin().await;
    for round in 1..=5 {
        trial.write("a.tmp", "the same\n");
        trial.rename("a.tmp", "a.log");
        assert_eq!(trial.lines(1).await, ["the same"]);
        trial.counted("files_delivered", round).await;
    }
    trial.end().await;
}

#[tokio::test]
async fn a_file_that_changes_after_it_was_read_is_set_aside_and_others_are_read() {
    let setting = Setting::new(keep());
    setting.write("a.log", "1\n");
    let mut trial = setting.begin().await;
    trial.lines(1).await;
    trial.counted("files_read", 1).await;
    trial.append("a.log", "more\n");
    trial.counted("files_set_aside", 1).await;
    trial.write("b.log", "2\n");
    assert_eq!(trial.lines(1).await, ["2"]);
    trial.end().await;
}

#[tokio::test]
async fn offsets_and_names_are_in_the_headers() {
    let setting = Setting::new(keep());
    setting.write("a.log", "first\nsecond\n");
    let mut trial = setting.begin().await;
    let delivery = trial.take().await;
    let offset = delivery.batch.column("@offset").unwrap();
    assert_eq!(format!("{:?}", offset.values()), "PrimitiveArray<Int64>\n[\n  0,\n  6,\n]");
    let Column::Constant(_) = delivery.batch.column("@file").unwrap() else { panic!("stored once") };
    delivery.acknowledgement.done();
    trial.end().await;
}

#[tokio::test]
async fn lines_that_belong_together_are_one_event() {
    let pattern = ("pattern", Value::Text(r"^\s".into()));
    let wait = ("wait", Value::Duration(Duration::from_secs(2)));
    let multiline = variant("continues", &[pattern, ("most", Value::Int(10)), wait]);
    let setting = Setting::new(keep()).with("multiline", multiline);
    setting.write("a.log", "Error\n  at a\n  at b\nFine\nError\n  at c");
    let mut trial = setting.begin().await;
    assert_eq!(trial.lines(3).await, ["Error\n  at a\n  at b", "Fine", "Error\n  at c"]);
    trial.end().await;
}
