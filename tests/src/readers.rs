//! Readers of files that have nothing to do with Weir: `tests/readers/read.py`, with the Python that
//! `tests/install` makes.

use std::env;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::repository;
use crate::weir::output_of;

/// The rows of a file, each as a JSON object, as others read it.
pub fn read_by_others(format: &str, file: &Path) -> Vec<Value> {
    let python = readers().join("bin/python");
    assert!(python.exists(), "{} is not there: tests/install makes it", python.display());
    let script = repository().join("tests/readers/read.py");
    let output = output_of(
        python.to_str().expect("the folder's name is text"),
        &[script.as_os_str(), format.as_ref(), file.as_os_str()],
    );
    let text = String::from_utf8(output).expect("JSON is text");
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("read.py wrote: {line}"));
    text.lines().map(parse).collect()
}

/// Where that Python is.
fn readers() -> PathBuf {
    let cache = || match env::var_os("XDG_CACHE_HOME") {
        Some(cache) => PathBuf::from(cache),
        None => PathBuf::from(env::var_os("HOME").unwrap_or_else(|| "/tmp".into())).join(".cache"),
    };
    env::var_os("WEIR_READERS").map_or_else(|| cache().join("weir-readers"), PathBuf::from)
}
