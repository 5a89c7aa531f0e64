//! Options of a compilation: values of params and environment variables.

use std::collections::BTreeMap;

use weir_plan::Value;

/// The values that a compilation takes from outside of the program's text.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The values of params by name, from `--set`; they override the environment.
    pub params: BTreeMap<String, String>,
    /// The values of params by name, from the `with` of a test, where they were checked; they override all others.
    pub constants: BTreeMap<String, Value>,
    /// The values of params by name, from the settings of an editor; they override the environment. They are for all programs, so
    /// a program without such a param is no error.
    pub editor_params: BTreeMap<String, String>,
    /// The environment variables: the param `topic` is `WEIR_TOPIC` (params `log` and `state_dir` have none), and `env("HOME")` is `HOME`.
    pub environment: BTreeMap<String, String>,
}

/// The variables of the commands themselves: they set what is logged and where state is, so they give no value to a param.
const OF_COMMANDS: [&str; 2] = ["WEIR_LOG", "WEIR_STATE_DIR"];

/// Returns the environment variable that gives a value to a param.
pub(crate) fn variable_of_param(name: &str) -> Option<String> {
    Some(format!("WEIR_{}", name.to_uppercase())).filter(|variable| !OF_COMMANDS.contains(&variable.as_str()))
}
