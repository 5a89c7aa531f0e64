//! The examples do what they say: other readers than Weir's read their outputs.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};
use weir_tests::{
    Scene, Weir, access_log, free_address, lines_of, read_independently, repository, visible_files,
};

const PATIENCE: Duration = Duration::from_secs(120);
const LINES: usize = 200_000;
const KILLS: usize = 30;

/// Returns the rows of all files in a folder of the scene, which another reader reads.
fn rows(scene: &Scene, folder: &str, format: &str) -> Vec<Value> {
    let files = visible_files(&scene.folder().join(folder));
    files.iter().flat_map(|file| read_independently(format, file)).collect()
}

fn connect(weir: &mut Weir, address: SocketAddr) -> TcpStream {
    weir.await_event("it listens", PATIENCE, |_| TcpStream::connect(address).ok())
}

#[test]
fn json_from_http_is_in_parquet_files_by_day() {
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "json_from_http_is_in_parquet_files_by_day");
    let listen = free_address();
    let settings = [("listen", listen.to_string()), ("to", scene.path("collected"))];
    let mut weir = Weir::run(&scene, "examples/collect_over_http.flow", &settings);
    let body = r#"[{"user": 7, "page": "/"}, {"user": 8, "page": "/cart", "seconds": 1.5}, {"user": "x", "page": "/"}]"#;
    let mut stream = connect(&mut weir, listen);
    let head = "POST /events HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n";
    write!(stream, "{head}content-length: {}\r\n\r\n{body}", body.len()).expect("it takes the request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    weir.terminate().assert_success();

    let days: Vec<String> = fs::read_dir(scene.folder().join("collected/visits"))
        .expect("there are visits")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| !name.starts_with('.'))
        .collect();
    assert!(days.iter().all(|day| day.parse::<jiff::civil::Date>().is_ok()), "{days:?}");
    let visits = rows(&scene, "collected/visits", "parquet");
    let parts: Vec<Value> =
        visits.iter().map(|row| json!([row["user"], row["page"], row["seconds"]])).collect();
    assert_eq!(parts, [json!([7, "/", null]), json!([8, "/cart", 1.5])]);
    let misfits = rows(&scene, "collected/misfits", "json");
    assert_eq!(misfits.len(), 1);
    let body: Value =
        serde_json::from_str(misfits[0]["body"].as_str().expect("it is text")).expect("it is JSON");
    assert_eq!(body, json!({"user": "x", "page": "/"}));
    assert!(misfits[0]["reason"].as_str().is_some_and(|reason| reason.contains("user")), "{misfits:?}");
}

#[test]
fn syslog_messages_are_enriched_and_masked() {
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "syslog_messages_are_enriched_and_masked");
    let listen = free_address();
    let hosts = repository().join("examples/hosts.csv").display().to_string();
    let settings = [("listen", listen.to_string()), ("to", scene.path("syslog")), ("hosts", hosts)];
    let mut weir = Weir::run(&scene, "examples/enriched_syslog.flow", &settings);
    let mut stream = connect(&mut weir, listen);
    stream
        .write_all(
            b"<34>1 2026-11-29T10:00:00Z web-1 sshd 42 - - login from 192.0.2.7 as root\n\
              <13>Nov 29 10:00:01 db-1 postgres: 198.51.100.1 and 203.0.113.9 connected\n\
              <13>1 2026-11-29T10:00:02Z elsewhere cron - - - done\n\
              no syslog at all\n",
        )
        .expect("it takes the messages");
    drop(stream);
    let folders = ["shop", "platform", "unknown", "unreadable"];
    weir.await_event("all messages are in files", PATIENCE, |_| {
        let is_there = |folder| scene.folder().join("syslog").join(folder).exists();
        folders.into_iter().all(is_there).then_some(())
    });
    weir.terminate().assert_success();
    let of = |owner: &str| -> Vec<Value> {
        let rows = rows(&scene, &format!("syslog/{owner}"), "json");
        rows.iter().map(|row| json!([row["host"], row["place"], row["message"]])).collect()
    };
    assert_eq!(of("shop"), [json!(["web-1", "Dublin", "login from *.*.*.* as root"])]);
    assert_eq!(of("platform"), [json!(["db-1", "Frankfurt", "*.*.*.* and *.*.*.* connected"])]);
    assert_eq!(of("unknown"), [json!(["elsewhere", "unknown", "done"])]);
    let unreadable = lines_of(&visible_files(&scene.folder().join("syslog/unreadable")));
    assert_eq!(unreadable, [b"no syslog at all"]);
}

