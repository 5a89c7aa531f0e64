//! Options of a compilation: values of params and environment variables.

use std::collections::BTreeMap;

/// The values that a compilation takes from outside of the program's text.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The values of params by name, from `--set`; they override the environment.
    pub params: BTreeMap<String, String>,
    /// The environment variables: the param `topic` is `WEIR_TOPIC` (a param `log` has none), and `env("HOME")` is `HOME`.
    pub environment: BTreeMap<String, String>,
}

/// A variable of the commands themselves: it sets what they log, so it gives no value to a param `log`.
const OF_COMMANDS: &str = "WEIR_LOG";

/// Returns the environment variable that gives a value to a param.
pub(crate) fn variable_of_param(name: &str) -> Option<String> {
    Some(format!("WEIR_{}", name.to_uppercase())).filter(|variable| variable != OF_COMMANDS)
}
