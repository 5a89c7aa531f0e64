//! The files of programs: what is on the command line, what those import, and standard input.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use weir_compiler::{SourceFiles, normalized_path};

/// The name of a program on standard input.
pub(crate) const STANDARD_INPUT: &str = "-";

/// The largest file that is read, as large as the language allows one to be.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// A program's first file, which is read once, and the way to those that it imports.
pub(crate) struct ProgramFiles {
    /// The name that diagnostics show, without what says nothing, such as `./`.
    pub(crate) name: String,
    /// The text of the first file.
    pub(crate) text: String,
    /// The first file as it was asked for: behind a link, `..` leads elsewhere than its name says.
    path: PathBuf,
}

impl ProgramFiles {
    /// Reads the first file.
    ///
    /// # Errors
    /// Which file can't be read, and why.
    pub(crate) fn read(path: &str) -> Result<ProgramFiles, String> {
        let text = match path {
            STANDARD_INPUT => bounded(io::stdin().lock()),
            _ => File::open(path).and_then(bounded),
        };
        let text = text.map_err(|error| format!("can't read {path}: {}", reason(&error)))?;
        Ok(ProgramFiles { name: normalized_path(path), text, path: PathBuf::from(path) })
    }

    /// Where the file with this name lies.
    pub(crate) fn path_of<'p>(&'p self, name: &'p str) -> &'p Path {
        if name == self.name { &self.path } else { Path::new(name) }
    }
}

impl SourceFiles for ProgramFiles {
    fn read(&self, name: &str) -> Result<String, String> {
        if name == self.name {
            return Ok(self.text.clone());
        }
        imported(Path::new(name)).map_err(|error| reason(&error))
    }
}

/// The text of an imported file. A pipe or a device, which might never end, is none.
fn imported(path: &Path) -> io::Result<String> {
    let metadata = path.metadata()?;
    if metadata.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    bounded(File::open(path)?)
}

/// All that there is to read, if that is a text of a size that can be one.
fn bounded(mut reader: impl Read) -> io::Result<String> {
    let mut text = String::new();
    reader.by_ref().take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    Ok(text)
}

/// Why a file can't be read, in the words of diagnostics.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such file".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::IsADirectory => "it is a folder".to_owned(),
        ErrorKind::NotADirectory => "what stands before its name is no folder".to_owned(),
        ErrorKind::InvalidData => "it is not UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

/// The programs that are meant by files, folders and `-`, each once.
///
/// # Errors
/// When there is no such file or folder, or no program in it.
pub(crate) fn programs_in(paths: &[String]) -> Result<Vec<String>, String> {
    let mut seen = HashSet::new();
    let mut programs = Vec::new();
    for path in paths {
        programs.extend(files_in(path)?);
    }
    programs.retain(|program| seen.insert(normalized_path(program)));
    Ok(programs)
}

/// The `.flow` files of a folder and of the folders in it, or the file itself.
fn files_in(path: &str) -> Result<Vec<String>, String> {
    let cannot = |error: &io::Error| format!("can't read {path}: {}", reason(error));
    let is_folder =
        path != STANDARD_INPUT && Path::new(path).metadata().map_err(|error| cannot(&error))?.is_dir();
    if !is_folder {
        return Ok(vec![path.to_owned()]);
    }
    let mut programs = Vec::new();
    for entry in walkdir::WalkDir::new(path).sort_by_file_name() {
        let path = entry.map_err(|error| error.to_string())?.into_path();
        // A link to a program is one; what a link to a folder holds is not walked, it might lead back.
        if path.extension().is_some_and(|end| end == "flow") && path.is_file() {
            let path = path.into_os_string().into_string();
            programs
                .push(path.map_err(|path| format!("the name of {} is not UTF-8", path.to_string_lossy()))?);
        }
    }
    if programs.is_empty() {
        return Err(format!("there is no .flow file in {path}"));
    }
    Ok(programs)
}
