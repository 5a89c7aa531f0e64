//! `weir ledger repair` and `weir channel repair` on ledgers of the sink `files` that were deleted after a run.

// Panics are test failures.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

const PROGRAM: &str = "\
source lines = files { paths: [\"in/*.txt\"], mode: complete }
channel buffer = CHANNEL
sink out = files { path: \"out\" }
flow main delivers exactly_once { lines -> buffer -> out }
";
const LEDGER: &str = "out/.weir/a.out";

/// Runs `weir`; returns its exit status and output.
fn weir(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let output =
        Command::new(env!("CARGO_BIN_EXE_weir")).current_dir(folder).args(arguments).output().unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text)
}

fn run(folder: &Path) -> (i32, String) {
    weir(folder, &["run", "--until-idle", "a.flow"])
}

/// Returns a folder in which a program has delivered two files through this channel.
fn delivered(channel: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.flow"), PROGRAM.replace("CHANNEL", channel)).unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    for file in ["one", "two"] {
        fs::write(folder.path().join(format!("in/{file}.txt")), format!("{file}\n").repeat(100)).unwrap();
        assert_eq!(run(folder.path()).0, 0);
    }
    folder
}

/// Counts the lines in the sink's files.
fn lines(folder: &Path) -> usize {
    let files = fs::read_dir(folder.join("out")).unwrap().map(|entry| entry.unwrap().path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "txt"));
    files.map(|path| fs::read_to_string(path).unwrap().lines().count()).sum()
}

#[test]
fn a_sink_goes_on_without_its_deleted_ledger_once_repeats_are_accepted() {
    let folder = delivered("memory {}");
    let folder = folder.path();
    let repair = ["ledger", "repair", LEDGER];
    let accept = ["ledger", "repair", "--accept-repeats", LEDGER];
    let complete = (0, format!("{LEDGER} knows all complete files of its sink\n"));
    assert_eq!(weir(folder, &repair), complete);
    fs::remove_dir_all(folder.join("out/.weir")).unwrap();
    let (status, log) = run(folder);
    assert!(status == 1 && log.contains("`weir ledger repair --accept-repeats out/.weir/a.out`"), "{log}");
    assert_eq!(lines(folder), 200);
    let (status, text) = weir(folder, &repair);
    assert!(status == 1 && text.contains("knows nothing of 2 complete files"), "{text}");
    assert!(
        text.contains("nothing was changed: to repair the ledger, run `weir ledger repair --accept-repeats"),
        "{text}"
    );
    assert_eq!(run(folder).0, 1, "without --accept-repeats, nothing is accepted");
    let (status, text) = weir(folder, &accept);
    assert!(status == 0 && text.contains("it goes on"), "{text}");
    assert_eq!(weir(folder, &accept), complete);
    assert_eq!(
        (run(folder).0, lines(folder)),
        (0, 400),
        "all events are repeated, as the memory channel has no record"
    );
    assert_eq!((run(folder).0, lines(folder)), (0, 400), "the repair is asked for only once");
    assert_eq!(weir(folder, &repair), complete);
}

#[test]
fn behind_a_durable_channel_either_command_is_enough() {
    for (command, path) in [
        (&["channel", "repair", "--accept-loss"][..], "channel"),
        (&["ledger", "repair", "--accept-repeats"][..], LEDGER),
    ] {
        let folder = delivered("file { path: \"channel\", byte_capacity: 16MiB }");
        let folder = folder.path();
        fs::remove_dir_all(folder.join("out/.weir")).unwrap();
        assert_eq!(run(folder).0, 1);
        let (status, text) = weir(folder, &[command, &[path]].concat());
        assert_eq!(status, 0, "{text}");
        for _ in 0..2 {
            let (status, log) = run(folder);
            assert_eq!((status, lines(folder)), (0, 200), "{log}");
        }
    }
}

#[test]
fn a_directory_that_is_no_ledger_is_misuse() {
    let folder = tempfile::tempdir().unwrap();
    for path in ["nowhere", "out/.weir/a.out", ".weir/"] {
        let (status, text) = weir(folder.path(), &["ledger", "repair", path]);
        assert!(status == 2 && text.contains("is no directory of a ledger"), "{path}: {text}");
    }
}
