use std::time::Duration;

use super::*;
use crate::{SecretReference, Template, TemplatePart};

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Security {
    Plaintext,
    Tls { ca: Option<String> },
}

#[derive(Debug, PartialEq, Deserialize)]
struct Roll {
    size: u64,
    age: Option<Duration>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Example {
    linger: Duration,
    roll: Roll,
    security: Vec<Security>,
}

/// The one format that a component writes.
#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Format {
    Text,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Partial {
    format: Option<Format>,
    roll: Option<Roll>,
    security: Option<Security>,
}

fn values(values: &[(&str, Value)]) -> BTreeMap<String, Value> {
    values.iter().map(|(name, value)| (name.to_string(), value.clone())).collect()
}

fn variant(name: &str, settings: &[(&str, Value)]) -> Value {
    Value::Variant { name: name.into(), settings: values(settings) }
}

/// Returns the refusal of one setting by [`Partial`].
fn refusal(name: &str, value: Value) -> String {
    let settings = Settings { values: values(&[(name, value)]) };
    settings.read::<Partial>().map_or_else(|error| error.to_string(), |_| "read".to_string())
}

#[test]
fn values_are_read_into_a_components_own_type() {
    let tls = variant("tls", &[("ca", Value::Text("ca.pem".into()))]);
    let values = values(&[
        ("linger", Value::Duration(Duration::from_millis(250))),
        ("roll", Value::Record(values(&[("size", Value::Size(1 << 27)), ("age", Value::Null)]))),
        ("security", Value::List(vec![tls, variant("plaintext", &[])])),
    ]);
    let example: Example = Settings { values }.read().unwrap();
    assert_eq!(
        example,
        Example {
            linger: Duration::from_millis(250),
            roll: Roll { size: 1 << 27, age: None },
            security: vec![Security::Tls { ca: Some("ca.pem".into()) }, Security::Plaintext],
        }
    );
}

#[test]
fn every_kind_of_value_has_its_rust_type() {
    #[derive(Debug, PartialEq, Deserialize)]
    struct Wrapped(u16);

    #[derive(Debug, PartialEq, Deserialize)]
    struct All {
        whole: Wrapped,
        share: f64,
        rate: Option<f64>,
        answer: bool,
        path: Template,
        password: SecretReference,
        names: BTreeMap<String, String>,
        security: Option<Security>,
    }

    let template = Template { parts: vec![TemplatePart::Text("logs".into())] };
    let secret = SecretReference::Environment("PASSWORD".into());
    let settings = Settings {
        values: values(&[
            ("whole", Value::Int(7)),
            ("share", Value::Float(0.5)),
            ("rate", Value::EventRate(5_000.0)),
            ("answer", Value::Bool(true)),
            ("path", Value::Template(template.clone())),
            ("password", Value::Secret(secret.clone())),
            ("names", Value::Record(values(&[("a", Value::Text("b".into()))]))),
            ("security", variant("tls", &[("ca", Value::Null)])),
        ]),
    };
    let expected = All {
        whole: Wrapped(7),
        share: 0.5,
        rate: Some(5_000.0),
        answer: true,
        path: template,
        password: secret,
        names: [("a".to_string(), "b".to_string())].into(),
        security: Some(Security::Tls { ca: None }),
    };
    assert_eq!(settings.read::<All>().unwrap(), expected);
}

#[test]
fn a_missing_setting_is_an_error_that_names_it() {
    let error = Settings::default().read::<Example>().unwrap_err();
    assert!(error.to_string().contains("linger"), "{error}");
}

#[test]
fn a_value_of_another_shape_is_an_error_that_names_its_place() {
    let roll = Value::Record(values(&[("size", Value::Text("much".into()))]));
    let error = refusal("roll", roll);
    assert!(
        error.starts_with("settings do not fit this version of the component: `roll: { size: … }`: "),
        "{error}"
    );
}

#[test]
fn a_variant_that_the_type_does_not_have_is_refused() {
    assert_eq!(refusal("format", variant("text", &[])), "read");
    assert_eq!(
        refusal("format", variant("parquet", &[("row_group", Value::Int(5))])),
        "`format: parquet` is not carried out by this version of Weir; write `format: text`"
    );
    assert_eq!(
        refusal("security", variant("kerberos", &[])),
        "`security: kerberos` is not carried out by this version of Weir; \
         write `security: plaintext` or `security: tls`"
    );
}

#[test]
fn a_setting_that_the_type_does_not_have_is_refused() {
    assert_eq!(
        refusal("round", Value::Duration(Duration::from_secs(60))),
        "`round: 1min` is not carried out by this version of Weir; leave it out"
    );
    let retry = Value::Record(values(&[("limit", Value::Int(3))]));
    assert_eq!(
        refusal("retry", retry),
        "`retry: { … }` is not carried out by this version of Weir; leave it out"
    );
}

#[test]
fn a_setting_within_another_is_named_with_it() {
    let idle = ("idle", Value::Duration(Duration::from_secs(30)));
    let roll = Value::Record(values(&[("size", Value::Size(1)), ("age", Value::Null), idle]));
    assert_eq!(
        refusal("roll", roll),
        "`roll: { idle: 30s }` is not carried out by this version of Weir; leave it out"
    );
    let tls = variant("tls", &[("ca", Value::Null), ("cert", Value::Text("a.pem".into()))]);
    assert_eq!(
        refusal("security", tls),
        "`security: tls { cert: \"a.pem\" }` is not carried out by this version of Weir; leave it out"
    );
    let text = variant("text", &[("ends", Value::Int(2))]);
    assert_eq!(
        refusal("format", text),
        "`format: text { ends: 2 }` is not carried out by this version of Weir; leave it out"
    );
}

#[test]
fn a_setting_without_effect_may_be_ignored() {
    for nothing in [Value::Null, Value::Bool(false), Value::List(Vec::new()), Value::Record(values(&[]))] {
        assert_eq!(refusal("headers", nothing), "read");
    }
    let text = variant("text", &[("headers", Value::List(Vec::new()))]);
    assert_eq!(refusal("format", text), "read");
}

#[test]
fn all_ignored_settings_are_reported_together() {
    let settings = Settings { values: values(&[("a", Value::Bool(true)), ("b", Value::Int(1))]) };
    let error = settings.read::<Partial>().unwrap_err().to_string();
    assert!(error.contains("`a: true` is") && error.contains("`b: 1` is"), "{error}");
}

#[test]
fn settings_can_be_read_in_two_parts() {
    let settings = Settings { values: values(&[("a", Value::Int(1)), ("b", Value::Int(2))]) };
    let (named, others) = settings.split(&["b", "c"]);
    assert_eq!(named.values, values(&[("b", Value::Int(2))]));
    assert_eq!(others.values, values(&[("a", Value::Int(1))]));
}
