//! `weir lsp`: the language server for editors, on standard input and output.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use tempfile::NamedTempFile;
use weir_compiler::SourceFiles;
use weir_lsp::{Disk, Ended, RunTest, stdio};

use crate::MISUSE;
use crate::files::{imported_text, programs_below};
use crate::program::{environment, library, print_error_line};
use crate::test;

/// The arguments of `weir lsp`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Talk over standard input and output, as without this option; editors give it by custom
    #[arg(long)]
    stdio: bool,
}

/// Serves one editor. Exit status: 0 the editor has shut the server down, 1 it ended the connection otherwise, 2 misuse.
pub(crate) fn run(_arguments: &Arguments) -> ExitCode {
    let library = match library() {
        Ok(library) => library,
        Err(error) => {
            print_error_line(format_args!("weir: {error}"));
            return ExitCode::from(MISUSE);
        }
    };
    let environment: BTreeMap<String, String> = environment().collect();
    let (connection, threads) = match stdio::connect(std::io::stdin(), std::io::stdout()) {
        Ok(connected) => connected,
        Err(error) => {
            print_error_line(format_args!("weir: a thread of the language server can't be started: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let served = weir_lsp::serve(&connection, library, &FileSystem, environment);
    drop(connection);
    let ended = match served {
        Ok(ended) => ended,
        Err(error) => {
            print_error_line(format_args!("weir: the editor does not speak the protocol: {error}"));
            return ExitCode::FAILURE;
        }
    };
    let error = match ended {
        Ended::Orderly => threads.join().err(),
        Ended::Abruptly => threads.reading_error(),
    };
    if let Some(error) = &error {
        print_error_line(format_args!("weir: the connection to the editor failed: {error}"));
    }
    match ended {
        Ended::Orderly if error.is_none() => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    }
}

/// The files of this machine.
struct FileSystem;

impl SourceFiles for FileSystem {
    fn read(&self, name: &str) -> Result<String, String> {
        imported_text(name)
    }
}

impl Disk for FileSystem {
    fn programs(&self, folder: &str, most: usize) -> Vec<String> {
        let names = programs_below(folder).filter_map(|path| path.into_os_string().into_string().ok());
        names.take(most).collect()
    }

    fn entries(&self, folder: &str) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
        let names = entries.filter_map(Result::ok).filter_map(|entry| {
            let end = if entry.path().is_dir() { "/" } else { "" };
            Some(format!("{}{end}", entry.file_name().into_string().ok()?))
        });
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names
    }

    fn materialize(&self, texts: &[(&str, &str)]) -> Option<String> {
        let mut hasher = DefaultHasher::new();
        texts.hash(&mut hasher);
        let version = env!("CARGO_PKG_VERSION");
        let folder = cache()?.join(format!("weir/library-{version}-{:016x}", hasher.finish()));
        for (name, text) in texts {
            write_once(&folder.join(name), text).ok()?;
        }
        folder.into_os_string().into_string().ok()
    }

    fn test_runner(&self) -> Option<RunTest> {
        Some(test::for_editor)
    }
}

/// Returns the folder for files that can be made again.
fn cache() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")))
}

/// Writes a read-only file in one step, unless it has this text already.
fn write_once(path: &Path, text: &str) -> std::io::Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(PermissionsExt::from_mode(0o444))?;
    file.persist(path)?;
    Ok(())
}
