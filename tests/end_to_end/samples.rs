//! `weir try --sample` beside agents that read the same: a sample leaves no trace.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::time::Duration;

use weir_tests::{Kafka, Scene, Servers, Weir, free_address, lines_of, visible_files, wait_until};

const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `weir try` on a program, and returns its exit status and what it has printed.
fn tried(program: &Path, options: &[&str]) -> (Option<i32>, String) {
    let words = [OsStr::new("try"), program.as_os_str()].into_iter().chain(options.iter().map(OsStr::new));
    let (status, said) = Weir::tool_with_status(words);
    (status.code(), said)
}

/// Writes a program into the scene.
fn program(scene: &Scene, name: &str, text: &str) -> std::path::PathBuf {
    let path = scene.folder().join(name);
    fs::write(&path, text).expect("the disk has space");
    path
}

fn kafka_program(kafka: &Kafka, scene: &Scene, settings: &str) -> String {
    format!(
        "source records = kafka {{ brokers: {}, {settings} }}\nsink out = files {{ path: \"{}\", roll: {{ age: 1s }} }}\n\
         flow main {{ records -> keep if length(body) > 1 -> out }}\n",
        kafka.brokers(),
        scene.path("out"),
    )
}

/// The lines that the agent has delivered.
fn delivered(scene: &Scene) -> usize {
    let folder = scene.folder().join("out");
    if folder.exists() { lines_of(&visible_files(&folder)).len() } else { 0 }
}

#[test]
fn a_sample_of_a_topic_changes_neither_the_group_nor_its_offsets() {
    let session = Servers::shared();
    let scene = Scene::new(
        env!("CARGO_TARGET_TMPDIR"),
        "a_sample_of_a_topic_changes_neither_the_group_nor_its_offsets",
    );
    let kafka = session.kafka();
    let (topic, group) =
        (format!("samples-{}", std::process::id()), format!("sampled-{}", std::process::id()));
    kafka.create_topic(&topic, 2);
    let lines = |from: usize| (from..from + 20).map(|number| format!("line {number}")).collect::<Vec<_>>();
    kafka.produce(&topic, &lines(0));
    let settings = format!("topics: [\"{topic}\"], group: \"{group}\", member: \"one\", start: newest");
    let running = kafka_program(&kafka, &scene, &settings.replace(", start: newest", ""));
    let running = program(&scene, "running.flow", &running);
    let mut agent = Weir::run(&scene, &running.to_string_lossy(), &[]);
    let progress = kafka.progress(&group, &topic);
    agent.await_event("20 records are committed", PATIENCE, |_| (progress.committed() == 20).then_some(()));
    let (members, groups) = (kafka.groups()[&group].clone(), kafka.groups().into_keys().collect::<Vec<_>>());
    assert_eq!(members.len(), 1);
    // Bytes that are no text stay what they are.
    kafka.produce_bytes(&topic, &[0xff]);
    agent.await_event("21 records are committed", PATIENCE, |_| (progress.committed() == 21).then_some(()));

    let sampled = program(&scene, "sampled.flow", &kafka_program(&kafka, &scene, &settings));
    let (status, said) = tried(&sampled, &["--sample", "21"]);
    assert_eq!(status, Some(0), "{said}");
    for number in 0..20 {
        assert!(said.contains(&format!("\"line {number}\" sent to `records`")), "{said}");
    }
    assert_eq!(
        said.matches("dropped\n").count(),
        1,
        "the record of one byte is not three bytes long: {said}"
    );
    assert_eq!(said.matches("-> out").count(), 20, "{said}");

    let by_pattern = format!("topic_pattern: r\"samples-{}\", group: \"{group}\"", std::process::id());
    let only = format!("topics: [\"{topic}\"], group: \"{group}\", partitions: only {{ numbers: [1] }}");
    let from = format!("topics: [\"{topic}\"], group: \"{group}\", start: offset {{ number: 8 }}");
    for (settings, count) in [(&by_pattern, 5), (&only, 10), (&from, 5)] {
        let path = program(&scene, "other.flow", &kafka_program(&kafka, &scene, settings));
        let (status, said) = tried(&path, &["--sample", if count == 10 { "100" } else { "5" }]);
        assert_eq!((status, said.matches("sent to").count()), (Some(0), count), "{settings}: {said}");
    }

    let after = kafka.groups();
    assert_eq!(after[&group], members, "the members and their partitions");
    assert_eq!(after.into_keys().collect::<Vec<_>>(), groups, "no group was made");
    assert_eq!(progress.committed(), 21, "the committed offsets");
    kafka.produce(&topic, &lines(20));
    agent.await_event("41 records are committed", PATIENCE, |_| (progress.committed() == 41).then_some(()));
    agent.terminate().assert_success();
    assert_eq!(delivered(&scene), 40, "the agent goes on, and nothing is repeated");
    kafka.delete_topic(&topic);
}

