//! HDFS with Kerberos, encrypted requests and encrypted data, by source and sink.

use std::ffi::OsStr;
use std::fs;
use std::thread::sleep;
use std::time::Duration;

use weir_tests::{
    Cluster, Forwarder, Scene, Servers, Weir, ask_agent, free_address, lines_of, print_line, visible_files,
    wait_until,
};

const FLOW: &str = "tests/end_to_end/flows/hdfs_with_kerberos.flow";
const EVENTS: usize = 30_000;
const PATIENCE: Duration = Duration::from_secs(120);

/// How long tickets are valid.
const TICKET: Duration = Duration::from_secs(5);

/// The numbers of the events, which are the first words of the lines.
pub(crate) fn numbers(lines: Vec<Vec<u8>>) -> Vec<usize> {
    let number = |line: Vec<u8>| {
        let line = String::from_utf8(line).expect("lines are text");
        line.split(' ').next().and_then(|number| number.parse().ok()).expect("lines are numbered")
    };
    let mut numbers: Vec<usize> = lines.into_iter().map(number).collect();
    numbers.sort_unstable();
    numbers
}

fn copied(scene: &Scene) -> Vec<usize> {
    let local = scene.folder().join("local");
    if local.exists() { numbers(lines_of(&visible_files(&local))) } else { Vec::new() }
}

fn settings(scene: &Scene, cluster: &Cluster, url: String) -> Vec<(&'static str, String)> {
    vec![
        ("hdfs", url),
        ("principal", cluster.setting("PRINCIPAL")),
        ("keytab", format!("{}/weir.keytab", cluster.setting("KEYTABS"))),
        ("directory", "/weir/lake".to_owned()),
        ("events", EVENTS.to_string()),
        ("positions", scene.path("positions")),
        ("local", scene.path("local")),
    ]
}

#[test]
fn tickets_are_renewed_and_a_kerberos_server_that_is_gone_is_waited_for() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "tickets_are_renewed");
    let cluster = session.cluster("hdfs_kerberos", &[]);
    // The servers keep the tickets of a day that they have.
    cluster.restart("kdc", &[("KDC_TICKET_SECONDS", &TICKET.as_secs().to_string())]);
    let hdfs = cluster.hdfs();
    hdfs.make_directory("/weir", "weir", "755");
    let name_node = hdfs.url().strip_prefix("hdfs://").and_then(|address| address.parse().ok());
    let forwarder = Forwarder::to(name_node.expect("the URL has an address"));
    let settings = settings(&scene, &cluster, format!("hdfs://{}", forwarder.address()));
    let starter = ["env".to_owned(), format!("KRB5_CONFIG={}", cluster.setting("KRB5_CONFIG"))];
    let starter: Vec<&str> = starter.iter().map(String::as_str).collect();
    let metrics = free_address();
    let options = ["--metrics", &metrics.to_string()];
    let mut weir = Weir::run_by(&scene, &starter, FLOW, &settings, &options);
    weir.await_event("it has copied events", PATIENCE, |_| (!copied(&scene).is_empty()).then_some(()));
    for _ in 0..2 {
        // New connections need tickets, and those that the agent has are expired by then.
        sleep(TICKET);
        forwarder.cut();
        let before = copied(&scene).len();
        weir.await_event("it goes on", PATIENCE, |_| (copied(&scene).len() > before).then_some(()));
    }
    let outage = cluster.kill("kdc");
    let trouble = wait_until("/ready names the trouble", PATIENCE, || {
        forwarder.cut();
        let (_, ready) = ask_agent(metrics, "/ready")?;
        ready.lines().find(|line| line.contains("(not authorised)")).map(str::to_owned)
    });
    print_line(scene.name(), &trouble);
    assert!(trouble.contains("no Kerberos ticket for weir@WEIR.TEST"), "{trouble}");
    outage.end();
    wait_until("/ready answers 200", PATIENCE, || {
        ask_agent(metrics, "/ready").filter(|(status, _)| *status == 200)
    });
    weir.await_event("all events are copied", PATIENCE, |_| (copied(&scene).len() >= EVENTS).then_some(()));
    weir.terminate().assert_success();
    let expected: Vec<usize> = (1..=EVENTS).collect();
    assert_eq!(copied(&scene), expected, "copies");
    let (lines, _unfinished) = hdfs.lines("/weir/lake", &scene);
    assert_eq!(numbers(lines), expected, "on HDFS");
}

