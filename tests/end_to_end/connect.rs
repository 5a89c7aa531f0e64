//! `weir check --connect` with a real broker.

use std::ffi::OsStr;
use std::fs;

use weir_tests::{Scene, Servers, Weir, free_address};

#[test]
fn what_brokers_lack_is_told_at_the_setting_that_names_it() {
    let session = Servers::shared();
    let scene =
        Scene::new(env!("CARGO_TARGET_TMPDIR"), "what_brokers_lack_is_told_at_the_setting_that_names_it");
    let kafka = session.kafka();
    let topic = format!("connect-{}", std::process::id());
    kafka.create_topic(&topic, 2);
    let (brokers, nobody) = (kafka.brokers(), free_address());
    let source = |brokers: &str, settings: &str| {
        format!(
            "source in = kafka {{ brokers: {brokers}, group: \"connect\", {settings} }}\nsink out = null {{}}\n"
        )
    };
    let sink = |settings: &str| {
        format!("source in = generate {{}}\nsink out = kafka {{ brokers: {brokers}, {settings} }}\n")
    };
    let nobody = format!("[\"{nobody}\"]");
    let cases = [
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
    ];
    for (number, (program, expected)) in cases.into_iter().enumerate() {
        let path = scene.folder().join(format!("{number}.flow"));
        fs::write(&path, format!("{program}flow main {{ in -> out }}\n")).expect("the disk has space");
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
