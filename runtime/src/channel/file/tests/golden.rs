//! Directories that earlier versions of Weir have left: every later version has to be able to continue them.
//!
//! `GOLDEN=write` makes the missing directories of the present version, which then have to be committed. A
//! directory that exists is never changed.

use std::path::{Path, PathBuf};

use super::*;
use crate::environment::storage::{Key, Keys};

const SEGMENT: &str = "0000000000000000.segment";
/// The lengths of the segment's file and of the superblock's file.
const SEGMENT_BYTES: u64 = 64 << 10;
const SUPERBLOCK_BYTES: u64 = 8 << 10;
/// The bytes of an encrypted file's first page.
const ENCRYPTION_BYTES: u64 = 4 << 10;

/// How the channel of a directory ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Left {
    /// Shut down.
    Closed,
    /// The agent was killed.
    Killed,
}

fn golden(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(version)
}

fn golden_options(path: &Path) -> FileChannelOptions {
    let limits = Limits { byte_capacity: 1 << 20, ..options(path).limits };
    FileChannelOptions { limits, ..options(path) }
}

fn keys() -> Keys {
    Keys::only(Key::new([7; 32]))
}

/// Puts three batches, one with each compression, and acknowledges the second.
async fn make<S: Storage>(
    folder: &Path,
    to: &Path,
    left: Left,
    channel: impl Fn(FileChannelOptions) -> FileChannel<S>,
) {
    for (round, compression) in
        [Compression::None, Compression::Lz4, Compression::Zstd].into_iter().enumerate()
    {
        let options = FileChannelOptions { compression, ..golden_options(folder) };
        let mut open = opened(channel(options)).await;
        let begin = round as u64 * 100;
        open.put_durably(begin..begin + 100).await;
        if round == 1 {
            let (first, second) = (open.lease().await, open.lease().await);
            assert_eq!(bodies(&second), numbers(100..200));
            second.acknowledgement.done();
            drop(first);
        }
        if left == Left::Killed && round == 2 {
            return store(folder, to);
        }
        open.channel.shut().await.unwrap();
    }
    store(folder, to);
}

/// Copies the files without the zeros at their ends, which `restore` appends again.
fn store(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for name in ["superblock", SEGMENT, "keys"] {
        let Ok(mut bytes) = std::fs::read(from.join(name)) else { continue };
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(end);
        std::fs::write(to.join(name), bytes).unwrap();
    }
}

fn restore(from: &Path, to: &Path) {
    let encrypted = from.join("keys").exists();
    let page = if encrypted { ENCRYPTION_BYTES } else { 0 };
    let files = [("superblock", SUPERBLOCK_BYTES + page), (SEGMENT, SEGMENT_BYTES + page), ("keys", 4 << 10)];
    for (name, length) in files {
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.join(name)).unwrap();
            let file = std::fs::OpenOptions::new().write(true).open(to.join(name)).unwrap();
            file.set_len(length).unwrap();
        }
    }
}

/// Makes the directory if this is requested, and continues the channel in a copy of it.
async fn continue_channel<S: Storage>(
    version: &str,
    left: Left,
    keys: Option<&Keys>,
    channel: impl Fn(FileChannelOptions) -> FileChannel<S>,
) {
    if std::env::var("GOLDEN").is_ok_and(|wish| wish == "write") && !golden(version).exists() {
        let made = tempfile::tempdir().unwrap();
        make(made.path(), &golden(version), left, &channel).await;
    }
    let folder = tempfile::tempdir().unwrap();
    restore(&golden(version), folder.path());
    let verified = verify(folder.path(), keys).unwrap();
    assert!(verified.damages.is_empty(), "{version}: {verified}");
    assert_eq!(inspect(folder.path(), keys).unwrap().closed, left == Left::Closed);
    // Twice, since the first opening may convert the directory.
    for _ in 0..2 {
        let mut open = opened(channel(golden_options(folder.path()))).await;
        assert_eq!(open.channel.stored("in"), Some(BTreeMap::from([(Partition::new("p"), 300)])));
        let leases = [open.lease().await, open.lease().await];
        assert_eq!(leases.each_ref().map(bodies), [numbers(0..100), numbers(200..300)], "{version}");
        drop(leases);
        open.channel.shut().await.unwrap();
    }
    let mut open = opened(channel(golden_options(folder.path()))).await;
    for expected in [0..100, 200..300] {
        let lease = open.lease().await;
        assert_eq!(bodies(&lease), numbers(expected));
        lease.acknowledgement.done();
    }
    open.put_durably(300..310).await;
    assert_eq!(bodies(&open.lease().await), numbers(300..310));
    open.channel.shut().await.unwrap();
    drop(open);
    let verified = verify(folder.path(), keys).unwrap();
    assert!(verified.damages.is_empty(), "{version}: {verified}");
}

async fn continue_all_channels(version: &str) {
    let plain = |options| FileChannel::new(options).unwrap();
    let secret = |options| FileChannel::encrypted(options, keys()).unwrap();
    continue_channel(version, Left::Closed, None, plain).await;
    continue_channel(&format!("{version}-killed"), Left::Killed, None, plain).await;
    continue_channel(&format!("{version}-encrypted"), Left::Closed, Some(&keys()), secret).await;
    continue_channel(&format!("{version}-encrypted-killed"), Left::Killed, Some(&keys()), secret).await;
}

#[tokio::test]
async fn channels_of_version_1_can_be_continued() {
    continue_all_channels("v1").await;
}

#[tokio::test]
async fn channels_of_version_2_can_be_continued() {
    continue_all_channels("v2").await;
}