/// The text of a program with source and sink on the cluster.
fn program(url: &str, security: &str, [from, after, to]: [&str; 3]) -> String {
    format!(
        "source stored = hdfs {{ url: \"{url}\", paths: [\"{from}\"], after: {after},\n  security: {security} }}\n\
         sink nowhere = null {{}}\nsource made = generate {{ count: 1 }}\n\
         sink lake = hdfs {{ url: \"{url}\", path: \"{to}\",\n  security: {security} }}\n\
         flow reads {{ stored -> nowhere }}\nflow writes {{ made -> lake }}\n"
    )
}

#[test]
fn credentials_and_permissions_that_are_missing_are_told_at_their_settings() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "credentials_that_are_missing");
    let cluster = session.cluster("hdfs_kerberos", &[]);
    let hdfs = cluster.hdfs();
    hdfs.make_directory("/weir/in", "weir", "755");
    hdfs.make_directory("/weir", "weir", "755");
    hdfs.make_directory("/closed", "hdfs", "700");
    hdfs.make_directory("/open", "hdfs", "755");
    let (url, keytabs) = (hdfs.url(), cluster.setting("KEYTABS"));
    let kerberos = |principal: &str, keytab: &str| {
        format!("kerberos {{ principal: \"{principal}@WEIR.TEST\", keytab: \"{keytabs}/{keytab}.keytab\" }}")
    };
    let mine = ["/weir/in/*.log", "delete", "/weir/out"];
    let good = kerberos("weir", "weir");
    let both = |setting, text: &'static str| vec![(setting, text); 2];
    let cases = [
        (good.clone(), mine, Vec::new()),
        (kerberos("weir", "missing"), mine, both("security", "can't be read")),
        (kerberos("weir", "wrong"), mine, both("security", "integrity check failed")),
        (kerberos("weir", "guest"), mine, both("security", "the keytab has no key of this principal")),
        (kerberos("stranger", "stranger"), mine, both("security", "not found in Kerberos database")),
        ("plaintext".to_owned(), mine, both("security", "wants Kerberos tickets")),
        (
            good.clone(),
            ["/weir/none/*.log", "keep", "/weir/out"],
            vec![("paths", "/weir/none does not exist")],
        ),
        (
            good.clone(),
            ["/closed/*.log", "keep", "/closed/out"],
            vec![("paths", "nothing may be read in /closed"), ("path", "Permission denied")],
        ),
        (
            good,
            ["/open/*.log", "delete", "/weir/out"],
            vec![("after", "may not be renamed or deleted in /open")],
        ),
    ];
    for (number, (security, places, expected)) in cases.into_iter().enumerate() {
        let text = program(url, &security, places);
        let path = scene.folder().join(format!("{number}.flow"));
        fs::write(&path, &text).expect("the disk has space");
        let mut words = vec![OsStr::new("check"), OsStr::new("--connect"), OsStr::new("--format")];
        words.extend([OsStr::new("short"), path.as_os_str()]);
        let config = cluster.setting("KRB5_CONFIG");
        let (_, said) = Weir::tool_in(&[("KRB5_CONFIG", &config)], words);
        let found: Vec<&str> = said.lines().filter(|line| line.contains("E0003")).collect();
        assert_eq!(found.len(), expected.len(), "{text}\n{said}");
        for (line, (setting, reason)) in found.iter().zip(&expected) {
            assert!(line.contains(reason), "{reason}: {said}");
            let is_at = text.lines().zip(1..).any(|(text, number)| {
                let column = text.find(&format!(" {setting}: ")).map(|at| at + setting.len() + 4);
                column.is_some_and(|column| line.contains(&format!(":{number}:{column}")))
            });
            assert!(is_at, "the diagnostic is not at `{setting}`: {text}\n{said}");
        }
    }
}

#[test]
fn a_wrong_keytab_prevents_the_start() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "a_wrong_keytab");
    let cluster = session.cluster("hdfs_kerberos", &[]);
    let mut settings = settings(&scene, &cluster, cluster.hdfs().url().to_owned());
    settings[2].1 = format!("{}/wrong.keytab", cluster.setting("KEYTABS"));
    let config = format!("KRB5_CONFIG={}", cluster.setting("KRB5_CONFIG"));
    let ending = Weir::run_by(&scene, &["env", &config], FLOW, &settings, &[]).finish();
    assert_eq!(ending.status.code(), Some(1), "{}", ending.log);
    for component in ["source stored", "sink lake"] {
        let expected = format!("weir: {component}: `security`: no Kerberos ticket for weir@WEIR.TEST");
        assert!(ending.log.contains(&expected), "{}", ending.log);
    }
}
