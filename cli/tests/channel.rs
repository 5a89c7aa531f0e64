//! `weir channel` on directories that runs of the binary have filled, before and after damage.

// Panics are test failures.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use insta::assert_snapshot;
use regex::Regex;
use serde_json::{Value, json};
use tempfile::TempDir;

const PROGRAM: &str = "\
param events: Int
source numbers = generate { content: numbered, count: events, batch: 500 }
channel buffer = file { path: \"channel\", byte_capacity: 16MiB }
sink out = files { path: \"out/{@part}\" }
flow main { numbers -> buffer -> set @part = \"a\" -> out }
";

/// A folder with a program, whose channel holds 20,000 events.
struct Scene {
    folder: TempDir,
}

impl Scene {
    fn filled() -> Scene {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.flow"), PROGRAM).unwrap();
        // The sink can't write, so that everything stays where it is. A start would notice it at `out` itself.
        fs::create_dir(folder.path().join("out")).unwrap();
        fs::write(folder.path().join("out/a"), "in the way").unwrap();
        let scene = Scene { folder };
        // Three runs, so that the log has several separate writes.
        for events in [5_000, 10_000, 20_000] {
            // If a run was stopped too early, the next one goes on where it stopped.
            while scene.held() < events {
                scene.run_until_the_sink_waits(events, |_| {});
            }
        }
        scene
    }

    /// Returns the number of events that wait in the channel; 0 before the channel exists.
    fn held(&self) -> u64 {
        let (_, json) = self.weir(&["channel", "inspect", "--format", "json", "channel"]);
        let inspection: Option<Value> = serde_json::from_str(&json).ok();
        inspection.map_or(0, |inspection| inspection["held_events"].as_u64().unwrap())
    }

    /// Runs the program until its sink has failed, calls `inspect` while it runs, and stops it.
    fn run_until_the_sink_waits(&self, events: u64, inspect: impl FnOnce(&Scene)) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.current_dir(self.folder.path()).args(["run", "--drain", "0s", "a.flow"]);
        command.args(["--set", &format!("events={events}")]);
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let waits = log.any(|line| line.unwrap().contains("its events stay in buffer"));
        assert!(waits, "{:?}", child.wait());
        inspect(self);
        let signal = Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap();
        assert!(signal.success());
        // Read the log to its end, so that the process never waits for its reader.
        let _ = log.by_ref().count();
        assert_eq!(child.wait().unwrap().code(), Some(3));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs `weir`; returns its exit status, and its standard output and standard error.
    fn weir(&self, arguments: &[&str]) -> (i32, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        let ended = command.current_dir(self.folder.path()).args(arguments).output().unwrap();
        let text = [ended.stdout, ended.stderr].concat();
        (ended.status.code().unwrap(), String::from_utf8(text).unwrap())
    }

    /// Runs `weir`; returns its exit status and redacted output as one text.
    fn output(&self, arguments: &[&str]) -> String {
        let (status, text) = self.weir(arguments);
        format!("exit status {status}\n{}", redacted(&text))
    }

    /// Flips a bit of the event with this beginning of its body.
    fn damage(&self, body: &[u8]) {
        let offset = |bytes: &[u8]| bytes.windows(body.len()).position(|window| window == body);
        let (path, mut bytes) = self.files().into_iter().find(|(_, bytes)| offset(bytes).is_some()).unwrap();
        let at = offset(&bytes).unwrap();
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    }

    /// Returns the content of all files of the directory except the lock.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let entries = fs::read_dir(self.path("channel")).unwrap().map(|entry| entry.unwrap().path());
        let files = entries.filter(|path| !path.ends_with("lock"));
        files.map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }
}

/// Replaces the parts of an output that differ from run to run.
fn redacted(text: &str) -> String {
    let mut text = text.to_owned();
    for (pattern, replacement) in [
        (r"incarnation [0-9a-f]{32}", "incarnation [identity]"),
        (r"process \d+, boot [-0-9a-f]+", "process [number], boot [identity]"),
        (r"[0-9a-f]{16}\.segment", "[segment]"),
        (r"(\[segment\]: from put [1-9].*\n)+", "[more segments]\n"),
        (r"\d+ of \d+ bytes", "[some] of [some] bytes"),
        (r"read \d+ records with \d+ events", "read [some] records with [some] events"),
        (r"in \d+ segments", "in [some] segments"),
        (r"gives up \d+ events", "gives up [some] events"),
        (r"\d+ events are given up", "[some] events are given up"),
        (r"\d+ events (are|were) kept", "[some] events $1 kept"),
        (r"byte [1-9]\d*:", "byte [number]:"),
        (r"\(\d+ bytes\) since", "([some] bytes) since"),
    ] {
        text = Regex::new(pattern).unwrap().replace_all(&text, replacement).into_owned();
    }
    text
}

#[test]
fn a_channel_is_inspected() {
    let scene = Scene::filled();
    assert_snapshot!(scene.output(&["channel", "inspect", "channel"]));
    assert_snapshot!(scene.output(&["channel", "verify", "channel"]));
    let (_, json) = scene.weir(&["channel", "inspect", "--format", "json", "channel"]);
    let inspection: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&inspection["owner"], &inspection["closed"]), (&"a/buffer".into(), &true.into()));
    assert_eq!(
        inspection["positions"][0],
        json!({ "source": "numbers", "partition": "numbers", "through": 20_000 })
    );
    let (_, json) = scene.weir(&["channel", "verify", "--format", "json", "channel"]);
    let verification: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&verification["events"], &verification["damages"]), (&20_000.into(), &json!([])));
    assert_snapshot!(scene.output(&["channel", "repair", "channel"]));
}

