//! `weir check --fix`: the changes that diagnostics offer, made in the files.

use std::io::Write;
use std::path::Path;

use tempfile::NamedTempFile;
use weir_compiler::{Compiled, Fixed, Library};

use crate::files::{ProgramFiles, STANDARD_INPUT};
use crate::program::{Params, print, tell};

/// Makes every change that a program's diagnostics offer, says what it did, and gives back what there is to say
/// about the program now. A program on standard input is printed instead.
///
/// # Errors
/// When a file can't be read or written.
pub(crate) fn fix(path: &str, library: &Library, params: &Params) -> Result<Compiled, String> {
    let files = ProgramFiles::read(path)?;
    let Fixed { texts, changes, compiled } =
        weir_compiler::fix(&files, &files.name, library, &params.options());
    for (name, text) in &texts {
        if name != STANDARD_INPUT {
            replace(files.path_of(name), text).map_err(|error| format!("can't write {name}: {error}"))?;
        }
    }
    if path == STANDARD_INPUT {
        print(texts.get(path).unwrap_or(&files.text));
    }
    for change in changes {
        tell(format_args!("{}:{}: fixed {}: {}", change.file, change.line, change.code, change.title));
    }
    Ok(compiled)
}

/// Puts a text in the place of a file, with the file's permissions, so that nobody ever sees half of it.
pub(crate) fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    // A link stays one: what it leads to is replaced.
    let path = path.canonicalize()?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(path.metadata()?.permissions())?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(())
}
