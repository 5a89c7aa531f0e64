//! The keys of an encrypted channel.

use serde::Deserialize;
use thiserror::Error;
use weir_plan::SecretReference;
use weir_runtime::storage::{InvalidKey, Key, Keys};

use crate::tools::secrets::{self, SecretError};

/// The record `Encryption` of the signature.
#[derive(Debug, Deserialize)]
pub(super) struct Encryption {
    key: SecretReference,
    former: Vec<SecretReference>,
}

/// Why a key can't be used.
#[derive(Debug, Error)]
pub(super) enum KeyError {
    #[error("the key in `encrypt`")]
    Secret(#[from] SecretError),
    #[error("the key in `encrypt`, from {place}")]
    NoKey { place: String, source: InvalidKey },
}

impl Encryption {
    /// Reads the keys from where the settings say.
    pub(super) fn keys(&self) -> Result<Keys, KeyError> {
        let former: Result<Vec<Key>, KeyError> = self.former.iter().map(key).collect();
        Ok(Keys { key: key(&self.key)?, former: former? })
    }
}

fn key(reference: &SecretReference) -> Result<Key, KeyError> {
    let text = secrets::read(reference)?;
    Key::parse(&text).map_err(|source| KeyError::NoKey { place: secrets::place(reference), source })
}

#[cfg(test)]
mod tests {
    use weir_runtime::Failure;

    use super::*;

    fn refusal(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key").display().to_string();
        std::fs::write(&path, text).unwrap();
        let refused = key(&SecretReference::File(path.clone())).unwrap_err();
        Failure::permanent(refused).to_string().replace(&path, "KEY")
    }

    #[test]
    fn an_invalid_key_is_refused_and_not_shown() {
        let expected = "the key in `encrypt`, from the file KEY: a key is 32 bytes as 64 hexadecimal digits or as Base64, as `openssl rand -hex 32` makes it; this is something else";
        assert_eq!(refusal(""), "the key in `encrypt`: the secret in the file KEY is empty");
        for wrong in ["swordfish", &"0".repeat(63), &"A".repeat(40)] {
            assert_eq!(refusal(wrong), expected);
        }
    }

    #[test]
    fn the_name_of_a_missing_key_is_reported() {
        let missing = key(&SecretReference::Environment("WEIR_TEST_NO_SUCH_KEY".into())).unwrap_err();
        assert_eq!(
            Failure::permanent(missing).to_string(),
            "the key in `encrypt`: the environment variable WEIR_TEST_NO_SUCH_KEY has no secret: environment variable not found"
        );
    }
}
