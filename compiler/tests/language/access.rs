//! What agents reach and touch: as a list and as rules, and whether the library says it of each of its settings.

use weir_compiler::{Access, AccessKind, AgentPlaces, Library, access, differences, lower, render};
use weir_grammar::tree::{Item, ItemKind, Setting, Signature, TypeName, TypeNameKind};
use weir_plan::Plan;

use crate::fixtures::{check_with, files, library_with, root};
use crate::right_programs;

fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(root().join("tests/language/access"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

/// A program with an access of every kind.
const PROGRAM: &str = r#"let owners = lookup("owners.csv", key: "host", as: Owner)

schema Owner { host: Text, owner: Text }

schema Click { host: Text, user: Text sensitive }

source logs = files { paths: ["/var/log/app/*.log"], positions: "logs.positions" }
source done = files { paths: ["/srv/in/*.csv"], mode: complete { after: delete } }
source web = http {
  bind:           "0.0.0.0:443"
  security:       tls { cert: "/etc/weir/cert.pem", key: "/etc/weir/key.pem" }
  authentication: bearer { token: secret file("/run/secrets/web") }
}
source syslog = syslog { bind: "10.0.0.7:5514", transport: udp }
channel buffer = file { encrypt: { key: secret env("CHANNEL_KEY") } }
sink lake = hdfs {
  url:      "hdfs://lake:8020"
  path:     "/clicks"
  security: kerberos { principal: "weir@EXAMPLE.ORG", keytab: "/etc/weir.keytab" }
  allow:    sensitive
}
sink topic = kafka {
  brokers:  ["kafka1:9093", "10.0.0.9:9093"]
  topic:    "clicks"
  format:   json
  security: tls { ca: "ca.pem" }
}
sink dead = files { path: "/var/dead letters/{source}", format: json, allow: sensitive }

flow main delivers best_effort {
  logs -> buffer
  done -> buffer
  web -> buffer
  syslog -> buffer
  buffer -> copy {
    lake
    parse json as Click else reject
      -> set owner = if host in owners then "known" else "unknown"
      -> set user = hmac_sha256(user, secret env("PEPPER"))
      -> topic
  }
  rejects -> dead
}
"#;

fn found() -> Vec<Access> {
    let library = library_with(None);
    let analysis = check_with("clicks.flow", PROGRAM, &library);
    let said = render::human(&analysis.diagnostics, &analysis.files, false);
    assert!(analysis.diagnostics.is_empty(), "{said}");
    let places =
        AgentPlaces { state: Some("/var/lib/weir".to_owned()), working: Some("/srv/weir".to_owned()) };
    access(&analysis, &library, &places)
}

#[test]
fn every_kind_of_access_is_listed() {
    let found = found();
    let kinds = [
        AccessKind::ListensTcp,
        AccessKind::ListensUdp,
        AccessKind::Connects,
        AccessKind::Reads,
        AccessKind::Writes,
        AccessKind::State,
        AccessKind::Variable,
        AccessKind::SecretVariable,
        AccessKind::SecretFile,
    ];
    for kind in kinds {
        assert!(found.iter().any(|one| one.kind == kind), "{kind:?}");
    }
    snapshot("access_as_text", &render::access_text("clicks", &found));
    let json: serde_json::Value = serde_json::from_str(&render::access_json("clicks", &found)).unwrap();
    assert_eq!(json["access"].as_array().unwrap().len(), found.len());
}

#[test]
fn rules_are_made_of_it() {
    let found = found();
    snapshot("access_for_systemd", &render::systemd("clicks", &found));
    snapshot("access_for_kubernetes", &render::network_policy("clicks", &found));
    snapshot("access_for_nftables", &render::nftables("clicks", &found));
}

#[test]
fn what_touches_nothing_gets_nothing() {
    let library = library_with(None);
    let program = "source a = generate { count: 1 }\nsink b = null {}\nflow main { a -> b }\n";
    let found = access(&check_with("a.flow", program, &library), &library, &AgentPlaces::default());
    let own: Vec<&str> = found.iter().map(|one| one.by[0].as_str()).collect();
    assert_eq!(own, ["the program"], "its own file");
    assert!(render::systemd("a", &found).contains("PrivateNetwork=yes"));
    assert!(render::network_policy("a", &found).contains("egress: []"));
}

#[test]
fn hosts_that_a_broker_names_are_on_the_ports_of_brokers() {
    let library = library_with(None);
    let program = r#"source a = generate { count: 1 }
sink b = kafka {
  brokers:  ["kafka1:9093", "[::1]:9094"]
  topic:    "clicks"
  format:   avro { frame: confluent, registry: { url: "http://registry:8081/path", subject: "clicks-value" } }
  security: oauth_client {
    endpoint: "https://login.example.org/oauth2/token"
    client:   "weir"
    secret:   secret env("CLIENT_SECRET")
  }
}
flow main { a -> b }
"#;
    let analysis = check_with("a.flow", program, &library);
    // It is warned of the registry, which has no encryption.
    let said = render::human(&analysis.diagnostics, &analysis.files, false);
    assert!(!analysis.has_errors(), "{said}");
    let found = access(&analysis, &library, &AgentPlaces::default());
    let connects = found.iter().filter(|one| one.kind == AccessKind::Connects);
    let connects: Vec<&str> = connects.map(|one| one.what.as_str()).collect();
    let expected = [
        "*:9093",
        "*:9094",
        "[::1]:9094",
        "http://registry:8081/path",
        "https://login.example.org/oauth2/token",
        "kafka1:9093",
    ];
    assert_eq!(connects, expected);
    // Neither of the servers opens all ports.
    let rules = render::nftables("a", &found);
    for port in ["9093", "9094", "8081", "443"] {
        assert!(rules.contains(port), "{port}: {rules}");
    }
}

fn type_of(type_name: &TypeName) -> &str {
    match &type_name.kind {
        TypeNameKind::Name(path) => &path.name.text,
        TypeNameKind::List(item) | TypeNameKind::Applied(_, item) => type_of(item),
        TypeNameKind::Sized(name, ..) => &name.text,
    }
}

/// Returns whether a setting names something outside of the agent, by its type or by what its description says.
fn names_something(signature: &Signature, setting: &Setting) -> bool {
    let of_server =
        |name: &str| signature.outside.iter().any(|one| *one.name.text == *name && one.within.is_some());
    let value = type_of(&setting.type_name);
    let name = &*setting.name.text;
    let says = setting.documentation.lines().next().unwrap_or_default();
    let is_path = value == "Text"
        && ["The file with", "The file in which", "The directory.", "A folder with", "The address"]
            .iter()
            .any(|begin| says.starts_with(begin));
    let names = matches!(value, "Address" | "Url" | "Glob")
        || is_path
        || matches!(name, "path" | "positions" | "keytab" | "ca");
    // The path of a request is none of a file, and paths on a server are reached by its address.
    names && !of_server(name) && !says.starts_with("The path of the requests")
}

fn signatures(item: &Item) -> Vec<(String, &Signature)> {
    match &item.kind {
        ItemKind::Extern(item) => vec![(item.name.text.to_string(), &item.signature)],
        ItemKind::ExternParser(item) => vec![(item.name.text.to_string(), &item.signature)],
        ItemKind::Record(record) => vec![(record.name.text.to_string(), &record.signature)],
        ItemKind::Enum(item) => {
            let variants = item.variants.iter().filter_map(|variant| {
                Some((format!("{}.{}", item.name.text, variant.name.text), variant.signature.as_ref()?))
            });
            variants.collect()
        }
        _ => Vec::new(),
    }
}

#[test]
fn every_setting_of_the_library_that_names_something_says_so() {
    let (mut silent, mut seen) = (Vec::new(), 0);
    for path in files(&root().join("stdlib/src"), "flow") {
        let text = std::fs::read_to_string(&path).unwrap();
        let parsed = weir_grammar::parse(weir_grammar::FileId(0), &text);
        for (owner, signature) in parsed.file.items.iter().flat_map(signatures) {
            for setting in &signature.settings {
                let name = format!("{owner}.{}", setting.name.text);
                if names_something(signature, setting) {
                    seen += 1;
                    silent.extend(setting.touches.is_empty().then_some(name));
                }
            }
        }
    }
    assert!(silent.is_empty(), "without `touches`: {silent:?}");
    assert!(seen > 25, "only {seen} settings name something");
}

#[test]
fn every_address_and_secret_of_right_programs_is_listed() {
    let places = AgentPlaces::default();
    let mut listed = 0;
    for program in right_programs() {
        let library = program.library();
        let analysis = program.check();
        let found = access(&analysis, &library, &places);
        let plan = serde_json::to_string(&lower(&analysis).unwrap()).unwrap();
        // Each reference to a secret in a setting of the plan is in the list.
        let secrets = found
            .iter()
            .filter(|one| matches!(one.kind, AccessKind::SecretVariable | AccessKind::SecretFile));
        for secret in secrets.clone() {
            assert!(plan.contains(&secret.what), "{}: {}", program.name, secret.what);
        }
        if plan.contains("\"secret\"") {
            assert!(secrets.count() > 0, "{}", program.name);
            listed += 1;
        }
    }
    assert!(listed > 3, "only {listed} programs have secrets");
}

const OLD: &str = r#"source logs = files { paths: ["/var/log/app/*.log"], positions: "logs.positions" }
channel buffer = file { path: "/var/lib/weir/buffer" }
sink lake = files { path: "/lake" }
sink copy = files { path: "/copy" }
flow main delivers exactly_once, ordered {
  logs -> buffer -> copy { lake, copy }
}
"#;

fn plan(name: &str, text: &str, library: &Library) -> Plan {
    let analysis = check_with(name, text, library);
    let said = render::human(&analysis.diagnostics, &analysis.files, false);
    lower(&analysis).unwrap_or_else(|| panic!("{said}"))
}

/// Returns what changes from the old program when a text of it is replaced.
fn changed(what: &[(&str, &str)]) -> String {
    let library = library_with(None);
    let mut new = OLD.to_owned();
    for (from, to) in what {
        assert!(new.contains(from), "{from}");
        new = new.replace(from, to);
    }
    let difference =
        differences(&plan("logs.flow", OLD, &library), &plan("logs.flow", &new, &library), &library);
    let exit = if difference.matters() { "4" } else { "0" };
    format!("{what:?}\nexit status {exit}\n\n{difference}\n")
}

#[test]
fn changes_of_a_program_are_told() {
    let changes: [&[(&str, &str)]; 16] = [
        &[],
        &[("path: \"/var/lib/weir/buffer\"", "path: \"/var/lib/weir/buffer\", capacity: 1_000")],
        &[("path: \"/var/lib/weir/buffer\"", "path: \"/var/lib/weir/buffer\", byte_capacity: 32GiB")],
        &[("-> copy { lake, copy }", "-> lake"), ("sink copy = files { path: \"/copy\" }\n", "")],
        &[("sink copy", "sink mirror"), ("lake, copy }", "lake, mirror }")],
        &[
            ("delivers exactly_once, ordered", "delivers at_least_once"),
            ("-> copy { lake, copy }", "-> match { @host == \"a\" -> lake, _ -> lake }"),
            ("sink copy = files { path: \"/copy\" }\n", ""),
        ],
        &[
            ("delivers exactly_once, ordered", "delivers at_least_once"),
            ("-> copy { lake", "-> balance { lake"),
        ],
        &[("source logs", "source lines"), ("logs ->", "lines ->")],
        &[("\"/var/lib/weir/buffer\"", "\"/var/lib/weir/other\"")],
        &[("channel buffer = file { path: \"/var/lib/weir/buffer\" }", "channel buffer = memory {}")],
        &[("positions: \"logs.positions\"", "positions: \"other.positions\"")],
        &[("delivers exactly_once, ordered", "delivers at_least_once")],
        &[("path: \"/lake\"", "path: \"/lake2\"")],
        &[("logs -> buffer", "logs -> set @day = \"{@timestamp:%Y}\" -> buffer")],
        &[("logs -> buffer", "logs -> unset @host -> buffer")],
        &[("[\"/var/log/app/*.log\"]", "[\"/var/log/other/*.log\"]")],
    ];
    let told: Vec<String> = changes.iter().map(|what| changed(what)).collect();
    snapshot("changes", &told.join("----\n"));
}

#[test]
fn groups_transactions_and_keys_are_state() {
    let library = library_with(None);
    let old = r#"source clicks = kafka { brokers: ["localhost:9092"], topics: ["a", "b"], group: "lake", partitions: all }
channel buffer = file { path: "buffer" }
sink copy = kafka { brokers: ["localhost:9092"], topic: "copy" }
flow main delivers exactly_once { clicks -> buffer -> copy }
"#;
    let new = old
        .replace("group: \"lake\"", "group: \"other\"")
        .replace("[\"a\", \"b\"]", "[\"b\"]")
        .replace("path: \"buffer\"", "path: \"buffer\", encrypt: { key: secret env(\"KEY\") }")
        .replace("topic: \"copy\"", "topic: \"copy\", transactional_id: \"mine\"");
    let (old, new) = (plan("clicks.flow", old, &library), plan("clicks.flow", &new, &library));
    let renamed = Plan { program: "renamed".to_owned(), ..new };
    snapshot("changes_in_kafka", &differences(&old, &renamed, &library).to_string());
}

#[test]
fn steps_and_functions_that_change_are_told() {
    let library = library_with(None);
    let old = r#"fn is_noisy(host: Text) -> Bool { host == "a" }
source logs = files { paths: ["/var/log/*.log"] }
channel buffer = memory {}
sink lake = files { path: "/lake" }
sink copy = files { path: "/copy" }
flow main {
  logs -> drop if is_noisy(@host) -> set @day = "{@timestamp:%Y}" -> buffer
  buffer -> copy { lake, copy }
}
"#;
    let new = old
        .replace("host == \"a\"", "host == \"b\"")
        .replace("-> set @day", "-> keep if @offset > 0 -> set @day")
        .replace("{@timestamp:%Y}", "{@timestamp:%m}")
        .replace("copy { lake, copy }", "match { @day == \"01\" -> lake, _ -> copy }");
    let (old, new) = (plan("logs.flow", old, &library), plan("logs.flow", &new, &library));
    let difference = differences(&old, &new, &library);
    snapshot("changes_of_steps", &difference.to_string());
}
