//! Clients that show tokens (SASL OAUTHBEARER): tokens of a file and of a server that gives them, refusals and renewals.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use weir_plan::{SecretReference, Value};
use weir_runtime::{Cause, Failure};

use crate::harness::{
    Broker, RunningSource, SERVICES, TIMEOUT, assert_complete, context, produce, schema, server_setting,
    sink_settings, source_settings, template, topic, unique, wait_until,
};
use crate::sink::{batch, write};

/// Makes a token of the user `weir`, which expires in so many seconds or has expired before.
fn token(seconds: i64, audience: &str) -> String {
    let made = Command::new(SERVICES).args(["token", &seconds.to_string(), audience]).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    String::from_utf8(made.stdout).unwrap().trim_end().to_owned()
}

fn file(text: &str) -> PathBuf {
    let path = std::env::temp_dir().join(unique("token"));
    std::fs::write(&path, text).unwrap();
    path
}

fn secret(path: &std::path::Path) -> Value {
    Value::Secret(SecretReference::File(path.to_str().unwrap().to_owned()))
}

fn variant(name: &str, settings: Vec<(&str, Value)>) -> Value {
    let extension = [("name", "logicalCluster"), ("value", "lkc-1")];
    let extension = extension.map(|(name, value)| (name.to_owned(), Value::Text(value.to_owned())));
    let given = [("extensions", Value::List(vec![Value::Record(extension.into())]))];
    let settings = given.into_iter().chain(settings);
    let settings: BTreeMap<_, _> = settings.map(|(name, value)| (name.to_owned(), value)).collect();
    Value::Variant { name: name.to_owned(), settings }
}

/// With the certificate of the test's authority, if the connection is encrypted.
fn protection(brokers: &str) -> [(&'static str, Value); 2] {
    let is_encrypted = brokers.ends_with("TLS");
    let ca = Value::Text(format!("{}/ca.pem", server_setting("KAFKA_CERTIFICATES")));
    [("encrypted", Value::Bool(is_encrypted)), ("ca", if is_encrypted { ca } else { Value::Null })]
}

fn of_file(brokers: &str, path: &std::path::Path) -> Value {
    let mut settings = vec![("token", secret(path))];
    settings.extend(protection(brokers));
    variant("oauth_token", settings)
}

fn of_endpoint(brokers: &str, address: &str, secret_text: &str) -> Value {
    let mut settings = vec![
        ("endpoint", Value::Text(format!("http://{address}/oauth2/token"))),
        ("client", Value::Text("weir".to_owned())),
        ("secret", secret(&file(secret_text))),
        ("scope", Value::Text("kafka".to_owned())),
        ("endpoint_ca", Value::Null),
    ];
    settings.extend(protection(brokers));
    variant("oauth_client", settings)
}

fn connection(brokers: &str, security: &Value) -> Vec<(&'static str, Value)> {
    let brokers = Value::List(vec![Value::Text(server_setting(brokers))]);
    vec![("brokers", brokers), ("security", security.clone())]
}

/// A token endpoint, which gives the client `weir` tokens that are valid for so many seconds.
struct Endpoint {
    address: SocketAddr,
    given: Arc<AtomicUsize>,
}

impl Endpoint {
    fn start(lifetime: i64) -> Endpoint {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let given = Arc::<AtomicUsize>::default();
        let counted = given.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if answer(stream, lifetime) {
                    counted.fetch_add(1, Ordering::AcqRel);
                }
            }
        });
        Endpoint { address, given }
    }
}

