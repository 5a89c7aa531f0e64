//! Checks whether files can be created in a directory, without leaving one there.

use std::fs::{self, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use rustix::fs::{Access, Mode, OFlags, access, open};
use rustix::io::{Errno, retry_on_intr};
use thiserror::Error;
use tokio::task::spawn_blocking;

use super::uninterrupted;
use crate::failure::Failure;

/// A directory in which no file can be created.
#[derive(Debug, Error)]
#[error("no file can be made in {}", path.display())]
pub struct NotWritable {
    path: PathBuf,
    source: io::Error,
    /// Whether the path is a link that leads nowhere.
    is_dangling: bool,
}

impl NotWritable {
    /// What it means for who needs the directory: a link that leads nowhere is a mistake, whatever else the system refuses
    /// may pass.
    pub fn into_failure(self) -> Failure {
        match self.is_dangling {
            true => Failure::permanent(self),
            false => Failure::from(self),
        }
    }
}

/// Checks whether files can be created in a directory. If the directory does not exist, its nearest existing parent
/// is checked, since the directory would be created there.
///
/// # Errors
/// When no file can be created.
pub async fn probe(directory: &Path) -> Result<(), NotWritable> {
    let directory = match directory.as_os_str().is_empty() {
        true => PathBuf::from("."),
        false => directory.to_path_buf(),
    };
    // If the check panics or is cancelled, it has found no fault.
    spawn_blocking(move || try_nearest(&directory)).await.unwrap_or(Ok(()))
}

fn try_nearest(directory: &Path) -> Result<(), NotWritable> {
    for path in directory.ancestors() {
        let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
        let refused = |source| NotWritable { path: path.to_path_buf(), source, is_dangling: false };
        match uninterrupted(|| fs::metadata(path)) {
            Ok(found) if found.is_dir() => return try_nameless_file(path).map_err(refused),
            Ok(_) => return Err(refused(Errno::NOTDIR.into())),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
                // Nothing can be made under a name that a link has.
                if let Ok(target) = fs::read_link(path) {
                    let what = format!("it is a symbolic link to {}, which is not there", target.display());
                    let source = io::Error::new(error.kind(), what);
                    return Err(NotWritable { is_dangling: true, ..refused(source) });
                }
            }
            Err(error) => return Err(refused(error)),
        }
    }
    Ok(())
}

/// Creates a file without a name, which is removed when it is closed.
fn try_nameless_file(directory: &Path) -> io::Result<()> {
    let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
    match retry_on_intr(|| open(directory, flags, Mode::RUSR | Mode::WUSR)) {
        Ok(_file) => Ok(()),
        // The file system or the kernel does not support files without a name.
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => {
            retry_on_intr(|| access(directory, Access::WRITE_OK | Access::EXEC_OK))?;
            try_named_file(directory)
        }
        Err(error) => Err(error.into()),
    }
}

fn try_named_file(directory: &Path) -> io::Result<()> {
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
    async fn a_directory_that_exists_or_can_be_made_passes_and_no_file_is_left() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(found(folder.path()).await, None);
        assert_eq!(found(&folder.path().join("a/b/c")).await, None);
        assert_eq!(found(Path::new("")).await, None);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_file_in_the_place_of_the_directory_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("out");
        fs::write(&file, "").unwrap();
        let expected = format!("no file can be made in {}: Not a directory (os error 20)", file.display());
        assert_eq!(found(&file).await, Some(expected.clone()));
        assert_eq!(found(&file.join("below")).await, Some(expected));
    }

    #[tokio::test]
    async fn a_link_that_leads_nowhere_is_a_mistake() {
        let folder = tempfile::tempdir().unwrap();
        let (link, nowhere) = (folder.path().join("link"), folder.path().join("nowhere"));
        std::os::unix::fs::symlink(&nowhere, &link).unwrap();
        for path in [link.clone(), link.join("below")] {
            let failure = probe(&path).await.unwrap_err().into_failure();
            assert!(failure.is_permanent(), "{failure}");
            let says = format!("it is a symbolic link to {}, which is not there", nowhere.display());
            assert!(failure.to_string().contains(&says), "{failure}");
        }
        fs::create_dir(&nowhere).unwrap();
        assert_eq!(found(&link.join("below")).await, None);
    }

    #[test]
    fn a_file_with_a_name_is_made_and_removed_where_nameless_ones_cannot_be_made() {
        let folder = tempfile::tempdir().unwrap();
        try_named_file(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
