//! `weir check --connect` with a real broker.

use std::ffi::OsStr;
use std::fs;

use weir_tests::{Kafka, Scene, Servers, Weir, free_address};

/// A program without its flow, and the setting at which something is wrong, with a part of what is said; none if nothing is.
type Case = (String, Option<(&'static str, &'static str)>);

/// Programs whose brokers have or lack what they name. The topic has two partitions.
fn cases(kafka: &Kafka, topic: &str) -> Vec<Case> {
    let (brokers, nobody) = (kafka.brokers(), free_address());
    let source = |brokers: &str, settings: &str| {
        format!(
            "source in = kafka {{ brokers: {brokers}, group: \"connect\", {settings} }}\nsink out = null {{}}\n"
        )
    };
    let sink = |settings: &str| {
        format!("source in = generate {{}}\nsink out = kafka {{ brokers: {brokers}, {settings} }}\n")
    };
    let channel = |settings: &str| {
        format!(
            "source in = generate {{}}\nsink out = null {{}}\nchannel shared = kafka {{ brokers: {brokers}, group: \"connect\", {settings} }}\n"
        )
    };
    let compacted = format!("{topic}-compacted");
    kafka.create_topic_with(&compacted, 1, &[("cleanup.policy", "compact")]);
    let nobody = format!("[\"{nobody}\"]");
    vec![
        (source(&brokers, &format!("topics: [\"{topic}\"]")), None),
        (
            source(&brokers, &format!("topics: [\"{topic}\", \"no-such\"]")),
            Some(("topics", "topic no-such does not exist")),
        ),
        (
            source(&brokers, &format!("topics: [\"{topic}\"], partitions: only {{ numbers: [1, 2] }}")),
            Some(("partitions", "has no partition 2")),
        ),
        (
            source(&brokers, "topic_pattern: r\"no-such-.*\""),
            Some(("topic_pattern", "no topic that this client may see matches")),
        ),
        (source(&nobody, &format!("topics: [\"{topic}\"]")), Some(("brokers", "Connection refused"))),
        (
            source("[\"no-such-host.invalid:9092\"]", &format!("topics: [\"{topic}\"]")),
            Some(("brokers", "no-such-host.invalid")),
        ),
        (sink(&format!("topic: \"{topic}\"")), None),
        (sink("topic: \"no-such\""), Some(("topic", "topic no-such does not exist"))),
        (channel(&format!("topic: \"{topic}\"")), None),
        (channel("topic: \"no-such\", create: { partitions: 2 }"), None),
        (channel("topic: \"no-such\""), Some(("topic", "topic no-such does not exist"))),
        (channel(&format!("topic: \"{compacted}\"")), Some(("topic", "cleanup.policy=compact"))),
        (
            channel(&format!("topic: \"{topic}\", partitions: only {{ numbers: [5] }}")),
            Some(("partitions", "has no partition 5")),
        ),
    ]
}

#[test]
fn what_brokers_lack_is_told_at_the_setting_that_names_it() {
    let session = Servers::shared();
    let scene =
        Scene::new(env!("CARGO_TARGET_TMPDIR"), "what_brokers_lack_is_told_at_the_setting_that_names_it");
    let kafka = session.kafka();
    let topic = format!("connect-{}", std::process::id());
    kafka.create_topic(&topic, 2);
    let cases = cases(&kafka, &topic);
    for (number, (program, expected)) in cases.into_iter().enumerate() {
        let path = scene.folder().join(format!("{number}.flow"));
        let way = if program.contains("channel shared") { "in -> shared -> out" } else { "in -> out" };
        fs::write(&path, format!("{program}flow main {{ {way} }}\n")).expect("the disk has space");
        let words = ["check", "--connect", "--format", "short"].map(OsStr::new);
        let (status, said) = Weir::tool_with_status(words.into_iter().chain([path.as_os_str()]));
        match expected {
            None => assert!(status.success(), "{program}\n{said}"),
            Some((setting, text)) => {
                assert!(!status.success(), "{program}\n{said}");
                let line = said.lines().find(|line| line.contains("E0003"));
                let line = line.unwrap_or_else(|| panic!("{program}\n{said}"));
                assert!(line.contains(text), "{program}\n{said}");
                let is_at = program.lines().zip(1..).any(|(text, number)| {
                    let column = text.find(&format!(" {setting}: ")).map(|at| at + setting.len() + 4);
                    column.is_some_and(|column| line.contains(&format!(":{number}:{column}")))
                });
                assert!(is_at, "the diagnostic is not at `{setting}`: {program}\n{said}");
            }
        }
    }
    let made = kafka.topics();
    assert!(!made.iter().any(|name| name.starts_with("no-such")), "{made:?}");
}
