//! The encrypting storage on a simulated disk: the bytes that it writes, and what it reads back.

use super::*;
use crate::environment::storage::SimulatedDisk;

/// Fills buffers with 0, 1, 2, …
fn counting() -> Arc<FillRandom> {
    let next = Mutex::new(0_u8);
    Arc::new(move |bytes: &mut [u8]| {
        let mut next = next.lock().unwrap();
        for byte in bytes {
            *byte = *next;
            *next = next.wrapping_add(1);
        }
        Ok(())
    })
}

fn keys() -> Keys {
    Keys::only(Key::new([7; 32]))
}

fn made() -> (SimulatedDisk, Encrypted<SimulatedDisk>) {
    let disk = SimulatedDisk::new(1, u64::MAX);
    let storage = Encrypted::make(disk.clone(), &keys(), counting()).unwrap();
    (disk, storage)
}

fn pattern(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| (at * 31 % 251) as u8).collect()
}

/// Another implementation made these bytes. They may change only with the format's version.
#[test]
fn the_bytes_on_the_disk_are_those_of_the_format() {
    let (disk, storage) = made();
    let file = storage.create("file").unwrap();
    storage.write_at(&file, 8192, &[&[b'x'; 4096]]).unwrap();
    let keys = disk.content("keys").unwrap();
    assert_eq!(keys.len(), 4096);
    assert_eq!(keys[..512].repeat(8), keys);
    assert_eq!(hex::encode(&keys[..100]), KEYS_FILE);
    assert!(keys[100..512].iter().all(|byte| *byte == 0));
    let content = disk.content("file").unwrap();
    assert_eq!(content.len(), 4 * 4096);
    assert_eq!(content[..512].repeat(8), content[..4096]);
    assert_eq!(hex::encode(&content[..36]), FILE_HEADER);
    assert!(content[36..512].iter().all(|byte| *byte == 0));
    assert!(content[4096..12288].iter().all(|byte| *byte == 0), "sectors 0 and 1 were never written");
    assert_eq!(hex::encode(&content[12288..12320]), SECTOR_2_BEGIN);
    assert_eq!(hex::encode(&content[16352..]), SECTOR_2_END);
}

const KEYS_FILE: &str = "574549524b45595301000000000000008e11d199c3752cbec4a3e14c89deea856249271ded8414a39bfda804d73c7cdc59be343f44c0dfddb105155e1e350be54bbaf0fd734f58ecefcc52a0f5e38e6afb89361f98c13c3d343212d04200faa256d7466e";
const FILE_HEADER: &str = "57454952435259500100000000000000404142434445464748494a4b4c4d4e4ff3a73113";
const SECTOR_2_BEGIN: &str = "c462f009f8c549122db38b4ed78a2fc8c2da0c0a83a9f8ed4c05847e40560b1b";
const SECTOR_2_END: &str = "073a407bb88e827554fea47b2c676e2270032dfed07897aede316dc4e459ec66";

#[test]
fn any_range_is_read_as_it_was_written() {
    let (_disk, storage) = made();
    let file = storage.create("file").unwrap();
    let bytes = pattern(5 * SECTOR);
    let (one, rest) = bytes.split_at(100);
    let (two, three) = rest.split_at(2 * SECTOR);
    storage.write_at(&file, SECTOR as u64, &[one, two, &[], three]).unwrap();
    let whole = [vec![0; SECTOR], bytes].concat();
    assert_eq!(storage.length(&file).unwrap(), whole.len() as u64);
    for begin in [0, 1, 4095, 4096, 5000, 8191, 20_000] {
        for length in [0, 1, 16, 4095, 4096, 4097, 9000, 30_000] {
            let mut buffer = vec![0xaa; length];
            let read = storage.read_at(&file, begin, &mut buffer).unwrap();
            let begin = begin as usize;
            let expected = &whole[begin..(begin + length).min(whole.len())];
            assert!(read == expected.len() && buffer[..read] == *expected, "{begin}, {length} bytes");
        }
    }
    let mut beyond = [0; 10];
    assert_eq!(storage.read_at(&file, 1 << 30, &mut beyond).unwrap(), 0);
}

