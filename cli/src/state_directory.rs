//! The state directory: where channels and positions are whose paths are relative or missing.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Returns the absolute path of the state directory, if there is one: the one that was given, or else that of the environment.
///
/// # Errors
/// When the working directory is gone.
pub(crate) fn state_directory(given: Option<PathBuf>) -> std::io::Result<Option<PathBuf>> {
    let of_variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    // systemd separates several directories by colons.
    let first = |list: OsString| {
        let first = list.as_bytes().split(|byte| *byte == b':').next().unwrap_or_default();
        PathBuf::from(OsStr::from_bytes(first))
    };
    let named = given.or_else(|| of_variable("WEIR_STATE_DIR").map(PathBuf::from));
    let named = named.or_else(|| of_variable("STATE_DIRECTORY").map(first));
    named.map(std::path::absolute).transpose()
}
