//! SequenceFiles, Avro and Parquet files on HDFS as sources, while Weir is killed, and beside files that are none.

use std::process;
use std::time::Duration;

use weir_tests::{
    Scene, Servers, Weir, ask_agent, free_address, lines_of, print_line, visible_files, wait_until,
};

use crate::kerberos::numbers;

const FLOW: &str = "tests/end_to_end/flows/stored_formats.flow";
const EVENTS: usize = 30_000;
const PATIENCE: Duration = Duration::from_secs(120);
const FORMATS: [&str; 3] = ["sequences", "datums", "rows"];

/// The numbers of the events that were copied from the files of a format.
fn copied(scene: &Scene, format: &str) -> Vec<usize> {
    let folder = scene.folder().join("local").join(format);
    if !folder.exists() {
        return Vec::new();
    }
    let bodies = lines_of(&visible_files(&folder)).into_iter().map(|line| match format {
        "sequences" => line,
        _ => {
            let object: serde_json::Value = serde_json::from_slice(&line).expect("rows are JSON");
            object["body"].as_str().expect("it has the body").as_bytes().to_vec()
        }
    });
    numbers(bodies.collect())
}

fn total(scene: &Scene) -> usize {
    FORMATS.iter().map(|format| copied(scene, format).len()).sum()
}

#[test]
fn records_of_files_on_hdfs_arrive_once_however_often_weir_is_killed() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "records_of_files_on_hdfs");
    let hdfs = session.hdfs();
    let directory = format!("/{}-{}", scene.name(), process::id());
    let settings = [
        ("hdfs", hdfs.url().to_owned()),
        ("directory", directory.clone()),
        ("state", scene.path("state")),
        ("local", scene.path("local")),
        ("events", EVENTS.to_string()),
    ];
    for format in FORMATS {
        hdfs.put(&format!("{directory}/{format}/no-such-file"), &["only a line".to_owned()], &scene);
    }
    for _ in 0..4 {
        let before = total(&scene);
        if before >= 3 * EVENTS {
            break;
        }
        let mut weir = Weir::run(&scene, FLOW, &settings);
        weir.await_event("it has copied records", PATIENCE, |_| (total(&scene) > before).then_some(()));
        weir.kill();
        print_line(scene.name(), format_args!("killed with {} records", total(&scene)));
    }
    let metrics = free_address();
    let mut weir = Weir::run_by(&scene, &[], FLOW, &settings, &["--metrics", &metrics.to_string()]);
    weir.await_event("all records are copied", PATIENCE, |_| (total(&scene) >= 3 * EVENTS).then_some(()));
    wait_until("the files that are none are set aside", PATIENCE, || {
        let (_, text) = ask_agent(metrics, "/metrics.json")?;
        let reasons = ["it is no SequenceFile", "it is no Avro container file", "it is no Parquet file"];
        reasons.iter().all(|reason| text.contains(reason)).then_some(())
    });
    weir.terminate().assert_success();
    let expected: Vec<usize> = (1..=EVENTS).collect();
    for format in FORMATS {
        assert!(copied(&scene, format) == expected, "each record of the {format} is copied once");
    }
}
