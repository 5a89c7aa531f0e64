//! Options of a compilation: values of params and environment variables.

use std::collections::BTreeMap;

/// The values that a compilation takes from outside of the program's text.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The values of params by name, from `--set`; they override the environment.
    pub params: BTreeMap<String, String>,
    /// The environment variables: the param `topic` is `WEIR_TOPIC`, and `env("HOME")` is `HOME`.
    pub environment: BTreeMap<String, String>,
}
