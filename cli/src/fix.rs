//! `weir check --fix`: applies the fixes that diagnostics offer to the files.

use std::io::Write;
use std::path::Path;

use tempfile::NamedTempFile;
use weir_compiler::{Analysis, Fixed, Library};

use crate::files::{ProgramFiles, STANDARD_INPUT};
use crate::program::{Params, print, print_error_line};

/// Applies every fix that a program's diagnostics offer, reports each, and returns the result of compiling the fixed
/// program. A program on standard input is printed instead of written.
///
/// # Errors
/// When a file can't be read or written.
pub(crate) fn fix(path: &str, library: &Library, params: &Params) -> Result<Analysis, String> {
    let files = ProgramFiles::read(path)?;
    let Fixed { texts, changes, analysis } =
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
        print_error_line(format_args!(
            "{}:{}: fixed {}: {}",
            change.file, change.line, change.code, change.title
        ));
    }
    Ok(analysis)
}

/// Replaces a file's text in one step, so that no reader sees a part of it. The permissions stay the same.
pub(crate) fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    // If the path is a link, its target is replaced and the link stays.
    let path = path.canonicalize()?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(text.as_bytes())?;
    file.as_file().set_permissions(path.metadata()?.permissions())?;
    file.as_file().sync_all()?;
    file.persist(&path)?;
    Ok(())
}
