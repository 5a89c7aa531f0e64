//! Generated programs of any length, for measurements. Long programs have many items of the usual size, like real ones.

use std::fmt::Write;

/// Returns a correct program of about this many lines.
pub(crate) fn program(lines: usize) -> String {
    let mut text = String::from("//! A generated program.\n");
    let mut written = text.lines().count();
    let mut number = 0;
    while written < lines {
        let start = text.len();
        team(&mut text, number);
        written += text[start..].matches('\n').count();
        number += 1;
    }
    text
}

/// Adds the program of one team: its data, its components and its flow.
fn team(text: &mut String, number: usize) {
    let parts = [DATA, COMPONENTS, RULES, FLOWS[number % FLOWS.len()], TEST];
    let digits = number.to_string();
    for part in parts {
        // Writing to a `String` can't fail.
        let _ = writeln!(text, "{}", part.replace("NN", &digits));
    }
}

const DATA: &str = r#"
/// The topic that team NN reads.
param topic_NN: Text = "clicks_NN"
param brokers_NN: [Address] = ["127.0.0.1:9092", "127.0.0.1:9093"]

let hour_NN = 1h
let slow_NN = 2 * 500ms // what users notice

/// A click, as the web servers write it.
schema ClickNN {
  /// Who clicked.
  user:     Text? sensitive
  url:      Text
  referrer: Text?
  status:   Int
  took:     Duration?
  at:       Time
  tags:     [Text]
  size:     Int
}
"#;

const COMPONENTS: &str = r#"
source clicks_NN = kafka {
  brokers:    brokers_NN
  topics:     [topic_NN]
  group:      "lake_NN"
  linger:     20ms
  batch:      4_096
}

source files_NN = files {
  paths: ["/var/log/app_NN/*.log", "/var/log/web_NN/*.log"]
  batch: 1_000
  poll:  1s
}

channel buffer_NN = file {
  path:                 "/var/lib/weir/buffer_NN"
  capacity:             10_000_000
  transaction_capacity: 10_000
  byte_capacity:        20GiB
}

channel fast_NN = memory { capacity: 50_000, transaction_capacity: 5_000 }

sink lake_NN = files {
  path:     "/data/NN/{@timestamp:%Y/%m/%d/%H}"
  format:   json { headers: [@host] }
  compress: gzip
  roll:     { size: 128MiB, age: hour_NN }
  allow:    sensitive
}

sink alerts_NN = kafka {
  brokers: brokers_NN
  topic:   "alerts_NN"
  format:  json
  allow:   sensitive
}

sink dead_NN = files { path: "/dead/NN", format: json, allow: sensitive }
"#;

const RULES: &str = r#"
/// What a status means to those who are woken by it.
fn severity_NN(status: Int) -> Text {
  let server = status >= 500
  match status {
    200..=299 | 304 => "fine"
    404 => "missing"
    _ => if server then "broken" else "odd"
  }
}

interceptor tidy_NN(who: field Text?, most: Int) {
  set who = lower(trim(who ?? ""))
  keep if who is not empty
  drop if length(who) > most
}

quality sane_NN {
  known_status: status in 100..=599 because "HTTP has no others"
  size >= 0 and size < 1_000_000_000
  url is not empty and not (url matches r"^\s")
}
"#;

const FLOWS: [&str; 3] = [
    r#"
flow main_NN delivers at_least_once {
  clicks_NN
    -> parse json as ClickNN else reject
    -> check sane_NN
    -> tidy_NN(user, 64)
    -> set @severity = severity_NN(status)
    -> set @host = "web_NN"
    -> drop if status in [301, 302, 307] or (url matches r"^/health" and took is null)
    -> buffer_NN

  files_NN
    -> parse json as ClickNN else drop
    -> tidy_NN(user, 32)
    -> set @severity = if status >= 500 and (took ?? 0s) > slow_NN then "broken" else "fine"
    -> fast_NN

  buffer_NN -> lake_NN
  fast_NN -> alerts_NN
  rejects -> dead_NN
}
"#,
    r#"
flow main_NN delivers at_least_once {
  clicks_NN
    -> parse json as ClickNN strict else reject
    -> check sane_NN
    -> tidy_NN(user, 128)
    -> let late = (took ?? 0s) > slow_NN
    -> set @severity = severity_NN(status)
    -> set @host = "app_NN"
    -> reject if late and status >= 500 because "too slow to be true"
    -> match {
      status >= 500 -> set @key = bytes(url) -> fast_NN
      _ -> buffer_NN
    }

  files_NN
    -> parse json as ClickNN else drop
    -> set @severity = severity_NN(status)
    -> buffer_NN

  buffer_NN -> lake_NN
  fast_NN -> alerts_NN
  rejects -> dead_NN
}
"#,
    r#"
flow main_NN delivers at_least_once {
  clicks_NN
    -> parse json as ClickNN else reject
    -> check sane_NN
    -> tidy_NN(user, 64)
    -> set @severity = severity_NN(status)
    -> set @host = "shop_NN"
    -> rename referrer to came_from
    -> unset tags
    -> throttle 5_000/s
    -> buffer_NN

  files_NN
    -> parse json as ClickNN else drop
    -> keep if status >= 400 and user is not null
    -> set @took = took ?? slow_NN
    -> fast_NN

  buffer_NN -> copy {
    lake_NN
    optional keep if @severity == "broken" -> alerts_NN
  }
  fast_NN -> dead_NN
  rejects -> dead_NN
}
"#,
];

const TEST: &str = r#"
test "team NN keeps what is no JSON" {
  send clicks_NN ["not json"]
  expect dead_NN [{ body: "not json" }]
  expect lake_NN []
}
"#;
