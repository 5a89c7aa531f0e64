//! Rejected lines: each input line is in exactly one of the two outputs, however often the agent is killed.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use weir_tests::{Scene, Weir, lines_of, visible_files};

const LINES: usize = 200_000;
const KILLS: usize = 8;
const PATIENCE: Duration = Duration::from_secs(120);
const FLOW: &str = "tests/end_to_end/flows/rejected_lines.flow";

/// Returns the line of this number: a good one, or one that the parser, a condition or a rule of the sink rejects.
fn line(number: usize) -> String {
    match number % 10 {
        3 => format!("{number} UNREADABLE"),
        5 => format!("{number} odd"),
        7 => format!("{number} unknown"),
        _ => format!("{number} good"),
    }
}

#[test]
fn every_line_is_in_one_output_however_often_it_is_killed() {
    let scene =
        Scene::new(env!("CARGO_TARGET_TMPDIR"), "every_line_is_in_one_output_however_often_it_is_killed");
    let input = scene.folder().join("input");
    fs::create_dir_all(&input).expect("a folder can be made");
    let text: String = (0..LINES).map(|number| line(number) + "\n").collect();
    fs::write(input.join("lines.log"), text).expect("the input can be written");
    let output = scene.folder().join("output");
    let settings = [
        ("from", scene.path("input/*.log")),
        ("state", scene.path("positions.json")),
        ("channel", scene.path("channel")),
        ("rejected", scene.path("rejected")),
        ("to", scene.path("output")),
    ];
    let files = || if output.exists() { visible_files(&output).len() } else { 0 };
    for kill in 0..KILLS {
        let before = files();
        let mut weir = Weir::run(&scene, FLOW, &settings);
        let ledger = output.join("dead/.weir");
        weir.await_event("it has written enough to be killed", PATIENCE, |_| {
            (ledger.exists() && files() >= before + kill % 3).then_some(())
        });
        weir.kill();
    }
    let expected: BTreeSet<String> = (0..LINES).map(line).filter(|line| !line.ends_with("good")).collect();
    let dead = || lines_of(&visible_files(&output.join("dead")));
    let good = || lines_of(&visible_files(&output.join("good")));
    let mut weir = Weir::run(&scene, FLOW, &settings);
    weir.await_event("everything has arrived", PATIENCE, |_| {
        (dead().len() >= expected.len() && good().len() >= LINES - expected.len()).then_some(())
    });
    weir.terminate().assert_success();

    let texts = |lines: Vec<Vec<u8>>| -> Vec<String> {
        lines.into_iter().map(|line| String::from_utf8(line).expect("lines are text")).collect()
    };
    let dead = texts(dead());
    assert_eq!(dead.len(), expected.len(), "no rejected line twice");
    let after_quality = dead.iter().map(|line| match line.strip_prefix('{') {
        // A line that the sink's rule rejected was parsed before the channel.
        Some(_) => {
            let event: serde_json::Value = serde_json::from_str(line).expect("an event is JSON");
            format!("{} {}", event["number"], event["kind"].as_str().unwrap_or_default())
        }
        None => line.clone(),
    });
    assert_eq!(after_quality.collect::<BTreeSet<_>>(), expected);
    let numbers: Vec<u64> = texts(good())
        .iter()
        .map(|line| {
            let event: serde_json::Value = serde_json::from_str(line).expect("an event is JSON");
            event["number"].as_u64().expect("it has a number")
        })
        .collect();
    let all_good: BTreeSet<u64> =
        (0..LINES as u64).filter(|number| ![3, 5, 7].contains(&(number % 10))).collect();
    assert_eq!(numbers.len(), all_good.len(), "no good line twice");
    assert_eq!(numbers.into_iter().collect::<BTreeSet<_>>(), all_good);
}
