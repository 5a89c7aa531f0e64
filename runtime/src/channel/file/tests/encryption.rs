//! Encrypted channels on a real directory.

use std::path::Path;

use super::*;
use crate::environment::storage::{Encrypted, Key, Keys};

fn key(byte: u8) -> Keys {
    Keys::only(Key::new([byte; 32]))
}

fn encrypted(folder: &Path, keys: Keys) -> FileChannel<Encrypted<Directory>> {
    FileChannel::encrypted(options(folder), keys).unwrap()
}

/// Fills a channel with ten events and shuts it down.
async fn filled(folder: &Path, keys: Keys) {
    let open = opened(encrypted(folder, keys)).await;
    open.put_durably(0..10).await;
    open.channel.shut().await.unwrap();
}

fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    // The lock's note, which names the process that uses the directory, is not encrypted.
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries
        .filter(|entry| entry.file_name() != "lock")
        .map(|entry| (entry.file_name().into_string().unwrap(), std::fs::read(entry.path()).unwrap()))
        .collect()
}

#[tokio::test]
async fn nothing_that_was_put_can_be_read_on_the_disk() {
    const MARKER: &str = "a secret that nobody may read";
    // A text that would be found if the files were not encrypted.
    let words = [MARKER.as_bytes(), b"WEIRSEGM", b"WEIRSUPR", b"test/buffer", b"BinaryView", b"sink"];
    let found = |folder: &Path| {
        let files = files(folder);
        words.map(|word| files.iter().any(|(_, bytes)| memchr::memmem::find(bytes, word).is_some()))
    };
    let (plain, secret) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    async fn fill<S: Storage>(channel: FileChannel<S>) {
        let open = opened(channel).await;
        for round in 0..50 {
            let bodies = BinaryViewArray::from_iter_values((0..100).map(|row| format!("{MARKER} {row}")));
            let origins = Origins::one(Partition::new("p"), round * 100, round * 100 + 100);
            let batch = Batch::new(schema(), vec![bodies.into()], 100, origins).unwrap();
            let transaction = open.channel.reserve(Fill::of(&batch)).await.unwrap();
            transaction.commit(&open.scope, batch, Acknowledgement::unobserved()).unwrap();
        }
        open.channel.shut().await.unwrap();
    }
    fill(FileChannel::new(options(plain.path())).unwrap()).await;
    fill(encrypted(secret.path(), key(1))).await;
    assert_eq!(found(plain.path()), [true; 6]);
    assert_eq!(found(secret.path()), [false; 6]);
    let mut open = opened(encrypted(secret.path(), key(1))).await;
    let lease = open.lease().await;
    assert_eq!(lease.batch.bodies().unwrap().value(7), format!("{MARKER} 7").as_bytes());
}

#[tokio::test]
async fn another_master_key_takes_over_and_the_former_one_can_go() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), key(1)).await;
    let keys_of = |folder: &Path| std::fs::read(folder.join("keys")).unwrap();
    let before = keys_of(folder.path());
    let both = Keys { key: Key::new([2; 32]), former: vec![Key::new([3; 32]), Key::new([1; 32])] };
    let open = opened(encrypted(folder.path(), both)).await;
    open.put_durably(10..20).await;
    open.channel.shut().await.unwrap();
    drop(open);
    assert!(keys_of(folder.path()) != before, "the data key is wrapped by the new key");
    assert!(!folder.path().join("keys.new").exists());
    let mut open = opened(encrypted(folder.path(), key(2))).await;
    let (one, two) = (open.lease().await, open.lease().await);
    assert_eq!([bodies(&one), bodies(&two)], [numbers(0..10), numbers(10..20)]);
    drop((one, two));
    drop(open);
    insta::assert_snapshot!(refusal(encrypted(folder.path(), key(1))).await, @"DIR: the key does not fit: it was encrypted with another one (named 5ffff7ba9d8f286d, this one is b52ab81221edcb47); nothing was changed: give it that key, or list that key in `former` beside the new one");
}

