//! Tries plans whose settings have invalid numbers: every number of every component, one after the other.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;

/// Programs with all components of the library, and with every setting that is a number or has numbers.
const PROGRAMS: [&str; 6] = [
    r#"source clicks = files {
  paths: ["/in/*.log"], mode: follow, multiline: begins { pattern: "^[0-9]" }, positions: "/state/positions", linger: 1s
}
channel disk = file { path: "/state/channel" }
sink lake = files {
  path: "/lake", format: parquet, roll: { count: 10, idle: 1s }, round: 1h, retry: { limit: 3 }
}
flow main { clicks -> disk -> lake }
"#,
    r#"source in = generate { content: numbered { size: 100B }, count: 10, rate: 5/s }
channel buffer = memory {}
sink nothing = null {}
flow main { in -> buffer -> nothing }
"#,
    r#"source peers = http { bind: "127.0.0.1:8080", max_bodies: 64MiB }
source lines = tcp_lines { bind: "127.0.0.1:9000", idle: 1min }
sink screen = stdout {}
flow main delivers best_effort { peers -> screen }
flow other delivers best_effort { lines -> screen }
"#,
    r#"source logs = syslog { bind: "127.0.0.1:5514" }
source more = syslog { bind: "127.0.0.1:5514", transport: tcp { idle: 1min } }
source typed = stdin {}
sink nothing = null {}
flow main delivers best_effort { logs -> nothing }
flow other delivers best_effort { more -> nothing }
flow third delivers best_effort { typed -> nothing }
"#,
    r#"source in = kafka { brokers: ["127.0.0.1:9092"], topics: ["a"], group: "g" }
sink out = kafka { brokers: ["127.0.0.1:9092"], topic: "b" }
flow main { in -> out }
"#,
    r#"source in = files { paths: ["/in/*.log"], multiline: continues { pattern: "^ " } }
channel disk = file { path: "/state/channel" }
sink out = hdfs { url: "hdfs://127.0.0.1:9000", path: "/out", retry: { limit: 3 }, round: 1h }
flow main delivers at_least_once { in -> disk -> out }
"#,
];

/// Components that the library declares and does not implement yet.
const NOT_CARRIED_OUT: [&str; 2] = ["channel kafka", "source hdfs"];

/// Returns the components of the library, such as `source files`.
fn kinds() -> BTreeSet<String> {
    let lines = library_sources().iter().flat_map(|(_, text)| text.lines());
    let signatures =
        lines.filter_map(|line| line.strip_prefix("extern ")?.split_once(':')).map(|(kind, _)| kind);
    let components =
        signatures.filter(|kind| ["source ", "channel ", "sink "].iter().any(|role| kind.starts_with(role)));
    components.map(str::to_owned).filter(|kind| !NOT_CARRIED_OUT.contains(&kind.as_str())).collect()
}

/// Returns the replacements of a number: small and large ones, ones beyond the range of the type, and one of each
/// magnitude. Most limits of ranges are powers of two or of ten, and so among them.
fn numbers(value: &Json) -> Vec<Json> {
    let mut whole: Vec<Json> = [0, 1, -1, i64::MAX, i64::MIN].map(Json::from).to_vec();
    whole.extend((0..20).map(|power| Json::from(10u64.pow(power))));
    whole.extend((0..64).map(|power| Json::from(1u64 << power)));
    whole.push(Json::from(u64::MAX));
    let tagged =
        |tag: &str, values: Vec<Json>| values.into_iter().map(|value| json!({ tag: value })).collect();
    match value.as_object().and_then(|fields| fields.keys().next()).map(String::as_str) {
        Some(tag @ ("int" | "size")) => tagged(tag, whole),
        Some(tag @ ("event_rate" | "byte_rate" | "float")) => {
            tagged(tag, [0.0, -1.0, 5e-324, 1e-9, 1.0, 1e9, f64::MAX].map(Json::from).to_vec())
        }
        Some(tag @ "duration") => {
            let nanos = [0, 1, 999_999_999].map(|nanos| json!({ "secs": 0, "nanos": nanos }));
            let secs = whole.into_iter().map(|secs| json!({ "secs": secs, "nanos": 0 }));
            tagged(tag, nanos.into_iter().chain(secs).collect())
        }
        _ => Vec::new(),
    }
}

#[test]
fn the_programs_have_every_component() {
    let library = library();
    let mut found = BTreeSet::new();
    for plan in PROGRAMS.map(|program| plan_of(program, &library)) {
        for (list, role) in [("sources", "source"), ("channels", "channel"), ("sinks", "sink")] {
            let kinds =
                plan[list].as_array().unwrap().iter().map(|component| component["kind"].as_str().unwrap());
            found.extend(kinds.map(|kind| format!("{role} {kind}")));
        }
    }
    assert_eq!(found, kinds());
}

