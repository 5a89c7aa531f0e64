//! Holds `weir_plan::support`, from which the compiler warns, against what the library carries out.

use std::collections::BTreeSet;
use std::sync::Arc;

use weir_compiler::{Library, Options, analyse, lower};
use weir_plan::support;
use weir_runtime::SystemClock;
use weir_runtime::agent::Agent;

fn library() -> Library {
    Library::parse(crate::library_sources().iter().copied()).expect("the library is right")
}

/// Returns the problems with which an agent of the program is refused.
fn problems(program: &str) -> Vec<String> {
    let analysis = analyse(&("a.flow", program), "a.flow", &library(), &Options::default());
    let plan = lower(&analysis).unwrap_or_else(|| panic!("{program}: {:?}", analysis.diagnostics));
    match Agent::build(&plan, &crate::registry(), Arc::new(SystemClock)) {
        Ok(_) => Vec::new(),
        Err(error) => error.problems,
    }
}

#[test]
fn the_lists_name_what_is_registered() {
    let registry = crate::registry();
    let set = |names: &[&'static str]| -> BTreeSet<&'static str> { names.iter().copied().collect() };
    // Text with holes and items of Json are operations of expressions.
    let operators = [weir_runtime::expressions::FILL, weir_runtime::expressions::JSON_ITEM];
    let functions = registry.function_names().filter(|name| !operators.contains(name));
    assert_eq!(functions.collect::<BTreeSet<_>>(), set(support::FUNCTIONS));
    assert_eq!(registry.parser_names().collect::<BTreeSet<_>>(), set(support::PARSERS));
    let is_built = |name: &&str| match *name {
        "hdfs" => cfg!(feature = "hdfs"),
        "kafka" => cfg!(feature = "kafka"),
        _ => true,
    };
    let built = |names: &[&'static str]| names.iter().copied().filter(is_built).collect::<BTreeSet<_>>();
    assert_eq!(registry.source_kinds().collect::<BTreeSet<_>>(), built(support::SOURCES));
    let undecided: Vec<&str> =
        registry.source_kinds().filter(|kind| registry.untraced_of(kind).is_none()).collect();
    assert_eq!(undecided, [""; 0], "each source gives a sample without a trace, or says why not");
    assert_eq!(registry.channel_kinds().collect::<BTreeSet<_>>(), built(support::CHANNELS));
    assert_eq!(registry.sink_kinds().collect::<BTreeSet<_>>(), built(support::SINKS));
}

/// The variants of `KafkaSecurity`, each with a value.
#[cfg(feature = "kafka")]
const KAFKA_SECURITY: [&str; 7] = [
    "plaintext",
    "tls {}",
    "sasl { mechanism: plain, user: \"a\", password: secret env(\"A\") }",
    "sasl_tls { mechanism: plain, user: \"a\", password: secret env(\"A\") }",
    "kerberos { principal: \"a@B\", keytab: \"c\" }",
    "oauth_token { token: secret env(\"A\") }",
    "oauth_client { endpoint: \"https://a/b\", client: \"a\", secret: secret env(\"A\") }",
];

/// Returns a program with a component that has this setting.
#[cfg(feature = "kafka")]
fn program(role: &str, kind: &str, setting: &str) -> String {
    let others = match (role, kind) {
        ("source", "kafka") => "brokers: [\"localhost:9092\"], topics: [\"a\"], group: \"b\"",
        ("channel", "kafka") => "brokers: [\"localhost:9092\"], topic: \"a\", group: \"b\"",
        ("sink", "kafka") => "brokers: [\"localhost:9092\"], topic: \"a\"",
        _ => "",
    };
    let comma = if others.is_empty() { "" } else { ", " };
    let component = format!("{kind} {{ {others}{comma}{setting} }}");
    match role {
        "source" => format!("source a = {component}\nsink b = null {{}}\nflow main {{ a -> b }}\n"),
        "channel" => {
            format!(
                "source a = generate {{}}\nchannel c = {component}\nsink b = null {{}}\nflow main {{ a -> c -> b }}\n"
            )
        }
        _ => format!("source a = generate {{}}\nsink b = {component}\nflow main {{ a -> b }}\n"),
    }
}

#[test]
#[cfg(feature = "kafka")]
fn every_security_of_kafka_is_carried_out() {
    for role in ["source", "channel", "sink"] {
        for value in KAFKA_SECURITY {
            let program = program(role, "kafka", &format!("security: {value}"));
            assert_eq!(problems(&program), [""; 0], "{program}");
        }
    }
}

/// Returns the kinds of components of this role and delivery class, by their signatures.
fn kinds_of_class(role: &str, class: &str) -> BTreeSet<String> {
    let lines = crate::library_sources().iter().flat_map(|(_, text)| text.lines());
    let declared = lines.filter_map(|line| line.strip_prefix(&format!("extern {role} ")));
    let of_class = declared.filter(|line| line.ends_with(&format!(": {class} {{")));
    of_class.filter_map(|line| Some(line.split_once(':')?.0.to_owned())).collect()
}

/// The proofs find that these kinds keep the promise, by their classes.
#[test]
fn the_kinds_that_keep_exactly_once_are_accepted() {
    let refused = |role: &str, component: &str| {
        let program = match role {
            "source" => format!("source a = {component}\nsink b = files {{ path: \"b\" }}"),
            _ => format!("source a = generate {{}}\nsink b = {component}"),
        };
        let flow = "channel c = file { path: \"c\" }\nflow main delivers exactly_once { a -> c -> b }\n";
        let problems = problems(&format!("{program}\n{flow}"));
        problems.iter().any(|problem| problem.contains("the promise `exactly_once`"))
    };
    let sources = [
        ("files", "files { paths: [\"a\"], positions: \"p\" }"),
        ("generate", "generate {}"),
        #[cfg(feature = "hdfs")]
        ("hdfs", "hdfs { url: \"hdfs://a:8020\", paths: [\"/a/*\"] }"),
        #[cfg(feature = "kafka")]
        ("kafka", "kafka { brokers: [\"k:9092\"], topics: [\"t\"], group: \"g\", partitions: all }"),
    ];
    for (kind, component) in sources {
        assert!(!refused("source", component), "{kind}");
    }
    let named = |kinds: &[&str]| kinds.iter().map(|kind| (*kind).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(kinds_of_class("source", "replayable"), named(&["files", "generate", "hdfs", "kafka"]));
    assert_eq!(kinds_of_class("sink", "transactional"), named(&["files", "hdfs", "kafka"]));
    assert!(!refused("sink", "files { path: \"b\" }"));
    #[cfg(feature = "kafka")]
    assert!(!refused("sink", "kafka { brokers: [\"k:9092\"], topic: \"t\" }"));
    #[cfg(feature = "hdfs")]
    assert!(!refused("sink", "hdfs { url: \"hdfs://a:8020\", path: \"/a\" }"));
}