#[test]
fn a_long_write_is_encrypted_piece_by_piece() {
    let (_disk, storage) = made();
    let file = storage.create("file").unwrap();
    let bytes = pattern(3 * CHUNK - SECTOR);
    let parts: Vec<&[u8]> = bytes.chunks(100_003).collect();
    storage.write_at(&file, 0, &parts).unwrap();
    let mut read = vec![0; bytes.len()];
    assert_eq!(storage.read_at(&file, 0, &mut read).unwrap(), bytes.len());
    assert!(read == bytes);
    assert!(storage.buffer.lock().unwrap().capacity() <= CHUNK);
}

#[test]
fn equal_sectors_look_different_everywhere() {
    let (disk, storage) = made();
    for name in ["one", "two"] {
        let file = storage.create(name).unwrap();
        storage.write_at(&file, 0, &[&[5; 2 * SECTOR]]).unwrap();
    }
    let sectors = ["one", "two"].map(|name| disk.content(name).unwrap()[SECTOR..].to_vec()).concat();
    let different: std::collections::BTreeSet<_> = sectors.chunks(16).collect();
    assert_eq!(different.len(), 4 * SECTOR / 16);
}

#[test]
fn parts_of_sectors_are_refused() {
    let (_disk, storage) = made();
    let file = storage.create("file").unwrap();
    for (offset, length) in [(0, 100), (100, SECTOR), (4096, SECTOR + 1)] {
        let refused = storage.write_at(&file, offset, &[&vec![1; length]]).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidInput);
    }
}

#[test]
fn a_new_file_that_a_crash_has_cut_short_is_empty() {
    let (disk, storage) = made();
    for length in [0, 100, 4096] {
        let name = format!("file{length}");
        let bare = disk.create(&name).unwrap();
        disk.write_at(&bare, 0, &[&vec![0xee; length]]).unwrap();
        let file = storage.open(&name, Access::Read).unwrap();
        assert_eq!(storage.length(&file).unwrap(), 0);
        assert_eq!(storage.read_at(&file, 0, &mut [0; 10]).unwrap(), 0);
        let file = storage.open(&name, Access::Write).unwrap();
        storage.write_at(&file, 0, &[&[9; SECTOR]]).unwrap();
        let file = storage.open(&name, Access::Read).unwrap();
        let mut read = [0; SECTOR];
        assert_eq!(storage.read_at(&file, 0, &mut read).unwrap(), SECTOR);
        assert_eq!(read, [9; SECTOR]);
    }
}

#[test]
fn a_file_that_cannot_be_made_leaves_no_name() {
    let (disk, storage) = made();
    disk.plan(Some(crate::environment::storage::Call::Sync), 0, crate::environment::storage::Fault::Fail);
    assert!(storage.create("file").is_err());
    assert_eq!(disk.take_fired().len(), 1);
    assert_eq!(storage.list().unwrap(), Vec::<String>::new());
    assert_eq!(disk.list().unwrap(), ["keys"]);
}

#[test]
fn a_later_version_is_distinguished_from_damage() {
    let (disk, storage) = made();
    drop(storage.create("file").unwrap());
    let mut content = disk.content("file").unwrap()[..CONTENT].to_vec();
    content[8] = 2;
    let file = disk.open("file", Access::Write).unwrap();
    disk.write_at(&file, 0, &[&copies::page(&content)]).unwrap();
    let refused = storage.open("file", Access::Read).map(drop).unwrap_err();
    assert_eq!(refused.to_string(), "it is encrypted in version 2 of the format, this weir knows 1");
}

#[test]
fn keys_are_read_in_two_forms_and_not_shown() {
    let digits = "00112233445566778899aabbccddeeff00112233445566778899AABBCCDDEEFF";
    let one = Key::parse(&format!(" {digits}\n")).unwrap();
    let two = Key::parse("ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8=").unwrap();
    let three = Key::parse("ABEiM0RVZneImaq7zN3u/wARIjNEVWZ3iJmqu8zd7v8").unwrap();
    let shown = format!("{one:?}");
    assert_eq!([format!("{two:?}"), format!("{three:?}")], [shown.clone(), shown.clone()]);
    assert!(!shown.contains("0011") && shown.len() == "Key(0123456789abcdef)".len(), "{shown}");
    for wrong in ["", "swordfish", &digits[1..], "ABEiM0RVZneImaq7zN3u/w=="] {
        assert_eq!(Key::parse(wrong).unwrap_err(), InvalidKey);
    }
}
