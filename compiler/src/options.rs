//! Options of a compilation: values of params and environment variables.

use std::collections::BTreeMap;

/// Values that a compilation takes from outside of the program's text.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Values of params by name, as `--set` gives them; they come before the environment.
    pub params: BTreeMap<String, String>,
    /// Environment variables: the param `topic` is `WEIR_TOPIC`, and `env("HOME")` is `HOME`.
    pub environment: BTreeMap<String, String>,
}