#[test]
fn a_sample_that_can_not_be_taken_says_why() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "a_sample_that_can_not_be_taken_says_why");
    let kafka = session.kafka();
    let topic = format!("no-samples-{}", std::process::id());
    kafka.create_topic(&topic, 1);
    let settings = format!("topics: [\"{topic}\"], group: \"nobody\"");
    let right = kafka_program(&kafka, &scene, &settings);
    let nobody = right.replace(&kafka.brokers(), &format!("[\"{}\"]", free_address()));
    let missing = right.replace(&topic, "no-such-topic");
    for (text, expected) in [
        (&nobody, "gives no sample: no broker of"),
        (&missing, "topic no-such-topic does not exist"),
        (&right, "no event came from the source `records` within 1s"),
    ] {
        let path = program(&scene, "wrong.flow", text);
        let (status, said) = tried(&path, &["--sample", "3", "--wait", "1"]);
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains(expected), "{said}");
    }
    assert!(!kafka.groups().contains_key("nobody"), "no group was made");
    kafka.delete_topic(&topic);
}

#[test]
fn a_sample_of_files_does_not_disturb_the_agent_that_reads_them() {
    let scene = Scene::new(
        env!("CARGO_TARGET_TMPDIR"),
        "a_sample_of_files_does_not_disturb_the_agent_that_reads_them",
    );
    fs::create_dir(scene.folder().join("in")).expect("the disk has space");
    let write = |name: &str, lines: std::ops::Range<usize>| {
        let text: String = lines.map(|number| format!("line {number}\n")).collect();
        fs::write(scene.folder().join("in").join(name), text).expect("the disk has space");
    };
    let text = format!(
        "source lines = files {{\n  paths: [\"{}/*\"]\n  mode: complete {{ after: rename {{ suffix: \".done\" }} }}\n  \
         positions: \"{}\"\n}}\nsink out = files {{ path: \"{}\", roll: {{ age: 1s }} }}\nflow main {{ lines -> out }}\n",
        scene.path("in"),
        scene.path("positions"),
        scene.path("out"),
    );
    let path = program(&scene, "files.flow", &text);
    write("a.log", 0..10);
    let mut agent = Weir::run(&scene, &path.to_string_lossy(), &[]);
    let done = scene.folder().join("in/a.log.done");
    agent.await_event("the first file is done", PATIENCE, |_| done.exists().then_some(()));
    agent.stall();
    write("b.log", 10..20);
    let positions = fs::read(scene.folder().join("positions")).expect("the agent has saved positions");
    let (status, said) = tried(&path, &["--sample", "100", "--wait", "5"]);
    assert_eq!(status, Some(0), "{said}");
    assert_eq!(said.matches("sent to").count(), 10, "a file that is done is not read: {said}");
    assert!(scene.folder().join("in/b.log").exists(), "the file is not renamed");
    assert_eq!(fs::read(scene.folder().join("positions")).ok(), Some(positions), "the positions stay");
    agent.resume();
    wait_until("the second file is done", PATIENCE, || {
        scene.folder().join("in/b.log.done").exists().then_some(())
    });
    agent.terminate().assert_success();
    assert_eq!(delivered(&scene), 20);
}

#[test]
fn a_sample_of_files_on_hdfs_leaves_them_there() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "a_sample_of_files_on_hdfs_leaves_them_there");
    let (hdfs, folder) = (session.hdfs(), format!("/samples-{}", std::process::id()));
    let lines: Vec<String> = (0..5).map(|number| format!("line {number}")).collect();
    hdfs.put(&format!("{folder}/a.log"), &lines, &scene);
    let text = |paths: &str| {
        format!(
            "source lines = hdfs {{ url: \"{}\", paths: [\"{paths}\"], after: delete }}\nsink out = null {{}}\n\
             flow main {{ lines -> out }}\n",
            hdfs.url()
        )
    };
    let path = program(&scene, "hdfs.flow", &text(&format!("{folder}/*.log")));
    let (status, said) = tried(&path, &["--sample", "3"]);
    assert_eq!((status, said.matches("sent to").count()), (Some(0), 3), "{said}");
    let files: Vec<String> = hdfs.files(&folder).into_iter().map(|file| file.path).collect();
    assert_eq!(files, [format!("{folder}/a.log")]);
    let path = program(&scene, "missing.flow", &text("/no/such/folder/*.log"));
    let (status, said) = tried(&path, &["--sample", "3", "--wait", "1"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("/no/such/folder"), "{said}");
    hdfs.remove(&folder);
}
