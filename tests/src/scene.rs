//! A folder for each test.

use std::fmt::Display;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The root of the repository.
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the crate lies in the repository")
}

/// Prints a line about a scene even where the test passes, when what it would print otherwise is thrown away.
pub fn say(scene: &str, what: impl Display) {
    // a closed standard error is no reason to fail
    let _: io::Result<()> = writeln!(io::stderr(), "{scene}: {what}");
}

/// One test's name and its folder, in which its logs and files stay until its next run.
#[derive(Debug)]
pub struct Scene {
    name: String,
    folder: PathBuf,
}

impl Scene {
    /// Makes the folder anew, empty. `parent` is the calling test's `env!("CARGO_TARGET_TMPDIR")`.
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

    /// The test's name, which is also good for topics, groups and directories.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The path of something in the folder, as a word of a command line.
    pub fn path(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }
}
