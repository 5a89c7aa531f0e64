//! Brokers that want Kerberos tickets (SASL GSSAPI): a source, a channel and a sink, with TLS and without, and what is told of wrong
//! settings.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use weir_tests::{
    Cluster, Scene, Servers, Weir, ask_agent, free_address, lines_of, print_line, visible_files, wait_until,
};

use crate::kerberos::numbers;

/// The limit of a wait, which only decides how long a failing test hangs.
const PATIENCE: Duration = Duration::from_secs(120);
/// How long tickets are valid. Brokers want a login every three seconds.
const TICKET: Duration = Duration::from_secs(5);

/// A broker that wants tickets, and the settings of clients.
struct Brokers {
    cluster: Cluster,
    plain: String,
    tls: String,
}

impl Brokers {
    fn start(session: &weir_tests::Session) -> Brokers {
        let cluster = session.cluster("kafka_kerberos", &[]);
        let (plain, tls) = (cluster.setting("KAFKA_GSSAPI"), cluster.setting("KAFKA_GSSAPI_TLS"));
        Brokers { cluster, plain, tls }
    }

    /// The value of `security` for a principal and a keytab, with further settings.
    fn security(&self, principal: &str, keytab: &str, further: &str) -> String {
        let keytabs = self.cluster.setting("KEYTABS");
        format!(
            "kerberos {{ principal: \"{principal}@WEIR.TEST\", keytab: \"{keytabs}/{keytab}.keytab\"{further} }}"
        )
    }

    fn authorities(&self, name: &str) -> String {
        format!(", ca: \"{}/{name}.pem\"", self.cluster.setting("KAFKA_CERTIFICATES"))
    }
}