/// Answers one request. Returns whether it gives a token.
fn answer(mut stream: TcpStream, lifetime: i64) -> bool {
    let (mut request, mut part) = (String::new(), [0; 4096]);
    while !request.ends_with("&scope=kafka") {
        match stream.read(&mut part) {
            Ok(0) | Err(_) => return false,
            Ok(count) => request.push_str(std::str::from_utf8(&part[..count]).unwrap()),
        }
    }
    assert!(request.starts_with("POST /oauth2/token HTTP/1.1\r\n"), "{request}");
    assert!(request.contains("grant_type=client_credentials&scope=kafka"), "{request}");
    // weir:open%20sesame
    let is_right = request.to_lowercase().contains("authorization: basic d2vpcjpvcgvuj");
    let (status, body) = match is_right {
        true => {
            let token = token(lifetime, "kafka");
            (
                "200 OK",
                format!(r#"{{"access_token":"{token}","token_type":"Bearer","expires_in":{lifetime}}}"#),
            )
        }
        false => {
            let said = r#"{"error":"invalid_client","error_description":"Client authentication failed"}"#;
            ("401 Unauthorized", said.to_owned())
        }
    };
    let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _client_is_gone = stream.write_all(format!("{head}{body}").as_bytes());
    is_right
}

#[tokio::test(flavor = "multi_thread")]
async fn records_pass_with_a_token_of_a_file_and_of_an_endpoint() {
    let _broker = Broker::shared().await;
    let path = file(&token(600, "kafka"));
    let endpoint = Endpoint::start(600);
    let of_endpoint = |brokers| of_endpoint(brokers, &endpoint.address.to_string(), "open sesame");
    for (brokers, security) in [
        ("KAFKA_OAUTH", of_file("KAFKA_OAUTH", &path)),
        ("KAFKA_OAUTH_TLS", of_file("KAFKA_OAUTH_TLS", &path)),
        ("KAFKA_OAUTH_TLS", of_endpoint("KAFKA_OAUTH_TLS")),
    ] {
        let topic = topic("tokens", 1).await;
        let changed = || connection(brokers, &security);
        let (ended, through) = write(&sink_settings(template(&topic), changed()), vec![batch(0..100)]).await;
        ended.unwrap();
        assert_eq!(through, 100, "{brokers}");
        let source = RunningSource::start(&source_settings(&topic, &unique("group"), changed()));
        source.wait_for(100).await;
        assert_complete(&source.stop().await, 0..100);
    }
}

/// Returns the failure of the check of a source before its start.
async fn refusal(security: &Value) -> Failure {
    let settings = source_settings("any", "any", connection("KAFKA_OAUTH", security));
    let mut source = weir_stdlib::kafka::make_source(&settings, context("in", schema())).unwrap();
    let mut failures = source.probe().await;
    assert_eq!(failures.len(), 1, "{failures:?}");
    failures.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_of_no_use_prevents_the_start_and_the_setting_is_named() {
    let _broker = Broker::shared().await;
    let brokers = "KAFKA_OAUTH";
    let endpoint = Endpoint::start(600).address.to_string();
    let missing = PathBuf::from("/nowhere/token");
    for (security, part) in [
        (
            of_file(brokers, &file(&token(600, "others"))),
            "`security`: the brokers don't let the client in with its token",
        ),
        (of_file(brokers, &file(&token(-5, "kafka"))), "`token` of `security`: the token in the file"),
        (of_file(brokers, &file("opaque")), "`security`: the brokers don't let the client in with its token"),
        (of_file(brokers, &missing), "`token` of `security`: the secret /nowhere/token can't be read"),
        (of_endpoint(brokers, &endpoint, "wrong"), "`secret` of `security`: http://127.0.0.1:"),
    ] {
        let failure = refusal(&security).await;
        assert!(failure.is_permanent() && failure.to_string().contains(part), "{part}: {failure}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_away_is_waited_for() {
    let _broker = Broker::shared().await;
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let failure = refusal(&of_endpoint("KAFKA_OAUTH", &address, "open sesame")).await;
    assert!(!failure.is_permanent(), "{failure}");
    assert_eq!(failure.cause(), Cause::Refused);
    let expected = format!("`endpoint` of `security`: http://{address}/oauth2/token can't be reached");
    assert!(failure.to_string().starts_with(&expected), "{failure}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_goes_on_with_the_tokens_that_come_after_the_first() {
    let _broker = Broker::shared().await;
    let endpoint = Endpoint::start(12);
    let security = of_endpoint("KAFKA_OAUTH", &endpoint.address.to_string(), "open sesame");
    let topic = topic("renewed-tokens", 1).await;
    let settings = source_settings(&topic, &unique("group"), connection("KAFKA_OAUTH", &security));
    let source = RunningSource::start(&settings);
    let mut written = 0;
    let begin = std::time::Instant::now();
    // The brokers close a connection whose token has expired.
    while endpoint.given.load(Ordering::Acquire) < 3 {
        assert!(begin.elapsed() < TIMEOUT, "no further tokens are asked for");
        produce(&topic, 1, written..written + 10).await;
        written += 10;
        source.wait_for(written).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    assert_complete(&source.stop().await, 0..written);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_whose_token_expires_leaves_its_group_and_goes_on_when_the_file_has_another_one() {
    let _broker = Broker::shared().await;
    let path = file(&token(15, "kafka"));
    let topic = topic("expired-token", 1).await;
    // A group that has to wait for a member which has not left it would wait for longer than this test.
    let session = ("session_timeout", Value::Duration(5 * TIMEOUT));
    let mut changed = connection("KAFKA_OAUTH", &of_file("KAFKA_OAUTH", &path));
    changed.push(session);
    let settings = source_settings(&topic, &unique("group"), changed);
    let source = RunningSource::start(&settings);
    produce(&topic, 1, 0..10).await;
    source.wait_for(10).await;
    let mut failure = source.failure().await;
    while !failure.to_string().contains("has expired at") {
        assert!(!failure.is_permanent(), "{failure}");
        assert_eq!(failure.cause(), Cause::NotAuthorised, "{failure}");
        failure = RunningSource::start(&settings).failure().await;
    }
    std::fs::write(&path, token(600, "kafka")).unwrap();
    let source = RunningSource::start(&settings);
    produce(&topic, 1, 10..20).await;
    wait_until("the source goes on", || source.has_all(10..20)).await;
    assert_complete(&source.stop().await, 10..20);
}
