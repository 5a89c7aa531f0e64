//! Independent readers read the files of the sink `files`, in every format and codec.

use std::fs;
use std::time::Duration;

use serde_json::Value;
use weir_tests::{Scene, Weir, read_independently, visible_files};

const CODECS: [&str; 6] = ["none", "gzip", "zstd", "snappy", "lz4", "bzip2"];
/// Each format, its setting, and the codec that it does not support.
const FORMATS: [(&str, &str, &str); 7] = [
    ("text", "text", ""),
    ("raw", "raw", ""),
    ("sequence_file", "sequence_file", ""),
    ("json", "json { headers: [@offset, @timestamp] }", ""),
    ("csv", "csv { headers: [@offset, @timestamp] }", ""),
    ("avro", "avro { headers: [@offset, @timestamp] }", "lz4"),
    ("parquet", "parquet { row_group: 1_000, headers: [@offset, @timestamp] }", "bzip2"),
];
const PATIENCE: Duration = Duration::from_secs(120);

/// Returns lines with all characters that formats have to quote, except line breaks.
fn lines() -> Vec<String> {
    let odd =
        ["", "plain", "a,b;c", "say \"hi\"", "tab\tand \\ back", "grün ☃", "{\"a\": 1}", " blank ", "NULL"];
    (0..5_000_usize).map(|number| format!("{number} {}", odd[number % odd.len()])).collect()
}

/// Returns a program with a sink for each format in each codec.
fn program(scene: &Scene) -> String {
    let mut text = format!(
        "source lines = files {{ paths: [\"{}\"], poll: 100ms, mode: complete {{ after: rename {{}} }} }}\n",
        scene.path("input/*.log")
    );
    let mut sinks = Vec::new();
    for (format, setting, lacks) in FORMATS {
        for codec in CODECS.iter().filter(|codec| **codec != lacks) {
            let path = scene.path(&format!("output/{format}/{codec}"));
            text += &format!(
                "sink {format}_{codec} = files {{ path: \"{path}\", format: {setting}, compress: {codec}, roll: {{ age: 1s }} }}\n"
            );
            sinks.push(format!("{format}_{codec}"));
        }
    }
    text + &format!("flow main {{ lines -> copy {{ {} }} }}\n", sinks.join(", "))
}

#[test]
fn independent_readers_read_every_format_in_every_codec() {
    let scene =
        Scene::new(env!("CARGO_TARGET_TMPDIR"), "independent_readers_read_every_format_in_every_codec");
    let lines = lines();
    fs::create_dir(scene.folder().join("input")).expect("the scene is empty");
    fs::write(scene.folder().join("input/odd.log"), lines.join("\n") + "\n").expect("the folder is there");
    let flow = scene.path("formats.flow");
    fs::write(&flow, program(&scene)).expect("the scene is there");
    let mut weir = Weir::run(&scene, &flow, &[]);
    let done = scene.folder().join("input/odd.log.done");
    weir.await_event("all is delivered", PATIENCE, |_| done.exists().then_some(()));
    weir.terminate().assert_success();

    for (format, _, lacks) in FORMATS {
        for codec in CODECS.iter().filter(|codec| **codec != lacks) {
            let context = format!("{format} in {codec}");
            let files = visible_files(&scene.folder().join("output").join(format).join(codec));
            let rows: Vec<Value> = files.iter().flat_map(|file| read_independently(format, file)).collect();
            if format == "raw" {
                let all: String = rows.iter().filter_map(|row| row["body"].as_str()).collect();
                assert!(all == lines.concat(), "{context}");
                continue;
            }
            assert_eq!(rows.len(), lines.len(), "{context}");
            let mut offset = 0;
            for (row, line) in rows.iter().zip(&lines) {
                assert_eq!(row["body"], **line, "{context}");
                if !["text", "sequence_file"].contains(&format) {
                    assert_eq!(row["offset"].to_string().trim_matches('"'), offset.to_string(), "{context}");
                    let time = row["timestamp"].as_str().expect("a time is text here");
                    time.parse::<jiff::Timestamp>().unwrap_or_else(|_| panic!("{time}: {context}"));
                }
                offset += line.len() + 1;
            }
        }
    }
}