/// Returns the line of this number: most are requests, some can't be parsed, and some have no method.
fn line(number: usize) -> String {
    match number % 50 {
        3 => format!("{number} is no request"),
        5 => format!("10.0.0.1 - - [29/Nov/2026:10:00:00 +0000] \"{number}\" 400 0 \"-\" \"-\""),
        _ => access_log(number, 1).remove(0),
    }
}

/// Returns the number of a request, which its path has.
fn number_of(row: &Value) -> usize {
    let number = row["path"].as_str().and_then(|path| path.split_once("rid=")?.1.parse().ok());
    number.unwrap_or_else(|| panic!("no number: {row}"))
}

#[test]
fn access_logs_are_routed_once_however_often_it_is_killed() {
    let scene =
        Scene::new(env!("CARGO_TARGET_TMPDIR"), "access_logs_are_routed_once_however_often_it_is_killed");
    let text: String = (0..LINES).map(|number| line(number) + "\n").collect();
    fs::write(scene.folder().join("access.log"), text).expect("the scene is there");
    let settings = [("from", scene.path("access.log")), ("to", scene.path("out"))];
    let flow = "tests/end_to_end/flows/access_logs.flow";
    let output = scene.folder().join("out");
    let files = || if output.exists() { visible_files(&output).len() } else { 0 };
    for kill in 0..KILLS {
        let before = files();
        let mut weir = Weir::run(&scene, flow, &settings);
        weir.await_event("it has written enough to be killed", PATIENCE, |_| {
            // The last kills come at once, so that events are left for each of them.
            (output.exists() && files() >= (before + kill % 3).min(LINES / 1_000)).then_some(())
        });
        weir.kill();
    }
    let rows = |folder: &str| -> Vec<(String, Value)> {
        let rows_of = |file: std::path::PathBuf| {
            let place = file.parent().expect("it has a folder").display().to_string();
            let row =
                move |line: Vec<u8>| (place.clone(), serde_json::from_slice(&line).expect("it is JSON"));
            lines_of(&[file]).into_iter().map(row).collect::<Vec<_>>()
        };
        let folder = output.join(folder);
        let files = if folder.exists() { visible_files(&folder) } else { Vec::new() };
        files.into_iter().flat_map(rows_of).collect()
    };
    let all = || ["served", "failed", "rejected"].map(rows);
    let mut weir = Weir::run(&scene, flow, &settings);
    let [served, failed, rejected] = weir.await_event("every line has arrived", PATIENCE, |_| {
        let all = all();
        (all.iter().map(Vec::len).sum::<usize>() >= LINES).then_some(all)
    });
    weir.terminate().assert_success();
    assert_eq!(all().iter().map(Vec::len).sum::<usize>(), LINES, "no line twice");

    let mut numbers = BTreeSet::new();
    for (place, row) in &served {
        let time = row["time"].as_str().expect("a time is text in JSON");
        let hour = format!("served/{}/{}", &time[..10], &time[11..13]);
        assert!(place.ends_with(&hour) && row["status"].as_u64() < Some(500), "{place}: {row}");
        numbers.insert(number_of(row));
    }
    for (place, row) in &failed {
        assert!(place.ends_with("failed/500") && row["status"] == 500, "{place}: {row}");
        numbers.insert(number_of(row));
    }
    let steps = rejected.iter().fold(BTreeMap::new(), |mut steps, (_, row)| {
        *steps.entry(row["step"].to_string()).or_insert(0) += 1;
        steps
    });
    assert_eq!(steps.into_values().collect::<Vec<usize>>(), [LINES / 50, LINES / 50]);
    numbers.extend(rejected.iter().filter_map(|(_, row)| {
        let body = row["body"].as_str()?;
        let number = body.strip_suffix(" is no request").or_else(|| body.split('"').nth(1));
        number?.parse::<usize>().ok()
    }));
    assert_eq!(numbers.len(), LINES, "every line is there");
}
