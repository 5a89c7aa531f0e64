//! Reads output files in a local folder.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::weir::output_of;

/// Lists all visible files below a folder, sorted by name. Files and folders are hidden if their names begin with a dot.
///
/// Unfinished files of live and dead writers are hidden, and so is the folder of a sink's ledger.
pub fn visible_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let walk = WalkDir::new(folder).sort_by_file_name().into_iter();
    let is_visible = |entry: &walkdir::DirEntry| {
        entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".")
    };
    for entry in walk.filter_entry(is_visible) {
        let entry = entry.unwrap_or_else(|error| panic!("can't list {}: {error}", folder.display()));
        if entry.file_type().is_file() {
            files.push(entry.into_path());
        }
    }
    files
}

/// Returns the lines of files, without line ends. The ending of a name selects plain text, gzip or Zstandard.
///
/// The system's own `gzip` and `zstd` decompress the files, so that a truncated or damaged file fails the test.
pub fn lines_of(files: &[PathBuf]) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for file in files {
        let bytes = match file.extension().and_then(OsStr::to_str) {
            Some("gz") => output_of("gzip", &["-dc".as_ref(), file.as_os_str()]),
            Some("zst") => output_of("zstd", &["-dcq".as_ref(), file.as_os_str()]),
            _ => fs::read(file).unwrap_or_else(|error| panic!("can't read {}: {error}", file.display())),
        };
        let Some(text) = bytes.strip_suffix(b"\n") else {
            panic!("{} does not end with a complete line", file.display());
        };
        lines.extend(text.split(|&byte| byte == b'\n').map(<[u8]>::to_vec));
    }
    lines
}
