//! Bytes that belong to no line: byte order marks, and holes that writers without `O_APPEND` leave.

use std::fs::File;
use std::io::{Seek, SeekFrom};

use super::*;

/// A file that is written by a program that does not append: it goes on at its own position when the file was truncated.
fn writer(environment: &Environment, name: &str) -> File {
    File::create(environment.path(name)).unwrap()
}

#[tokio::test]
async fn a_byte_order_mark_belongs_to_no_event() {
    for mode in [keep(), follow("beginning"), follow("end")] {
        let environment = Environment::new(mode.clone()).with_durable_channel();
        environment.write("a.log", "\u{feff}one");
        let mut harness = environment.begin().await;
        if mode != keep() {
            if mode == follow("end") {
                harness.counted("files_begun_at_their_end", 1).await;
            }
            harness.append("a.log", "\r\n\u{feff}two\r\n");
            assert_eq!(harness.lines(2).await, ["one", "\u{feff}two"]);
        } else {
            assert_eq!(harness.lines(1).await, ["one"]);
        }
        harness.end().await;
    }
}

#[tokio::test]
async fn a_mark_that_arrives_in_pieces_belongs_to_no_event() {
    for restarts in [false, true] {
        let mut environment = Environment::new(follow("beginning")).with_durable_channel();
        for piece in ["\u{feff}".as_bytes(), b"fir", b"st\nsecond\n"].concat().chunks(1).take(7) {
            environment.append("a.log", piece);
            let harness = environment.begin().await;
            tokio::time::sleep(Duration::from_millis(15)).await;
            assert_eq!(harness.meter.counters().get("files_begun_anew"), None);
            environment = match restarts {
                true => harness.end().await,
                false => harness.crash().await,
            };
        }
        environment.append("a.log", "t\nsecond\n");
        let mut harness = environment.begin().await;
        assert_eq!(harness.lines(2).await, ["first", "second"]);
        assert_eq!(harness.meter.counters().get("files_begun_anew"), None);
        harness.end().await;
    }
}

#[tokio::test]
async fn an_event_of_several_lines_begins_behind_the_mark() {
    let begins = variant(
        "begins",
        &[
            ("pattern", Value::Text("^BEGIN$".into())),
            ("most", Value::Int(100)),
            ("wait", Value::Duration(Duration::from_millis(10))),
        ],
    );
    let environment = Environment::new(keep()).with("multiline", begins);
    environment.write("a.log", "\u{feff}BEGIN\r\n1\r\nBEGIN\r\n2\r\n");
    let mut harness = environment.begin().await;
    assert_eq!(harness.lines(2).await, ["BEGIN\r\n1", "BEGIN\r\n2"]);
    harness.end().await;
}

#[tokio::test]
async fn lines_behind_the_holes_of_every_truncation_arrive_once() {
    for restarts in [false, true] {
        let mut environment = Environment::new(follow("beginning")).with_positions();
        environment = environment.with_durable_channel().with("max_line", Value::Size(1024));
        let mut file = writer(&environment, "a.log");
        let mut harness = environment.begin().await;
        for round in 0..4 {
            let lines: Vec<String> = (0..300 << round).map(|number| format!("{round} {number}")).collect();
            if round > 0 {
                if restarts {
                    let environment = harness.end().await;
                    file.set_len(0).unwrap();
                    file.write_all(b"half").unwrap();
                    harness = environment.begin().await;
                    file.write_all(b" a line\n").unwrap();
                } else {
                    file.set_len(0).unwrap();
                    file.write_all(b"half a line\n").unwrap();
                }
                assert_eq!(harness.lines(1).await, ["half a line"], "{round}");
            }
            file.write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
            assert_eq!(harness.lines(lines.len()).await, lines);
        }
        // The lines of the first three rounds lie behind holes.
        harness.counted("hole_bytes", 1 << 10).await;
        assert_eq!(harness.meter.counters().get("long_lines"), None);
        assert_eq!(harness.meter.counters().get("files_set_aside"), None);
        harness.end().await;
    }
}

#[tokio::test]
async fn a_file_that_was_allocated_in_advance_is_read_as_it_is_filled() {
    let environment = Environment::new(follow("beginning"));
    let mut file = writer(&environment, "a.log");
    file.set_len(3 << 20).unwrap();
    let mut harness = environment.begin().await;
    for number in 0..5 {
        file.write_all(format!("{number}\n").as_bytes()).unwrap();
        assert_eq!(harness.lines(1).await, [number.to_string()]);
    }
    file.seek(SeekFrom::End(0)).unwrap();
    file.write_all(b"behind\n").unwrap();
    assert_eq!(harness.lines(1).await, ["behind"]);
    harness.end().await;
}

#[tokio::test]
async fn zeros_at_the_end_of_a_complete_file_are_no_event() {
    for zeros in [100, 3 << 20] {
        let environment = Environment::new(keep());
        environment.write("a.log", [b"one\n".to_vec(), vec![0; zeros]].concat());
        environment.write("b.log", vec![0; zeros]);
        let mut harness = environment.begin().await;
        assert_eq!(harness.lines(1).await, ["one"]);
        harness.counted("hole_bytes", 2 * zeros as u64).await;
        harness.counted("files_delivered", 2).await;
        harness.end().await;
    }
}