#[test]
fn a_number_that_the_signature_does_not_allow_is_refused_with_its_place() {
    let (library, mut built, mut refused) = (library(), 0, 0);
    for plan in PROGRAMS.map(|program| plan_of(program, &library)) {
        assert_eq!(build(&plan.to_string(), &library), Ok(()));
        let mut all = Vec::new();
        pointers(&plan, &mut Vec::new(), &mut all);
        let settings = all.iter().filter(|pointer| pointer.contains("/settings/"));
        for pointer in settings {
            for value in numbers(&plan.pointer(pointer).cloned().unwrap_or_default()) {
                let mut changed = plan.clone();
                *changed.pointer_mut(pointer).unwrap() = value.clone();
                let text = changed.to_string();
                let result = catch_unwind(AssertUnwindSafe(|| build(&text, &library)));
                match result.unwrap_or_else(|_panic| panic!("{pointer}: {value} is a panic")) {
                    Ok(()) => built += 1,
                    Err(error) => {
                        refused += 1;
                        assert!(!error.contains("can't be worked with"), "{pointer}: {value}: {error}");
                        // A number of no type is refused with its line and column. A number that the signature allows
                        // and the component does not is refused with the component's name.
                        let role = error.split_once(' ').map_or("", |(role, _)| role);
                        let by_name = ["source", "channel", "sink"].contains(&role);
                        let is_placed =
                            error.contains(".settings") || error.contains("not a plan") || by_name;
                        assert!(is_placed, "{pointer}: {value}: {error}");
                    }
                }
            }
        }
    }
    assert!(built > 500 && refused > 2_000, "{built} built, {refused} refused");
}

/// Texts that some setting of some component may not have.
fn odd_texts() -> Vec<String> {
    let mut texts: Vec<String> = [
        "",
        " ",
        ".",
        "..",
        "/",
        "//",
        "/a",
        "a/b",
        "a//b",
        "./a",
        "a/../b",
        "~",
        "~/a",
        "a:b",
        "a b",
        "a\tb",
        "a\nb",
        "a\0b",
        "é",
        "🦀",
        "%",
        "%Y",
        "{",
        "}",
        "{{",
        "*",
        "**",
        "[",
        "[a",
        "a?",
        "\\",
        "\"",
        "'",
        "#",
        "@",
        "-",
        "--",
        "_",
        "0",
        "127.0.0.1",
        "127.0.0.1:0",
        "127.0.0.1:99999",
        "localhost:80",
        ":80",
        "[::1]:80",
        "[::1",
        "http://a",
        "hdfs://",
        "hdfs://a:b",
        "hdfs://a:1/b?c",
        "file:///a",
        "UTC",
        "Europe/Atlantis",
        "^",
        "(",
        "(?",
        "a{99999}",
        "true",
        "null",
    ]
    .map(str::to_owned)
    .to_vec();
    texts.extend([80, 81, 255, 256, 5_000].map(|length| "a".repeat(length)));
    texts
}

/// A constant that only `make` refuses would pass the check of a program and fail at the start.
#[test]
fn components_refuse_no_constant_that_the_signatures_allow() {
    let (library, mut built, mut refused, mut late) = (library(), 0, 0, Vec::new());
    for plan in PROGRAMS.map(|program| plan_of(program, &library)) {
        let mut all = Vec::new();
        pointers(&plan, &mut Vec::new(), &mut all);
        for pointer in all.iter().filter(|pointer| pointer.contains("/settings/")) {
            let before = plan.pointer(pointer).cloned().unwrap_or_default();
            let values = match &before {
                Json::String(_) => odd_texts().into_iter().map(Json::from).collect(),
                _ => numbers(&before),
            };
            for value in values {
                let mut changed = plan.clone();
                *changed.pointer_mut(pointer).unwrap() = value.clone();
                match build(&changed.to_string(), &library) {
                    Ok(()) => built += 1,
                    Err(error) if error.contains("the plan has faults") || error.contains("not a plan") => {
                        refused += 1
                    }
                    Err(error) => late.push(format!("{pointer}: {value}: {error}")),
                }
            }
        }
    }
    assert!(late.is_empty(), "{} refusals come too late:\n{}", late.len(), late.join("\n"));
    assert!(built > 500 && refused > 2_000, "{built} built, {refused} refused");
}

#[test]
fn messages_name_the_component_the_setting_and_the_range() {
    let library = library();
    let plan = plan_of(PROGRAMS[0], &library);
    let refused = |pointer: &str, value: Json| {
        let mut changed = plan.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        build(&changed.to_string(), &library).unwrap_err()
    };
    let sink = "/sinks/0/settings";
    assert_eq!(
        refused(&format!("{sink}/format/variant/settings/row_group"), json!({ "int": 0 })),
        "the plan has faults: sink lake (sinks[0].settings.format.row_group): `row_group` is 0, and has to be from \
         1_000 to 10_000_000"
    );
    assert_eq!(
        refused(&format!("{sink}/roll/record/idle"), json!({ "duration": { "secs": 3_600, "nanos": 0 } })),
        "the plan has faults: sink lake (sinks[0].settings.roll): `idle <= age` does not hold: a file is closed at \
         its age, so it would never be idle for longer"
    );
    assert_eq!(
        refused(&format!("{sink}/zone"), json!({ "text": "Europe/Atlantis" })),
        "the plan has faults: sink lake (sinks[0].settings.zone): `zone` is \"Europe/Atlantis\": there is no such zone"
    );
    assert_eq!(
        refused(&format!("{sink}/max_open"), json!({ "size": 5 })),
        "the plan has faults: sink lake (sinks[0].settings.max_open): `max_open` is 5B, and has to be of the type Int"
    );
    assert_eq!(
        refused("/channels/0/settings/compress", json!({ "variant": { "name": "gzip" } })),
        "the plan has faults: channel disk (channels[0].settings.compress): `compress` is gzip, and has to be one of \
         none, lz4, zstd"
    );
}