#[test]
fn damage_is_shown_and_repaired_when_its_loss_is_accepted() {
    let scene = Scene::filled();
    scene.damage(b"5001 ");
    let before = scene.files();
    assert_snapshot!(scene.output(&["channel", "verify", "channel"]));
    assert_snapshot!(scene.output(&["channel", "inspect", "channel"]));
    assert_snapshot!(scene.output(&["channel", "repair", "channel"]));
    assert!(before == scene.files(), "until the loss is accepted, nothing is changed");
    assert_snapshot!(scene.output(&["channel", "repair", "--accept-loss", "channel"]));
    assert_eq!(scene.weir(&["channel", "verify", "channel"]).0, 0);
    // Only the events of the damaged write that lie after the damage are lost.
    let kept = scene.held();
    assert!((15_000..=19_500).contains(&kept), "{kept}");
    // The kept events are delivered.
    fs::remove_file(scene.path("out/a")).unwrap();
    let (status, log) = scene.weir(&["run", "--set", "events=20000", "a.flow"]);
    assert_eq!(status, 0, "{log}");
    let arrived: String = fs::read_dir(scene.path("out/a"))
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    assert_eq!(arrived.lines().count() as u64, kept);
}

#[test]
fn a_missing_superblock_is_restored() {
    let scene = Scene::filled();
    fs::remove_file(scene.path("channel/superblock")).unwrap();
    assert_snapshot!(scene.output(&["channel", "inspect", "channel"]));
    assert_snapshot!(scene.output(&["channel", "verify", "channel"]));
    assert_snapshot!(scene.output(&["channel", "repair", "channel"]));
    assert_snapshot!(scene.output(&["channel", "repair", "--accept-loss", "channel"]));
}

#[test]
fn a_reader_is_forgotten() {
    let scene = Scene::filled();
    assert_snapshot!(scene.output(&["channel", "forget-reader", "channel", "nobody"]));
    assert_snapshot!(scene.output(&["channel", "forget-reader", "channel", "out"]));
}

