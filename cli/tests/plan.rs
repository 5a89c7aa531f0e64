//! `weir plan --access` and `weir plan --diff`.

// Panics are test failures.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const OLD: &str = "agent { name: \"clicks\" }
source made = generate { count: 100 }
channel buffer = file {}
sink fast = null {}
sink slow = files { path: \"slow\" }
flow main { made -> buffer -> copy { fast, throttle 1/s -> slow } }
";

const NEW: &str = "agent { name: \"clicks\" }
source made = generate { count: 100 }
channel buffer = file {}
sink fast = null {}
flow main { made -> buffer -> fast }
";

/// Runs `weir` in a folder. Returns the exit status and the standard output.
fn weir(folder: &Path, arguments: &[&str]) -> (i32, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.env_remove("WEIR_STATE_DIR").env_remove("STATE_DIRECTORY");
    let ended = command.current_dir(folder).args(arguments).output().unwrap();
    (ended.status.code().unwrap(), String::from_utf8(ended.stdout).unwrap())
}

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("old.flow"), OLD).unwrap();
    fs::write(folder.path().join("new.flow"), NEW).unwrap();
    folder
}

#[test]
fn access_is_shown_in_each_format() {
    let folder = folder();
    let shown = |format: &str| {
        weir(folder.path(), &["plan", "--access", "--state-dir", "/state", "--format", format, "old.flow"])
    };
    let (status, text) = shown("text");
    assert_eq!(status, 0);
    assert!(text.contains("/state/clicks/buffer"), "{text}");
    assert!(text.contains(&format!("{}/slow", folder.path().canonicalize().unwrap().display())), "{text}");
    let json: Value = serde_json::from_str(&shown("json").1).unwrap();
    assert_eq!(json["program"], "clicks");
    assert!(shown("systemd").1.contains("ReadWritePaths=-/state/clicks\n"));
    assert!(shown("networkpolicy").1.contains("kind: NetworkPolicy"));
    assert!(shown("nftables").1.contains("table inet weir_clicks"));
    let (status, _) = weir(folder.path(), &["plan", "--format", "systemd", "old.flow"]);
    assert_eq!(status, 2, "only an access has this format");
}

#[test]
fn a_change_that_strands_events_has_an_exit_status_and_counts_them() {
    let folder = folder();
    let diff = |arguments: &[&str]| {
        let fixed = ["plan", "--diff", "old.flow", "--state-dir", "state"];
        weir(folder.path(), &[&fixed, arguments].concat())
    };
    let (status, text) = diff(&["new.flow"]);
    assert_eq!(status, 4);
    assert!(text.contains("reader `slow` is gone") && !text.contains("events wait"), "{text}");
    weir(folder.path(), &["run", "--state-dir", "state", "--for=1s", "--drain=10ms", "old.flow"]);
    let (status, text) = diff(&["new.flow", "--format", "json"]);
    assert_eq!(status, 4);
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&json["changes"][0]["effect"], &json["changes"][0]["reader"]),
        (&"strands".into(), &"slow".into())
    );
    assert!(json["changes"][0]["events"].as_u64().is_some_and(|events| events > 0), "{text}");
    // A reader that is new matters to nobody.
    let (status, text) = weir(folder.path(), &["plan", "--diff", "new.flow", "old.flow"]);
    assert_eq!(status, 0, "{text}");
    assert!(text.contains("has the new reader `slow`"), "{text}");
}

#[test]
fn a_plan_in_json_is_compared_as_its_program_is() {
    let folder = folder();
    let (_, plan) = weir(folder.path(), &["plan", "--format", "json", "old.flow"]);
    fs::write(folder.path().join("old.json"), plan).unwrap();
    let (status, text) = weir(folder.path(), &["plan", "--diff", "old.json", "old.flow"]);
    assert_eq!((status, text.as_str()), (0, "nothing changes\n"));
    let compared = |old: &str| weir(folder.path(), &["plan", "--diff", old, "new.flow"]);
    assert_eq!(compared("old.json"), compared("old.flow"));
    fs::write(folder.path().join("wrong.json"), "{}").unwrap();
    assert_eq!(compared("wrong.json").0, 2);
    fs::write(folder.path().join("wrong.flow"), "sink a = nothing {}\n").unwrap();
    assert_eq!(compared("wrong.flow").0, 1);
}

/// A program that fits its limits runs, and one that does not is refused before anything starts.
#[test]
fn an_agent_keeps_to_its_limits() {
    let program = |memory| {
        format!(
            "agent {{ memory: {memory} }}
source numbers = generate {{ content: numbered, count: 1000 }}
channel buffer = memory {{ byte_capacity: 8MiB }}
sink out = stdout {{}}
flow main {{ numbers -> buffer -> out }}
"
        )
    };
    let folder = tempfile::tempdir().unwrap();
    for (memory, expected) in [("512MiB", (0, 1_000)), ("32MiB", (1, 0))] {
        fs::write(folder.path().join("a.flow"), program(memory)).unwrap();
        let (status, output) = weir(folder.path(), &["run", "a.flow", "--quiet"]);
        assert_eq!((status, output.lines().count()), expected, "{memory}");
    }
}