#[tokio::test]
async fn a_missing_or_superfluous_key_is_reported() {
    let (plain, secret) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let open = open(options(plain.path())).await;
    open.put_durably(0..10).await;
    drop(open);
    filled(secret.path(), key(1)).await;
    insta::assert_snapshot!(refusal(encrypted(plain.path(), key(1))).await, @"DIR holds a channel that is not encrypted, and a key is given; nothing was changed: let the channel be drained without `encrypt`, or give the encrypted one a directory of its own");
    insta::assert_snapshot!(refusal(FileChannel::new(options(secret.path())).unwrap()).await, @"DIR is encrypted, and no key is given; nothing was changed: give the channel its key with `encrypt`, and `weir channel` with `--key-file`");
    let tool = inspect(secret.path(), None).unwrap_err().to_string();
    assert!(tool.ends_with("and `weir channel` with `--key-file`"), "{tool}");
    let empty = tempfile::tempdir().unwrap();
    assert!(inspect(empty.path(), Some(&key(1))).is_err());
    assert_eq!(files(empty.path()).len(), 0, "a tool makes no keys");
}

#[tokio::test]
async fn damaged_or_missing_keys_are_reported() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), key(1)).await;
    let keys = std::fs::read(folder.path().join("keys")).unwrap();
    // Damages seven of the eight copies.
    change(folder.path(), "keys", |bytes| bytes[..7 * 512].fill(0xff));
    assert_eq!(inspect(folder.path(), Some(&key(1))).unwrap().held_events, 10);
    change(folder.path(), "keys", |bytes| bytes[7 * 512 + 40] ^= 1);
    insta::assert_snapshot!(refusal(encrypted(folder.path(), key(1))).await, @"DIR: the file keys is damaged; nothing was changed: bring that file back from a backup, without it nothing here can be read");
    std::fs::remove_file(folder.path().join("keys")).unwrap();
    insta::assert_snapshot!(refusal(encrypted(folder.path(), key(1))).await, @"DIR is encrypted, and its file `keys` is missing; nothing was changed: bring that file back from a backup, without it nothing here can be read");
    let without = refusal(FileChannel::new(options(folder.path())).unwrap()).await;
    assert!(without.starts_with("DIR is encrypted, and its file `keys` is missing"), "{without}");
    std::fs::write(folder.path().join("keys"), keys).unwrap();
    assert_eq!(inspect(folder.path(), Some(&key(1))).unwrap().held_events, 10, "nothing was changed");
}

#[tokio::test]
async fn a_flipped_bit_is_reported_with_its_place_and_repaired_around() {
    let folder = tempfile::tempdir().unwrap();
    let open = opened(encrypted(folder.path(), key(1))).await;
    for round in 0..5 {
        open.put_durably(round * 10..round * 10 + 10).await;
    }
    open.channel.shut().await.unwrap();
    drop(open);
    let segment = segment::segment_name(0);
    let verification = verify(folder.path(), Some(&key(1))).unwrap();
    assert_eq!((verification.events, verification.damages.len()), (50, 0));
    // Page 3 of the log is page 4 of the file: a put, after the header and a checkpoint.
    change(folder.path(), &segment, |bytes| bytes[4 * 4096 + 70] ^= 1);
    let damages = verify(folder.path(), Some(&key(1))).unwrap().damages;
    let places: Vec<_> = damages.iter().map(|damage| (damage.file.as_str(), damage.offset)).collect();
    assert_eq!(places, [(segment.as_str(), 3 * 4096)]);
    let repair = repair(folder.path(), Some(&key(1))).unwrap();
    assert_eq!((repair.lost_events, repair.kept_events), (10, 40));
    assert_eq!(verify(folder.path(), Some(&key(1))).unwrap().damages, []);
    let forgotten = forget_reader(folder.path(), Some(&key(1)), "sink").unwrap();
    assert_eq!((forgotten.freed_events, forgotten.held_events), (0, 40));
}

#[tokio::test]
async fn a_file_whose_first_page_is_lost_is_damaged_and_not_empty() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path(), key(1)).await;
    change(folder.path(), &segment::segment_name(0), |bytes| bytes[..4096].fill(0));
    let refused = refusal(encrypted(folder.path(), key(1))).await;
    insta::assert_snapshot!(refused, @"DIR: 0000000000000000.segment, byte 0: the page that says how it is encrypted can't be read; nothing was changed or skipped. None of its segments has a header that can be read, so a repair would keep nothing: put a copy of the directory back, or remove DIR to begin with an empty channel, after which what waited in it is lost");
    let damages = verify(folder.path(), Some(&key(1))).unwrap().damages;
    assert_eq!(damages[0].file, segment::segment_name(0));
}