/// A sink with a wrong setting: its brokers and `security`, and what is told.
type Wrong = (String, String, &'static str);

/// The sinks of a program that is wrong in every way; the first one is right.
fn wrong_sinks(brokers: &Brokers) -> Vec<Wrong> {
    let plain = |principal, keytab, further, told| {
        (brokers.plain.clone(), brokers.security(principal, keytab, further), told)
    };
    let authorities = brokers.authorities("other-ca");
    vec![
        plain("weir", "weir", "", ""),
        plain("guest", "guest", "", "the brokers don't let this client use topic asked"),
        plain("weir", "missing", "", "`keytab` of `security`: "),
        plain("weir", "wrong", "", "`security`: no Kerberos ticket for weir@WEIR.TEST with the keytab "),
        plain("weir", "guest", "", "the keytab has no key of this principal"),
        plain("stranger", "stranger", "", "not found in Kerberos database"),
        plain("weir", "weir", ", service: \"hbase\"", "`service` of `security`: "),
        (
            brokers.tls.clone(),
            brokers.security("weir", "weir", &authorities),
            "`security`: the certificate of ",
        ),
        (
            brokers.plain.clone(),
            "sasl { mechanism: plain, user: \"weir\", password: secret file(\"/proc/sys/kernel/ostype\") }"
                .to_owned(),
            "`security`: ",
        ),
    ]
}

/// Asks for all sinks in one process, in which no two principals may share tickets.
fn wrong_settings_are_told(scene: &Scene, brokers: &Brokers) {
    let sinks = wrong_sinks(brokers);
    let mut text = "source made = generate { count: 1 }\n".to_owned();
    for (number, (address, security, _)) in sinks.iter().enumerate() {
        text += &format!(
            "sink s{number} = kafka {{ brokers: [\"{address}\"], topic: \"asked\", security: {security} }}\n"
        );
    }
    let names: Vec<String> = (0..sinks.len()).map(|number| format!("s{number}")).collect();
    text += &format!("flow main {{ made -> copy {{ {} }} }}\n", names.join(", "));
    let flow = scene.folder().join("wrong.flow");
    fs::write(&flow, &text).expect("the disk has space");
    let words = ["check", "--connect", "--format", "short"].map(OsStr::new);
    let config = brokers.cluster.setting("KRB5_CONFIG");
    let variables = [("KRB5_CONFIG", config.as_str())];
    let (_, said) = Weir::tool_in(&variables, words.into_iter().chain([flow.as_os_str()]));
    for ((_, security, told), line) in sinks.iter().zip(2..) {
        let mut found = said
            .lines()
            .filter(|text| text.contains(&format!("wrong.flow:{line}:")) && text.contains("E0003"));
        match (*told, found.next()) {
            ("", None) => {}
            (told, Some(found)) if !told.is_empty() && found.contains(told) => {}
            (_, found) => panic!("{security}: {found:?}\n{said}"),
        }
    }
    let starter = format!("KRB5_CONFIG={config}");
    let ending = Weir::run_by(scene, &["env", &starter], &path(&flow), &[], &[]).finish();
    assert_eq!(ending.status.code(), Some(1), "{}", ending.log);
    for ((_, security, told), number) in sinks.iter().zip(0..) {
        // A missing permission is no matter of the login.
        let is_refused = number > 1;
        let mut lines = ending.log.lines();
        let is_told =
            lines.any(|line| line.contains(&format!("weir: sink s{number}: ")) && line.contains(told));
        assert_eq!(is_told, is_refused, "{security}: {}", ending.log);
    }
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// A program that writes a topic, and copies it through another one into files.
fn copying(scene: &Scene, brokers: &Brokers) -> String {
    let (plain, tls, folder) = (&brokers.plain, &brokers.tls, scene.path("copies"));
    let security = brokers.security("weir", "weir", "");
    let encrypted = brokers.security("weir", "weir", &brokers.authorities("ca"));
    format!(
        "source made = generate {{ content: numbered {{ size: 40B }}, rate: 100/s, batch: 20 }}\n\
         sink topic = kafka {{ brokers: [\"{tls}\"], topic: \"numbers\", security: {encrypted} }}\n\
         flow writes {{ made -> topic }}\n\
         source stored = kafka {{ brokers: [\"{plain}\"], topics: [\"numbers\"], group: \"copies\", session_timeout: 6s,\n  \
         security: {security} }}\n\
         channel between = kafka {{ brokers: [\"{plain}\"], topic: \"between\", group: \"between\", create: {{ partitions: 2 }},\n  \
         security: {security} }}\n\
         sink copies = files {{ path: \"{folder}\", roll: {{ age: 1s }} }}\n\
         flow reads {{ stored -> between -> copies }}\n"
    )
}

/// The numbers of the events in the files, each once.
fn copied(scene: &Scene) -> Vec<usize> {
    let folder = scene.folder().join("copies");
    let mut numbers = if folder.exists() { numbers(lines_of(&visible_files(&folder))) } else { Vec::new() };
    numbers.dedup();
    numbers
}

fn tickets_are_renewed_and_the_kerberos_server_is_waited_for(scene: &Scene, brokers: &Brokers) {
    let cluster = &brokers.cluster;
    cluster.restart("kdc", &[("KDC_TICKET_SECONDS", &TICKET.as_secs().to_string())]);
    cluster.kafka().create_topic("numbers", 2);
    let flow = scene.folder().join("copying.flow");
    fs::write(&flow, copying(scene, brokers)).expect("the disk has space");
    let starter = format!("KRB5_CONFIG={}", cluster.setting("KRB5_CONFIG"));
    let metrics = free_address();
    let options = ["--metrics", &metrics.to_string(), "--ready-limit", "2s"];
    let mut weir = Weir::run_by(scene, &["env", &starter], &path(&flow), &[], &options);
    weir.await_event("it has copied events", PATIENCE, |_| (!copied(scene).is_empty()).then_some(()));
    for _ in 0..2 {
        sleep(TICKET);
        let before = copied(scene).len();
        weir.await_event("it goes on", PATIENCE, |_| (copied(scene).len() > before).then_some(()));
    }
    let outage = cluster.kill("kdc");
    for component in ["sink topic", "source stored"] {
        let trouble = wait_until("/ready names the trouble", PATIENCE, || {
            let (_, ready) = ask_agent(metrics, "/ready")?;
            let mut lines = ready.lines();
            let is_told = |line: &&str| line.contains(component) && line.contains("(not authorised)");
            lines.find(is_told).map(str::to_owned)
        });
        print_line(scene.name(), &trouble);
        assert!(trouble.contains("no Kerberos ticket"), "{trouble}");
    }
    outage.end();
    wait_until("/ready answers 200", PATIENCE, || {
        ask_agent(metrics, "/ready").filter(|(status, _)| *status == 200)
    });
    // More are written meanwhile, so that those before the last one may still be on their way.
    let last = numbers(cluster.kafka().consume("numbers")).into_iter().max().unwrap_or_default();
    weir.await_event("all events are copied", PATIENCE, |_| {
        let copied = copied(scene);
        (1..=last).all(|number| copied.binary_search(&number).is_ok()).then_some(())
    });
    weir.terminate().assert_success();
}

#[test]
fn records_pass_brokers_that_want_tickets() {
    let session = Servers::shared();
    let scene = Scene::new(env!("CARGO_TARGET_TMPDIR"), "records_pass_brokers_that_want_tickets");
    let brokers = Brokers::start(&session);
    brokers.cluster.kafka().create_topic("asked", 1);
    wrong_settings_are_told(&scene, &brokers);
    tickets_are_renewed_and_the_kerberos_server_is_waited_for(&scene, &brokers);
}
