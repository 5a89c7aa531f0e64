//! Reads secrets. A plan and its settings say where a secret is, and never hold it.

use std::env::VarError;
use std::io;
use std::path::PathBuf;

use thiserror::Error;
use weir_plan::SecretReference;

/// Why a secret can't be read.
#[derive(Debug, Error)]
pub(crate) enum SecretError {
    #[error("the environment variable {name} has no secret")]
    Environment { name: String, source: VarError },
    #[error("the secret {} can't be read", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("the secret in {place} is empty")]
    Empty { place: String },
}

/// Reads a secret, without the newline at the end of a file.
///
/// # Errors
/// When the secret is missing, or empty: an empty secret would give everybody access.
pub(crate) fn read(reference: &SecretReference) -> Result<String, SecretError> {
    match stored(reference)? {
        secret if secret.trim().is_empty() => Err(SecretError::Empty { place: place(reference) }),
        secret => Ok(secret),
    }
}

fn stored(reference: &SecretReference) -> Result<String, SecretError> {
    match reference {
        SecretReference::Environment(name) => {
            std::env::var(name).map_err(|source| SecretError::Environment { name: name.clone(), source })
        }
        SecretReference::File(path) => {
            let text = std::fs::read_to_string(path);
            let text = text.map_err(|source| SecretError::File { path: path.into(), source })?;
            Ok(text.trim_end_matches(['\r', '\n']).to_owned())
        }
    }
}

/// Returns the place of a secret as text for messages.
pub(crate) fn place(reference: &SecretReference) -> String {
    match reference {
        SecretReference::Environment(name) => format!("the environment variable {name}"),
        SecretReference::File(path) => format!("the file {path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_that_is_empty_is_an_error() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let path = file.path().to_string_lossy().into_owned();
        let reference = SecretReference::File(path.clone());
        for empty in ["", "\n", " \r\n"] {
            std::fs::write(&path, empty).unwrap();
            let error = read(&reference).unwrap_err();
            assert_eq!(error.to_string(), format!("the secret in the file {path} is empty"));
        }
        std::fs::write(&path, "open sesame\n").unwrap();
        assert_eq!(read(&reference).unwrap(), "open sesame");
    }
}