#[test]
fn a_missing_or_used_channel_is_left_alone() {
    let scene = Scene::filled();
    fs::create_dir(scene.path("empty")).unwrap();
    assert_snapshot!(scene.output(&["channel", "inspect", "nowhere"]));
    assert_snapshot!(scene.output(&["channel", "verify", "empty"]));
    assert_snapshot!(scene.output(&["channel", "inspect", "a.flow"]));
    scene.run_until_the_sink_waits(20_000, |scene| {
        let mut tools: Vec<String> = Vec::new();
        for tool in [&["inspect"][..], &["verify"], &["repair"], &["repair", "--accept-loss"]] {
            tools.push(scene.output(&[&["channel"], tool, &["channel"]].concat()));
        }
        tools.push(scene.output(&["channel", "forget-reader", "channel", "out"]));
        tools.dedup();
        assert_snapshot!(tools.join("\n"));
    });
}

impl Scene {
    /// Returns the last messages of `weir run`, without its log and its table.
    fn refusal(&self, program: &str) -> String {
        let (status, text) = self.weir(&["run", "--set", "events=20000", program]);
        let end = |line: &&str| line.starts_with("weir: ") || line.contains(" has failed: ");
        let lines: Vec<&str> = text.lines().filter(end).collect();
        let folder = self.folder.path().to_string_lossy();
        let text = redacted(&lines.join("\n")).replace(&*folder, "[folder]");
        format!("exit status {status}\n{text}")
    }
}

#[test]
fn an_agent_is_refused_a_directory_that_is_not_its_own() {
    let scene = Scene::filled();
    fs::write(scene.path("b.flow"), PROGRAM).unwrap();
    assert_snapshot!(scene.refusal("b.flow"));
    let named = scene.weir(&["run", "--check-only", "--name", "a", "b.flow"]).1;
    assert!(!named.contains("belongs to"), "{named}");
    fs::write(scene.path("a.flow"), PROGRAM.replace("buffer", "other")).unwrap();
    assert_snapshot!(scene.refusal("a.flow"));
    fs::write(scene.path("a.flow"), PROGRAM.replace("out", "elsewhere")).unwrap();
    assert_snapshot!(scene.refusal("a.flow"));
    fs::write(scene.path("a.flow"), PROGRAM).unwrap();
    scene.run_until_the_sink_waits(20_000, |scene| assert_snapshot!(scene.refusal("a.flow")));
}

#[test]
fn state_is_in_the_state_directory() {
    let folder = tempfile::tempdir().unwrap();
    let program = PROGRAM.replace("path: \"channel\", ", "");
    fs::write(folder.path().join("a.flow"), program).unwrap();
    let scene = Scene { folder };
    let weir = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.current_dir(scene.folder.path()).args(["run", "--quiet", "--set", "events=10"]);
        command.env_remove("WEIR_STATE_DIR").env_remove("STATE_DIRECTORY").envs(variables.iter().copied());
        let ended = command.args(arguments).arg("a.flow").output().unwrap();
        (ended.status.code().unwrap(), redacted(&String::from_utf8(ended.stderr).unwrap()))
    };
    let (status, without) = weir(&[], &[]);
    assert_eq!(status, 1);
    assert_snapshot!(without);
    assert_eq!(weir(&[], &["--state-dir", "given"]), (0, String::new()));
    assert_eq!(weir(&[("WEIR_STATE_DIR", "variable"), ("STATE_DIRECTORY", "no")], &[]), (0, String::new()));
    assert_eq!(weir(&[("STATE_DIRECTORY", "systemd:other")], &[]), (0, String::new()));
    for directory in ["given", "variable", "systemd"] {
        assert!(scene.path(directory).join("a/buffer/superblock").exists(), "{directory}");
    }
    assert!(!scene.path("no").exists() && !scene.path("other").exists());
}

/// A source with another name would read everything again.
#[test]
fn a_renamed_source_is_not_read_again_silently() {
    let scene = Scene::filled();
    fs::write(scene.path("a.flow"), PROGRAM.replace("numbers", "others")).unwrap();
    assert_snapshot!(scene.refusal("a.flow"));
    let events = scene.held();
    fs::remove_file(scene.path("out/a")).unwrap();
    let run = ["run", "--quiet", "--set", "events=10", "--new-source"];
    let (status, text) = scene.weir(&[&run[..], &["others", "a.flow"]].concat());
    assert_eq!(status, 0, "{text}");
    let inspected = scene.weir(&["channel", "inspect", "--format", "json", "channel"]).1;
    let inspection: Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!((events, inspection["highest_number"].clone()), (20_000, json!(20_010)), "{inspected}");
    // The channel knows the source from now on.
    let (status, text) = scene.weir(&["run", "--quiet", "--set", "events=20", "a.flow"]);
    assert_eq!(status, 0, "{text}");
    assert_eq!(scene.weir(&[&run[..], &["numbers", "a.flow"]].concat()).0, 2, "there is no such source");
}

