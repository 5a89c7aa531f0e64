//! The sink `kafka` with a real schema registry.

use std::ffi::OsStr;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::{fs, process};

use serde_json::Value;
use weir_tests::{Cluster, Scene, Servers, Weir};

const PROGRAM: &str = r#"
    source made = generate { content: numbered { size: 20B }, count: 100 }
    sink out = kafka {
      brokers: BROKERS
      topic:   "TOPIC"
      format:  avro { frame: confluent, registry: { url: "URL", subject: "TOPIC-value", missing: MISSING } }
    }
    flow main { made -> out }
"#;

/// Returns the registry's answer to a request for this path.
fn get(registry: &Cluster, path: &str) -> Value {
    let url = registry.setting("REGISTRY_URL");
    let (address, base) = url.trim_start_matches("http://").split_once('/').expect("a URL has a path");
    let mut stream = TcpStream::connect(address).expect("the registry listens");
    let request = format!("GET /{base}{path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("the registry listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer is text");
    let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON for {path}: {answer}"))
}

#[test]
fn a_registry_numbers_the_schema_of_records() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "a_registry_numbers_the_schema_of_records");
    let registry = session.cluster("registry", &[]);
    let kafka = session.kafka();
    let topic = format!("{}-{}", scene.name(), process::id());
    kafka.create_topic(&topic, 1);
    let program = |missing: &str| {
        let flow = scene.path(&format!("{missing}.flow"));
        let url = registry.setting("REGISTRY_URL");
        let replaced = [
            ("BROKERS", kafka.brokers()),
            ("TOPIC", topic.clone()),
            ("URL", url),
            ("MISSING", missing.to_owned()),
        ];
        let program =
            replaced.iter().fold(PROGRAM.to_owned(), |text, (name, value)| text.replace(name, value));
        fs::write(&flow, program).expect("the scene is there");
        flow
    };
    let connect = |flow: &str| {
        let words = ["check", "--connect", "--format", "short", flow].map(OsStr::new);
        let (status, said) = Weir::tool_with_status(words);
        (status.success(), said)
    };
    let (passes, said) = connect(&program("refuse"));
    assert!(!passes && said.contains("has no such schema for the subject"), "{said}");
    let (passes, said) = connect(&program("register"));
    assert!(passes, "{said}");
    assert_eq!(get(&registry, "/subjects"), Value::Array(Vec::new()), "a check registers nothing");

    Weir::run(&scene, &program("register"), &[]).finish().assert_success();
    Weir::run(&scene, &program("refuse"), &[]).finish().assert_success();
    let latest = get(&registry, &format!("/subjects/{topic}-value/versions/latest"));
    let number =
        u32::try_from(latest["id"].as_u64().expect("a schema has a number")).expect("it has four bytes");
    let mark = [&[0], &number.to_be_bytes()[..]].concat();
    let records = kafka.records(&topic);
    assert_eq!(records.len(), 200);
    for record in records {
        let value = record["value"].as_str().expect("a record has a value");
        assert!(crate::kafka_records::decoded(value).starts_with(&mark), "{value} begins with {number}");
    }
    assert!(latest["schema"].as_str().is_some_and(|schema| schema.contains("\"body\"")), "{latest}");
}
