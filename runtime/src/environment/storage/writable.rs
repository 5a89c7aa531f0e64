//! Whether files could be made in a directory, tried without making any that has a name.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, Mode, OFlags, access, open};
use rustix::io::{Errno, retry_on_intr};
use thiserror::Error;
use tokio::task::spawn_blocking;

use super::uninterrupted;

/// A directory in which no files can be made.
#[derive(Debug, Error)]
#[error("no file can be made in {}", path.display())]
pub struct NotWritable {
    path: PathBuf,
    source: io::Error,
}

/// Tries whether files can be made in a directory. One that is not there yet would be made: then the nearest
/// above it counts.
///
/// # Errors
/// When no file can be made there.
pub async fn probe(directory: &Path) -> Result<(), NotWritable> {
    let directory = match directory.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => directory.to_path_buf(),
    };
    // What panics or is dropped has found nothing.
    spawn_blocking(move || try_nearest(&directory)).await.unwrap_or(Ok(()))
}

fn try_nearest(directory: &Path) -> Result<(), NotWritable> {
    for path in directory.ancestors() {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let refused = |source| NotWritable { path: path.to_path_buf(), source };
        match uninterrupted(|| fs::metadata(path)) {
            Ok(found) if found.is_dir() => return try_existing(path).map_err(refused),
            Ok(_) => return Err(refused(Errno::NOTDIR.into())),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => return Err(refused(error)),
        }
    }
    Ok(())
}

/// Makes a file without a name, which goes when it is closed.
fn try_existing(directory: &Path) -> io::Result<()> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match retry_on_intr(|| open(directory, flags, Mode::RUSR | Mode::WUSR)) {
        Ok(_file) => Ok(()),
        // This file system, or the system, has no such files.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => {
            retry_on_intr(|| access(directory, Access::WRITE_OK | Access::EXEC_OK))?;
            try_with_a_name(directory)
        }
        Err(error) => Err(error.into()),
    }
}

fn try_with_a_name(directory: &Path) -> io::Result<()> {
    let path = directory.join(format!(".weir-probe-{}.tmp", std::process::id()));
    drop(OpenOptions::new().write(true).create_new(true).open(&path)?);
    uninterrupted(|| fs::remove_file(&path))
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn found(path: &Path) -> Option<String> {
        probe(path).await.err().map(|error| crate::Failure::from(error).to_string())
    }

    #[tokio::test]
    async fn a_directory_that_is_or_can_be_made_is_found_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(found(folder.path()).await, None);
        assert_eq!(found(&folder.path().join("a/b/c")).await, None);
        assert_eq!(found(Path::new("")).await, None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_file_in_the_way_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out");
        fs::write(&file, "").unwrap();
        let expected = format!("no file can be made in {}: Not a directory (os error 20)", file.display());
        assert_eq!(found(&file).await, Some(expected.clone()));
        assert_eq!(found(&file.join("below")).await, Some(expected));
    }

    #[test]
    fn where_files_have_to_have_names_one_is_made_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        try_with_a_name(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
