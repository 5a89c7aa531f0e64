//! Connections with TLS and SASL, and the refusals of brokers.

use std::collections::BTreeMap;

use weir_plan::{SecretReference, Value};
use weir_runtime::Failure;

use crate::harness::{
    Broker, RunningSource, assert_complete, context, schema, server_setting, sink_settings, source_settings,
    template, topic, unique,
};
use crate::sink::{batch, write};

fn variant(name: &str, settings: &[(&str, Value)]) -> Value {
    let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
    Value::Variant { name: name.to_owned(), settings: settings.collect::<BTreeMap<_, _>>() }
}

fn certificate(name: &str) -> Value {
    Value::Text(format!("{}/{name}", server_setting("KAFKA_CERTIFICATES")))
}

fn tls(ca: &str, client: Option<&str>) -> Value {
    let file = |end: &str| client.map_or(Value::Null, |client| certificate(&format!("{client}.{end}")));
    variant("tls", &[("ca", certificate(ca)), ("cert", file("pem")), ("key", file("key"))])
}

/// Returns a user with a password, which is kept in a file.
fn sasl(name: &str, mechanism: &str, password: &str) -> Value {
    let path = std::env::temp_dir().join(unique("password"));
    std::fs::write(&path, password).unwrap();
    let password = SecretReference::File(path.to_str().unwrap().to_owned());
    let mut settings = vec![
        ("mechanism", variant(mechanism, &[])),
        ("user", Value::Text("weir".to_owned())),
        ("password", Value::Secret(password)),
    ];
    if name == "sasl_tls" {
        settings.push(("ca", certificate("ca.pem")));
    }
    variant(name, &settings)
}

fn connection(brokers: &str, security: Value) -> Vec<(&'static str, Value)> {
    let brokers = Value::List(vec![Value::Text(server_setting(brokers))]);
    vec![("brokers", brokers), ("security", security)]
}

#[tokio::test(flavor = "multi_thread")]
async fn records_pass_through_every_secure_connection() {
    let _broker = Broker::shared().await;
    let right = server_setting("KAFKA_PASSWORD");
    let connections = [
        ("KAFKA_TLS", tls("ca.pem", None)),
        ("KAFKA_MTLS", tls("ca.pem", Some("client"))),
        ("KAFKA_SASL", sasl("sasl", "plain", &right)),
        ("KAFKA_SASL", sasl("sasl", "scram_sha_256", &right)),
        ("KAFKA_SASL_TLS", sasl("sasl_tls", "scram_sha_512", &right)),
    ];
    for (brokers, security) in connections {
        let topic = topic("secure", 1).await;
        let changed = || connection(brokers, security.clone());
        let (ended, through) = write(&sink_settings(template(&topic), changed()), vec![batch(0..100)]).await;
        ended.unwrap();
        assert_eq!(through, 100, "{brokers}");
        let source = RunningSource::start(&source_settings(&topic, &unique("group"), changed()));
        source.wait_for(100).await;
        assert_complete(&source.stop().await, 0..100);
    }
}

/// Returns the failures of the checks of a source and of a sink before their start.
async fn refusals(brokers: &str, security: Value) -> [Vec<Failure>; 2] {
    let changed = || connection(brokers, security.clone());
    let settings = source_settings("any", "any", changed());
    let mut source = weir_stdlib::kafka::make_source(&settings, context("in", schema())).unwrap();
    let settings = sink_settings(template("any"), changed());
    let mut sink = weir_stdlib::kafka::make_sink(&settings, context("out", schema())).unwrap();
    [source.probe().await, sink.probe().await]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_prevents_the_start_and_names_the_setting() {
    let _broker = Broker::shared().await;
    let cases = [
        ("KAFKA_SASL", sasl("sasl", "plain", "wrong"), vec!["\"weir\"", "`password`", "PLAIN"]),
        (
            "KAFKA_SASL",
            sasl("sasl", "scram_sha_256", "wrong"),
            vec!["\"weir\"", "`password`", "SCRAM-SHA-256"],
        ),
        (
            "KAFKA_TLS",
            tls("other-ca.pem", None),
            vec!["is signed by no authority in", "other-ca.pem", "`ca`"],
        ),
        ("KAFKA_EXPIRED", tls("ca.pem", None), vec!["has expired", "the certificate of 127.0.0.1"]),
        ("KAFKA_MTLS", tls("ca.pem", None), vec!["no TLS connection"]),
        ("KAFKA_TLS", tls("missing.pem", None), vec!["`ca` of `security`", "missing.pem can't be read"]),
    ];
    for (brokers, security, parts) in cases {
        for failures in refusals(brokers, security.clone()).await {
            assert_eq!(failures.len(), 1, "{brokers}: {failures:?}");
            assert!(failures[0].is_permanent());
            let text = failures[0].to_string();
            assert!(text.contains("`security`"), "{text}");
            for part in &parts {
                assert!(text.contains(part), "{brokers}: {part} in {text}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_connection_passes_the_check() {
    let _broker = Broker::shared().await;
    let right = server_setting("KAFKA_PASSWORD");
    for failures in refusals("KAFKA_SASL_TLS", sasl("sasl_tls", "plain", &right)).await {
        assert!(failures.is_empty(), "{failures:?}");
    }
}
