//! Readers and parsers that share no code with Weir: `read.py` and `parse.py` in `tests/readers`, in the Python environment
//! that `tests/install` creates.

use std::env;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::repository;
use crate::weir::output_of;

/// Reads the rows of a file with an independent reader, each as a JSON object.
pub fn read_independently(format: &str, file: &Path) -> Vec<Value> {
    values("read.py", format, file)
}

/// Parses each line of a file with Python's own module for the format; null for a line that is not of the format.
pub fn parse_independently(format: &str, file: &Path) -> Vec<Value> {
    values("parse.py", format, file)
}

/// Returns the JSON values that a script prints for a file.
fn values(script: &str, format: &str, file: &Path) -> Vec<Value> {
    let python = readers().join("bin/python");
    assert!(python.exists(), "{} does not exist: tests/install creates it", python.display());
    let path = repository().join("tests/readers").join(script);
    let output = output_of(
        python.to_str().expect("the folder's name is text"),
        &[path.as_os_str(), format.as_ref(), file.as_os_str()],
    );
    let text = String::from_utf8(output).expect("JSON is text");
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("{script} wrote: {line}"));
    text.lines().map(parse).collect()
}

/// Returns the folder of the Python environment.
fn readers() -> PathBuf {
    let cache = || match env::var_os("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(env::var_os("HOME").unwrap_or_else(|| "/tmp".into())).join(".cache"),
    };
    env::var_os("WEIR_READERS").map_or_else(|| cache().join("weir-readers"), PathBuf::from)
}
