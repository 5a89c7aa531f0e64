//! The settings of a component, and their conversion into the component's own type.

mod reader;
mod refusal;

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::Value;
use reader::{GroupReader, Ignored};
pub use refusal::{NotCarriedOut, SettingsError};
use refusal::{Place, Problem};

/// The settings of one component, by name, with defaults filled in.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Settings {
    /// Every setting of the component's signature.
    pub values: BTreeMap<String, Value>,
}

impl Settings {
    /// Deserializes the settings into a component's own type.
    ///
    /// Durations become [`std::time::Duration`], sizes `u64` bytes, rates `f64` per second,
    /// variants serde's externally tagged enums (`"gzip"`, or `{"tls": {…}}` with settings),
    /// templates [`crate::Template`], secrets [`crate::SecretReference`], null `Option::None`.
    ///
    /// The type contains only what the component implements. A variant that is not in the type is refused,
    /// and so is a setting, unless its value has no effect: null, `false`, an empty
    /// list. A component that implements only one variant reads it into an enum with this variant.
    ///
    /// # Errors
    /// When a value is missing or has another shape, or when a variant or setting is not in the type.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, SettingsError> {
        let ignored = Ignored::default();
        let read = T::deserialize(GroupReader::new(&self.values, Place::Root, &ignored));
        let ignored = ignored.into_inner();
        match read {
            Ok(value) if ignored.is_empty() => Ok(value),
            Ok(_) => Err(SettingsError::NotCarriedOut(ignored)),
            Err(Problem::NotCarriedOut(refusal)) => Err(SettingsError::NotCarriedOut(vec![refusal])),
            Err(problem) => Err(SettingsError::Misfit(problem.to_string())),
        }
    }

    /// Splits the settings into those with these names and the others, for a component that reads them into two types.
    pub fn split(&self, names: &[&str]) -> (Settings, Settings) {
        let (named, others) =
            self.values.clone().into_iter().partition(|(name, _)| names.contains(&name.as_str()));
        (Settings { values: named }, Settings { values: others })
    }
}

#[cfg(test)]
mod tests;
