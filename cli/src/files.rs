//! The files of programs: the files and folders on the command line, imported files, and standard input.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};
use weir_compiler::{SourceFiles, normalized_path};

/// The name of a program on standard input.
pub(crate) const STANDARD_INPUT: &str = "-";

/// The largest file that is read: the language's limit for a file.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Parses the path of a program on the command line. Diagnostics and plans have names as text, so it has to be UTF-8.
pub(crate) fn program_path() -> impl TypedValueParser<Value = String> {
    OsStringValueParser::new().try_map(|path| {
        path.into_string().map_err(|_path| {
            "the name is not UTF-8. Give the file another name, or `-` and the file as standard input, with --name for the \
             program's name"
        })
    })
}

/// A program's first file, which is read once, and access to the files that it imports.
pub(crate) struct ProgramFiles {
    /// The name that diagnostics show: the normalised path, without `./` and the like.
    pub(crate) name: String,
    /// The text of the first file.
    pub(crate) text: String,
    /// The first file's path as the user wrote it. Behind a symbolic link, `..` in it leads to another folder than in the
    /// normalised path.
    path: PathBuf,
}

impl ProgramFiles {
    /// Reads the first file.
    ///
    /// # Errors
    /// A message that names the file and says why it can't be read.
    pub(crate) fn read(path: &str) -> Result<ProgramFiles, String> {
        let text = match path {
            STANDARD_INPUT => read_bounded(io::stdin().lock()),
            _ => File::open(path).and_then(read_bounded),
        };
        let text = text.map_err(|error| format!("can't read {path}: {}", reason(&error)))?;
        Ok(ProgramFiles { name: normalized_path(path), text, path: PathBuf::from(path) })
    }

    /// Returns the path of the file with this name.
    pub(crate) fn path_of<'p>(&'p self, name: &'p str) -> &'p Path {
        if name == self.name { &self.path } else { Path::new(name) }
    }
}

impl SourceFiles for ProgramFiles {
    fn read(&self, name: &str) -> Result<String, String> {
        if name == self.name {
            return Ok(self.text.clone());
        }
        imported_text(name)
    }
}

/// Reads an imported file.
///
/// # Errors
/// The reason why the file can't be read, in the words of diagnostics.
pub(crate) fn imported_text(name: &str) -> Result<String, String> {
    read_imported(Path::new(name)).map_err(|error| reason(&error))
}

/// Iterates over the `.flow` files of a folder and its subfolders, without folders that can't be read and hidden ones.
pub(crate) fn programs_below(folder: &str) -> impl Iterator<Item = PathBuf> {
    let is_shown = |entry: &walkdir::DirEntry| {
        entry.depth() == 0 || !entry.file_name().as_encoded_bytes().starts_with(b".")
    };
    let entries = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().filter_entry(is_shown);
    let paths = entries.filter_map(Result::ok).map(walkdir::DirEntry::into_path);
    paths.filter(|path| path.extension().is_some_and(|end| end == "flow") && path.is_file())
}

/// Reads an imported file. Pipes and devices are refused, since reading one might never end.
fn read_imported(path: &Path) -> io::Result<String> {
    let metadata = path.metadata()?;
    if metadata.is_dir() {
        return Err(ErrorKind::IsADirectory.into());
    }
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    read_bounded(File::open(path)?)
}

/// Reads a text of at most `FILE_BYTES_MAX` to its end.
fn read_bounded(mut reader: impl Read) -> io::Result<String> {
    let mut text = String::new();
    reader.by_ref().take(FILE_BYTES_MAX + 1).read_to_string(&mut text)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!("it has more than {} MiB", FILE_BYTES_MAX >> 20)));
    }
    Ok(text)
}

/// Says why a file can't be read, in the words of diagnostics.
fn reason(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "no such file".to_owned(),
        ErrorKind::PermissionDenied => "permission denied".to_owned(),
        ErrorKind::IsADirectory => "it is a folder".to_owned(),
        ErrorKind::NotADirectory => "a part of its path is not a folder".to_owned(),
        ErrorKind::InvalidData => "it is not UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

/// Lists the programs that these files, folders and `-` stand for, without duplicates.
///
/// # Errors
/// When a file or folder does not exist, or a folder has no program.
pub(crate) fn programs_in(paths: &[String]) -> Result<Vec<String>, String> {
    let mut seen = HashSet::new();
    let mut programs = Vec::new();
    for path in paths {
        programs.extend(files_in(path)?);
    }
    programs.retain(|program| seen.insert(normalized_path(program)));
    Ok(programs)
}

/// Lists the `.flow` files of a folder and its subfolders; for a file, returns the file itself.
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
        // A link to a program counts as a program. Links to folders are not followed, since they may form a circle.
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
