//! Markers of complete directories on HDFS.

use std::fs;
use std::io::Write;
use std::process;
use std::time::Duration;

use weir_tests::{Scene, Servers, Weir};

const PATIENCE: Duration = Duration::from_secs(60);

#[test]
fn a_directory_on_hdfs_gets_its_marker_behind_its_last_file() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "a_directory_on_hdfs_gets_its_marker");
    let hdfs = session.hdfs();
    let directory = format!("/{}-{}", scene.name(), process::id());
    let log = scene.path("app.log");
    fs::write(&log, "one\n").expect("the scene is there");
    let flow = scene.path("marked.flow");
    let program = format!(
        "source log = files {{ paths: [\"{log}\"], poll: 100ms }}\n\
         sink lake = hdfs {{ url: \"{}\", path: \"{directory}/{{@file}}\", compress: none, roll: {{ age: 1s }}, \
         done: marker {{ name: \"_DONE\", after: 2s }} }}\n\
         flow main {{ log -> lake }}\n",
        hdfs.url()
    );
    fs::write(&flow, program).expect("the scene is there");
    let markers = || {
        let files = hdfs.files(&directory);
        files.into_iter().filter(|file| file.path.ends_with("/_DONE") && file.closed).collect::<Vec<_>>()
    };
    let mut weir = Weir::run(&scene, &flow, &[]);
    let first =
        weir.await_event("a marker", PATIENCE, |_| Some(markers()).filter(|markers| !markers.is_empty()));
    assert!(first.len() == 1 && first[0].length == 0, "{first:?}");
    // A line behind the marker arrives, and the log says so.
    let position = weir.log_end();
    let mut file = fs::File::options().append(true).open(&log).expect("the log is there");
    writeln!(file, "two").expect("the log takes a line");
    weir.await_line("the warning of events behind a marker", position, |line| {
        line.contains("was marked as complete before more events came")
    });
    weir.terminate().assert_success();
    let folder = first[0].path.trim_end_matches("/_DONE");
    // The reader takes an empty file for a damaged one.
    hdfs.remove(&first[0].path);
    let (mut lines, unfinished) = hdfs.lines(folder, &scene);
    lines.sort();
    assert_eq!((lines, unfinished.len()), (vec![b"one".to_vec(), b"two".to_vec()], 0));
}
