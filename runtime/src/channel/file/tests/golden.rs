//! A directory that an earlier Weir has left: every later one must be able to go on with it.
//!
//! `GOLDEN=write` makes one of the present version, whose folder must then be committed. A folder that is
//! there is never changed.

use std::path::{Path, PathBuf};

use super::*;

const SEGMENT: &str = "0000000000000000.segment";

fn golden(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(version)
}

fn golden_options(path: &Path) -> FileChannelOptions {
    let limits = Limits { byte_capacity: 1 << 20, ..options(path).limits };
    FileChannelOptions { limits, ..options(path) }
}

/// Three puts, one in each form of compression; the second is acknowledged.
async fn make(folder: &Path) {
    for (round, compression) in
        [Compression::None, Compression::Lz4, Compression::Zstd].into_iter().enumerate()
    {
        let mut open = open(FileChannelOptions { compression, ..golden_options(folder) }).await;
        let begin = round as u64 * 100;
        open.put_durably(begin..begin + 100).await;
        if round == 1 {
            let (first, second) = (open.lease().await, open.lease().await);
            assert_eq!(bodies(&second), numbers(100..200));
            second.acknowledgement.done();
            drop(first);
        }
        open.channel.shut().await.unwrap();
    }
}

/// The files without the zeros at their ends, which the segment's header makes up for.
fn store(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for name in ["superblock", SEGMENT] {
        let mut bytes = std::fs::read(from.join(name)).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        bytes.truncate(end);
        std::fs::write(to.join(name), bytes).unwrap();
    }
}

fn restore(from: &Path, to: &Path) {
    for name in ["superblock", SEGMENT] {
        std::fs::copy(from.join(name), to.join(name)).unwrap();
    }
    let segment = std::fs::OpenOptions::new().write(true).open(to.join(SEGMENT)).unwrap();
    segment.set_len(64 << 10).unwrap();
    let superblock = std::fs::OpenOptions::new().write(true).open(to.join("superblock")).unwrap();
    superblock.set_len(2 << 12).unwrap();
}

#[tokio::test]
async fn a_channel_of_version_1_is_gone_on_with() {
    let folder = tempfile::tempdir().unwrap();
    if std::env::var("GOLDEN").is_ok_and(|wish| wish == "write") && !golden("v1").exists() {
        let made = tempfile::tempdir().unwrap();
        make(made.path()).await;
        store(made.path(), &golden("v1"));
    }
    restore(&golden("v1"), folder.path());
    let verified = verify(folder.path(), None).unwrap();
    assert!(verified.damages.is_empty(), "{verified}");
    let mut open = open(golden_options(folder.path())).await;
    assert_eq!(open.channel.stored("in"), Some(BTreeMap::from([(Partition::new("p"), 300)])));
    for expected in [0..100, 200..300] {
        let lease = open.lease().await;
        assert_eq!(bodies(&lease), numbers(expected));
        lease.acknowledgement.done();
    }
    open.put_durably(300..310).await;
    assert_eq!(bodies(&open.lease().await), numbers(300..310));
}