#[test]
fn an_agent_does_not_go_on_with_a_damaged_channel() {
    let scene = Scene::filled();
    scene.damage(b"5001 ");
    // The sink can write now, so that it reads up to the damage.
    fs::remove_file(scene.path("out/a")).unwrap();
    assert_snapshot!(scene.refusal("a.flow"));
    assert_eq!(scene.weir(&["channel", "verify", "channel"]).0, 1, "the damage is still found");
}

#[test]
fn a_directory_of_a_newer_version_is_left_alone() {
    let scene = Scene::filled();
    let path = scene.path("channel/superblock");
    let mut bytes = fs::read(&path).unwrap();
    for copy in [0, 4096] {
        bytes[copy + 8] = 3;
        let checksum = crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, &bytes[copy..copy + 88]);
        bytes[copy + 88..copy + 92].copy_from_slice(&(checksum as u32).to_le_bytes());
    }
    fs::write(&path, bytes).unwrap();
    let before = scene.files();
    assert_snapshot!(scene.refusal("a.flow"));
    assert_snapshot!(scene.output(&["channel", "inspect", "channel"]));
    assert_snapshot!(scene.output(&["channel", "repair", "--accept-loss", "channel"]));
    assert!(before == scene.files(), "nothing was changed");
}

#[test]
fn an_encrypted_channel_needs_its_key() {
    const KEY: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff\n";
    let scene = Scene { folder: tempfile::tempdir().unwrap() };
    let program = PROGRAM.replace("16MiB }", "16MiB, encrypt: { key: secret file(\"key\") } }");
    fs::write(scene.path("a.flow"), program).unwrap();
    fs::write(scene.path("key"), "swordfish\n").unwrap();
    fs::write(scene.path("other"), KEY.replace("00", "01")).unwrap();
    let run = ["run", "--set", "events=1000", "a.flow"];
    let (status, refused) = scene.weir(&run);
    let said =
        "channel buffer: the key in `encrypt`, from the file key: a key is 32 bytes as 64 hexadecimal digits";
    assert!(status != 0 && refused.contains(said) && !refused.contains("swordfish"), "{refused}");
    fs::write(scene.path("key"), KEY).unwrap();
    let (status, ended) = scene.weir(&run);
    assert_eq!(status, 0, "{ended}");
    for bytes in scene.files().values() {
        assert!(!bytes.windows(8).any(|window| window == b"a/buffer"), "the owner can be read");
    }
    assert_snapshot!(scene.output(&["channel", "verify", "channel"]));
    assert_snapshot!(scene.output(&["channel", "verify", "--key-file", "other", "channel"]));
    assert_snapshot!(scene.output(&["channel", "verify", "--key-file", "a.flow", "channel"]));
    assert_snapshot!(scene.output(&["channel", "verify", "--key-file", "key", "channel"]));
    let (status, inspected) = scene.weir(&["channel", "inspect", "--key-file", "key", "channel"]);
    assert!(status == 0 && inspected.contains("1000 events in"), "{inspected}");
    let (status, repaired) = scene.weir(&["channel", "repair", "--key-file", "key", "channel"]);
    assert_eq!((status, repaired.as_str()), (0, "nothing is damaged; 0 events wait\n"));
    let plain = fs::read_to_string(scene.path("a.flow"))
        .unwrap()
        .replace(", encrypt: { key: secret file(\"key\") }", "");
    fs::write(scene.path("a.flow"), plain).unwrap();
    let (status, refused) = scene.weir(&run);
    assert!(status != 0 && refused.contains("channel is encrypted, and no key is given"), "{refused}");
}
