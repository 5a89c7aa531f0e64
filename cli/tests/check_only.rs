//! `weir run` with and without `--check-only` when the agent can't start: both report the reason and change no file.

// Panics are test failures.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use insta::assert_snapshot;
use regex::Regex;
use tempfile::TempDir;

/// A program whose source, channel and sink all store state.
const STATEFUL: &str = "\
source logs = files { paths: [\"in/*.log\"], mode: follow, positions: \"state/positions.json\" }
channel buffer = file { path: \"channel\", byte_capacity: 16MiB }
sink out = files { path: \"out\" }
flow main delivers exactly_once { logs -> buffer -> out }
";

fn folder_with(program: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.flow"), program).unwrap();
    folder
}

/// Runs `weir`; returns its exit status and output as one text.
fn weir(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.current_dir(folder).args(arguments).env("NO_COLOR", "1").stdin(Stdio::null());
    let ended = command.output().unwrap();
    let text = String::from_utf8([ended.stdout, ended.stderr].concat()).unwrap();
    format!("exit status {}\n{text}", ended.status.code().unwrap())
}

fn checked(folder: &Path) -> String {
    weir(folder, &["run", "--check-only", "a.flow"])
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => found.extend(files(&entry.path())),
            false => drop(found.insert(entry.path(), fs::read(entry.path()).unwrap())),
        }
    }
    found
}

/// The messages of `weir run --check-only`. A start gives the same messages, and neither changes a file.
fn refused(folder: &Path) -> String {
    let before = files(folder);
    let said = checked(folder);
    assert_eq!(weir(folder, &["run", "a.flow"]), said, "a start");
    assert!(files(folder) == before, "a file was changed");
    said
}

#[test]
fn damaged_state_is_reported() {
    let folder = folder_with(STATEFUL);
    let folder = folder.path();
    fs::create_dir(folder.join("in")).unwrap();
    fs::write(folder.join("in/a.log"), "one\ntwo\n").unwrap();
    let ran = weir(folder, &["run", "--quiet", "--until-idle=100ms", "a.flow"]);
    assert_eq!(ran, "exit status 0\n");
    let intact = files(folder);
    assert_eq!(checked(folder), "exit status 0\n");
    assert!(files(folder) == intact, "a file was changed");

    let damaged = |path: &Path, byte: usize, change: fn(u8) -> u8| {
        let mut bytes = intact[path].clone();
        bytes[byte] = change(bytes[byte]);
        fs::write(path, bytes).unwrap();
        let said = refused(folder);
        fs::write(path, &intact[path]).unwrap();
        said
    };
    let segment = intact.keys().find(|path| path.extension().is_some_and(|end| end == "segment")).unwrap();
    let said = damaged(segment, 100, |byte| byte ^ 1);
    assert_snapshot!(said.replace(&*segment.file_name().unwrap().to_string_lossy(), "[segment]"));
    fs::write(folder.join("channel/superblock"), "").unwrap();
    assert_snapshot!(refused(folder));
    fs::write(folder.join("channel/superblock"), &intact[&folder.join("channel/superblock")]).unwrap();
    // A hexadecimal digit becomes another one, so that the file stays JSON.
    let other_digit = |digit| if digit == b'0' { b'1' } else { b'0' };
    let said = damaged(&folder.join("state/positions.json"), 100, other_digit);
    assert_snapshot!(Regex::new("[0-9a-f]{16}").unwrap().replace_all(&said, "[checksum]"));
    let is_ledger = |path: &&PathBuf| path.extension().is_some_and(|end| end == "entry");
    let ledger = intact.keys().rfind(is_ledger).unwrap();
    let said = damaged(ledger, intact[ledger].len() / 2, |byte| byte ^ 1);
    assert_snapshot!(said.replace(&*ledger.file_name().unwrap().to_string_lossy(), "[entry]"));
    assert_eq!(checked(folder), "exit status 0\n");
}

fn web(more: &str) -> TempDir {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    folder_with(&format!(
        "source web = http {{ bind: \"{address}\", {more} }}\nsink out = null {{}}\nflow main {{ web -> out }}\n"
    ))
}

#[test]
fn credentials_that_no_client_can_send_are_refused() {
    let bearer = web("authentication: bearer { token: secret file(\"token\") }");
    for (token, defect) in [
        ("one\ntwo\n", "has a line break"),
        (" one", "begins or ends with a space"),
        ("s\u{e9}same", "has characters that are not ASCII"),
        ("on\u{7}e", "has a control character"),
    ] {
        fs::write(bearer.path().join("token"), token).unwrap();
        let expected = format!(
            "exit status 1\nweir: source web: the token in the file token {defect}: no client can send it in a header, \
             so none would be let in\nweir: a is not started\n"
        );
        assert_eq!(refused(bearer.path()), expected);
    }
    fs::write(bearer.path().join("token"), "one\n").unwrap();
    assert_eq!(checked(bearer.path()), "exit status 0\n");

    let basic = web("authentication: basic { user: \"ann:bob\", password: secret file(\"token\") }");
    fs::write(basic.path().join("token"), "one\n").unwrap();
    assert_snapshot!(refused(basic.path()));
    for path in ["events", "/events?all", "/a b"] {
        let said = refused(web(&format!("path: \"{path}\"")).path());
        assert!(
            said.starts_with(&format!("exit status 1\nerror[E0412]: `path` can't be \"{path}\"")),
            "{said}"
        );
    }
}

/// Sets numbers in a plan to values outside their ranges, which the compiler would refuse in a program.
#[test]
fn a_changed_plan_is_checked_against_the_signatures() {
    let folder = folder_with(
        "source in = generate { content: numbered { size: 100B }, count: 10 }
sink out = files { path: \"out\", format: parquet }
flow main { in -> out }
",
    );
    let plan = weir(folder.path(), &["plan", "--format", "json", "a.flow"]);
    let plan = plan.strip_prefix("exit status 0\n").unwrap();
    for (is, becomes) in
        [("\"int\": 100000\n", "\"int\": 0\n"), ("\"size\": 100\n", "\"size\": 1099511627776\n")]
    {
        assert!(plan.contains(is), "{plan}");
        fs::write(folder.path().join("plan.json"), plan.replace(is, becomes)).unwrap();
        assert_snapshot!(weir(folder.path(), &["run", "plan.json"]));
    }
    assert!(!folder.path().join("out").exists());
}
