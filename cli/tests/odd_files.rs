//! `weir run` over files that are odd, and programs with odd names: what arrives, and what an operator reads.

// Panics are test failures.
#![allow(clippy::unwrap_used)]

use std::ffi::OsStr;
use std::fs;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use tempfile::TempDir;

struct Ended {
    status: i32,
    lines: Vec<String>,
    log: String,
}

fn flow(source: &str) -> String {
    format!(
        "source logs = files {{ paths: [\"in/*.log*\"], {source} }}\nsink out = files {{ path: \"out\" }}\n\
         flow main {{ logs -> out }}\n"
    )
}

fn folder_with(source: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.flow"), flow(source)).unwrap();
    fs::create_dir(folder.path().join("in")).unwrap();
    folder
}

fn weir(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.current_dir(folder).env("NO_COLOR", "1").stdin(Stdio::null());
    command
}

/// Runs the program until everything is delivered.
fn run(folder: &TempDir) -> Ended {
    let arguments = ["run", "--until-idle", "--no-progress", "--log", "human", "a.flow"];
    let ended = weir(folder.path()).args(arguments).output().unwrap();
    let mut files: Vec<_> = fs::read_dir(folder.path().join("out"))
        .map(|files| files.map(|file| file.unwrap().path()).filter(|file| file.is_file()).collect())
        .unwrap_or_default();
    files.sort();
    let lines = files.iter().flat_map(|file| {
        let text = String::from_utf8(fs::read(file).unwrap()).unwrap();
        text.lines().map(str::to_owned).collect::<Vec<_>>()
    });
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    Ended { status: ended.status.code().unwrap(), lines, log: String::from_utf8(ended.stderr).unwrap() }
}

fn gzip(text: &[u8]) -> Vec<u8> {
    let mut child = Command::new("gzip").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text).unwrap();
    child.wait_with_output().unwrap().stdout
}

#[test]
fn odd_files_bring_their_lines_and_a_word_in_the_log() {
    let folder = folder_with("mode: follow, max_line: 1KiB");
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join("in").join(name), bytes).unwrap();
    write("marked.log", "\u{feff}marked\r\n".as_bytes());
    write("hole.log", &[vec![0; 100_000], b"behind a hole\n".to_vec()].concat());
    write("packed.log.gz", &gzip(b"packed\n"));
    write("packed.log.xz", b"\xfd7zXZ\0 and more");
    fs::write(folder.path().join("in").join(OsStr::from_bytes(b"name\xff.log")), "odd name\n").unwrap();
    let Ended { status, lines, log } = run(&folder);
    assert_eq!(
        (status, lines),
        (0, ["behind a hole", "marked", "odd name"].map(str::to_owned).to_vec()),
        "{log}"
    );
    for words in [
        "in/packed.log.gz is compressed (gzip) and is left out: `decompress: true` reads its lines",
        "in/packed.log.xz is packed (xz) and is left out",
        "in/hole.log has a hole of 100000 zero bytes",
    ] {
        assert_eq!(log.matches(words).count(), 1, "{words}: {log}");
    }
}

#[test]
fn compressed_files_and_other_encodings_are_read_if_the_settings_say_so() {
    let folder = folder_with("decompress: true, encoding: utf16le, positions: \"positions.json\"");
    let text = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<u8>>();
    let packed = [gzip(&text("\u{feff}packed ä\r\n")), vec![0; 512]].concat();
    fs::write(folder.path().join("in/a.log.gz"), packed).unwrap();
    fs::write(folder.path().join("in/b.log"), text("plain \u{a0a}\nlast")).unwrap();
    let Ended { status, lines, log } = run(&folder);
    assert_eq!((status, lines), (0, ["packed ä", "plain \u{a0a}"].map(str::to_owned).to_vec()), "{log}");
    assert!(log.contains("in/a.log.gz goes on behind its compressed lines"), "{log}");
    assert_eq!(run(&folder).lines.len(), 2, "nothing is read twice");
}

