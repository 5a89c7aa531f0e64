//! The parser `grok`: regular expressions with public patterns.

use serde::Deserialize;
use weir_runtime::parsers::{Parser, ParserCall};

use super::pieces::Cutter;
use super::regex::Groups;

#[derive(Deserialize)]
struct GrokSettings {
    pattern: String,
}

pub(super) fn make(call: &ParserCall<'_>) -> Result<Box<dyn Parser>, String> {
    let GrokSettings { pattern } = call.settings.read().map_err(|error| error.to_string())?;
    let pattern = weir_plan::grok::expand(&pattern).map_err(|error| format!("its `pattern`: {error}"))?;
    Cutter::boxed(call, Groups::new(&pattern, call)?)
}

#[cfg(test)]
mod tests;
