//! The folder of a test.

use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Returns the root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository")
}

/// Prints a line about a scene. Unlike with `eprintln!`, the line is shown even if the test passes.
pub fn print_line(scene: &str, text: impl Display) {
    // a closed standard error is no reason to fail
    let _: io::Result<()> = writeln!(io::stderr(), "{scene}: {text}");
}

/// The name and the folder of one test. The folder's logs and files stay until the next run of the test.
#[derive(Debug)]
pub struct Scene {
    name: String,
    folder: PathBuf,
}

impl Scene {
    /// Creates an empty folder; deletes an earlier one. `parent` is the calling test's `env!("CARGO_TARGET_TMPDIR")`.
    pub fn new(parent: &str, name: &str) -> Scene {
        let folder = Path::new(parent).join(name);
        if folder.exists() {
            fs::remove_dir_all(&folder)
                .unwrap_or_else(|error| panic!("can't empty {}: {error}", folder.display()));
        }
        fs::create_dir_all(&folder)
            .unwrap_or_else(|error| panic!("can't make {}: {error}", folder.display()));
        Scene { name: name.to_owned(), folder }
    }

    /// Returns the test's name, which is also a valid name for topics, groups and directories.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the path of a file in the folder, for a command line.
    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}