#[test]
fn a_text_in_another_encoding_than_the_setting_says_is_named() {
    let folder = folder_with("mode: complete");
    let text: Vec<u8> = "a line of UTF-16\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(folder.path().join("in/a.log"), text).unwrap();
    let log = run(&folder).log;
    let words = "in/a.log is read as utf8, but looks like UTF-16; `encoding: utf16le` reads it";
    assert!(log.contains(words), "{log}");
}

#[test]
fn patterns_without_files_and_folders_as_paths_are_named() {
    let folder = folder_with("mode: follow");
    let program = flow("mode: follow").replace("in/*.log*\"", "in/*.log*\", \"in\", \"in/*.txt\"");
    fs::write(folder.path().join("a.flow"), program).unwrap();
    fs::write(folder.path().join("in/a.log"), "one\n").unwrap();
    let Ended { status, lines, log } = run(&folder);
    assert_eq!((status, lines.len()), (0, 1), "{log}");
    assert!(log.contains("no file matches in/*.txt yet"), "{log}");
    assert!(!log.contains("no file matches in/*.log*"), "{log}");
    assert!(log.contains("/in: it is a directory: with `/*` behind it, the files in it are read"), "{log}");
}

#[test]
fn a_file_that_is_set_aside_is_in_the_last_words() {
    let folder = folder_with("decompress: true, mode: complete, positions: \"positions.json\"");
    let packed = gzip(&b"line\n".repeat(10_000));
    fs::write(folder.path().join("in/cut.log.gz"), &packed[..packed.len() / 2]).unwrap();
    fs::write(folder.path().join("in/whole.log"), "whole\n").unwrap();
    let Ended { log, lines, .. } = run(&folder);
    assert!(lines.contains(&"whole".to_owned()), "{log}");
    let last = log.lines().rev().take(4).collect::<Vec<_>>().join("\n");
    assert!(last.contains("cut.log.gz") && last.contains("set aside"), "{log}");
}

#[test]
fn a_program_keeps_the_name_that_it_gives_itself() {
    let folder = tempfile::tempdir().unwrap();
    let program = |name: &str| {
        format!(
            "source lines = stdin {{}}\nchannel buffer = file {{ path: \"channel\" }}\n\
             sink out = stdout {{}}\nflow main delivers best_effort {{ lines -> buffer -> out }}\n{name}"
        )
    };
    let run = |file: &str, name: &str, arguments: &[&str]| {
        fs::write(folder.path().join(file), program(name)).unwrap();
        let ended = weir(folder.path()).arg("run").args(arguments).arg(file).output().unwrap();
        (ended.status.code().unwrap(), String::from_utf8(ended.stderr).unwrap())
    };
    let named = "agent { name: \"web\" }\n";
    assert_eq!(run("first.flow", named, &[]).0, 0);
    assert_eq!(run("renamed.flow", named, &[]).0, 0);
    assert_eq!(run("other.flow", "", &["--name", "web"]).0, 0);
    let (status, log) = run("renamed.flow", named, &["--name", "other", "--start-timeout", "0s"]);
    assert_ne!(status, 0, "{log}");
    assert!(log.contains("web"), "{log}");
}

#[test]
fn a_program_whose_name_is_not_utf_8_is_refused_with_the_way_to_run_it() {
    let folder = tempfile::tempdir().unwrap();
    let name = OsStr::from_bytes(b"odd\xff.flow");
    fs::write(folder.path().join(name), flow("mode: follow")).unwrap();
    for command in ["run", "check", "plan", "fmt", "graph"] {
        let refused = weir(folder.path()).arg(command).arg(name).output().unwrap();
        let log = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(2), "{command}: {log}");
        assert!(
            log.contains("the name is not UTF-8. Give the file another name, or `-`"),
            "{command}: {log}"
        );
    }
    let program = fs::File::open(folder.path().join(name)).unwrap();
    let checked = weir(folder.path()).args(["check", "-"]).stdin(program).output().unwrap();
    assert_eq!(checked.status.code(), Some(0), "{}", String::from_utf8_lossy(&checked.stderr));
}
