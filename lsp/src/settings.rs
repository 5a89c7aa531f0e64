//! The settings of the client: values of params, environment variables, and whether coverage is shown.

use std::collections::BTreeMap;

use serde_json::Value;
use weir_compiler::Options;

/// The section of the client's settings.
pub(crate) const SECTION: &str = "weir";

/// The settings of the user in the editor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Settings {
    /// The values of params by name, as `--set` gives them to a program that has such a param.
    params: BTreeMap<String, String>,
    /// Environment variables, which take precedence over those of the server.
    environment: BTreeMap<String, String>,
    /// Whether what the tests of a program have not reached is marked in its text.
    pub(crate) coverage: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { params: BTreeMap::new(), environment: BTreeMap::new(), coverage: true }
    }
}

impl Settings {
    /// Reads settings: `{ "params": { "topic": "clicks" }, "environment": { "HOME": "/root" }, "coverage": false }`, with or without the
    /// section around them. Entries with other types are left out.
    pub(crate) fn read(value: &Value) -> Settings {
        let section = value.get(SECTION).unwrap_or(value);
        let texts = |name: &str| {
            let entries = section.get(name).and_then(Value::as_object).into_iter().flatten();
            let entries = entries.filter_map(|(name, value)| Some((name.clone(), text(value)?)));
            entries.collect()
        };
        let coverage = section.get("coverage").and_then(Value::as_bool).unwrap_or(true);
        Settings { params: texts("params"), environment: texts("environment"), coverage }
    }

    /// Returns the options of a check.
    pub(crate) fn options(&self, environment: &BTreeMap<String, String>) -> Options {
        let mut all = environment.clone();
        all.extend(self.environment.clone());
        Options { environment: all, editor_params: self.params.clone(), ..Options::default() }
    }
}

/// Returns a value as `--set` would give it.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Array(items) => Some(items.iter().filter_map(text).collect::<Vec<_>>().join(",")),
        Value::Null | Value::Object(_) => None,
    }
}
