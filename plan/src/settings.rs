//! The settings of a component, read into the component's own type.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Value;

/// The settings of one component by name, defaults filled in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Settings {
    /// Every setting of the component's signature.
    pub values: BTreeMap<String, Value>,
}

/// Settings that do not have the shape their component reads.
///
/// The checker rules this out for a plan that was compiled against the same library, so it
/// means that the plan and the agent come from different versions.
#[derive(Debug, Error)]
#[error("settings do not fit this version of the component: {0}")]
pub struct SettingsError(#[from] serde_json::Error);

impl Settings {
    /// Reads the settings into a component's own type.
    ///
    /// Durations become [`std::time::Duration`], sizes `u64` bytes, rates `f64` per second,
    /// variants serde's externally tagged enums (`"gzip"`, or `{"tls": {…}}` with settings),
    /// templates [`crate::Template`], secrets [`crate::SecretReference`], null `Option::None`.
    ///
    /// # Errors
    /// When a value is missing or of another shape.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, SettingsError> {
        Ok(serde_json::from_value(record(&self.values)?)?)
    }
}

fn record(values: &BTreeMap<String, Value>) -> Result<serde_json::Value, serde_json::Error> {
    let entries = values.iter().map(|(name, value)| Ok((name.clone(), plain(value)?)));
    Ok(serde_json::Value::Object(entries.collect::<Result<_, serde_json::Error>>()?))
}

/// A value without the tag of its type, in the form that serde's derived readers expect.
fn plain(value: &Value) -> Result<serde_json::Value, serde_json::Error> {
    use serde_json::{Value as Json, to_value};
    Ok(match value {
        Value::Null => Json::Null,
        Value::Bool(value) => Json::from(*value),
        Value::Int(value) => Json::from(*value),
        Value::Float(value) | Value::EventRate(value) | Value::ByteRate(value) => Json::from(*value),
        Value::Text(text) => Json::from(text.as_str()),
        Value::Duration(duration) => to_value(duration)?,
        Value::Size(bytes) => Json::from(*bytes),
        Value::List(values) => Json::Array(values.iter().map(plain).collect::<Result<_, _>>()?),
        Value::Record(values) => record(values)?,
        Value::Variant { name, settings } if settings.is_empty() => Json::from(name.as_str()),
        Value::Variant { name, settings } => {
            Json::Object([(name.clone(), record(settings)?)].into_iter().collect())
        }
        Value::Template(template) => to_value(template)?,
        Value::Secret(reference) => to_value(reference)?,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

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

    fn settings(values: &[(&str, Value)]) -> BTreeMap<String, Value> {
        values.iter().map(|(name, value)| (name.to_string(), value.clone())).collect()
    }

    #[test]
    fn values_are_read_into_a_components_own_type() {
        let tls = Value::Variant {
            name: "tls".into(),
            settings: settings(&[("ca", Value::Text("ca.pem".into()))]),
        };
        let plaintext = Value::Variant { name: "plaintext".into(), settings: BTreeMap::new() };
        let values = settings(&[
            ("linger", Value::Duration(Duration::from_millis(250))),
            ("roll", Value::Record(settings(&[("size", Value::Size(1 << 27)), ("age", Value::Null)]))),
            ("security", Value::List(vec![tls, plaintext])),
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
    fn a_missing_setting_is_an_error_that_names_it() {
        let error = Settings::default().read::<Example>().unwrap_err();
        assert!(error.to_string().contains("linger"), "{error}");
    }
}
