//! Pages that must not be lost to one bad sector: eight copies of 512 bytes, each with its checksum.

use super::SECTOR;

/// The sector of a disk, as small as there are.
const COPY: usize = 512;
/// What a copy holds besides its checksum and zeros.
pub(super) const CONTENT_MAX: usize = COPY - 4;

fn checksum(bytes: &[u8]) -> [u8; 4] {
    (crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32).to_le_bytes()
}

/// A page of copies of this content.
pub(super) fn page(content: &[u8]) -> Vec<u8> {
    debug_assert!(content.len() <= CONTENT_MAX);
    let mut copy = content.to_vec();
    copy.extend_from_slice(&checksum(content));
    copy.resize(COPY, 0);
    copy.repeat(SECTOR / COPY)
}

/// The content of so many bytes in the first copy that is whole and begins with this magic.
pub(super) fn first_whole<'a>(page: &'a [u8], magic: &[u8], bytes: usize) -> Option<&'a [u8]> {
    page.chunks(COPY).find_map(|copy| {
        let (content, rest) = copy.split_at_checked(bytes)?;
        (content.starts_with(magic) && rest.starts_with(&checksum(content))).then_some(content)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_whole_copy_is_enough_and_none_is_too_little() {
        let whole = page(b"MAGIC and more");
        assert_eq!(whole.len(), SECTOR);
        let mut damaged = whole.clone();
        for copy in 0..8 {
            assert_eq!(first_whole(&damaged, b"MAGIC", 14), Some(&b"MAGIC and more"[..]));
            damaged[copy * COPY + 7] ^= 1;
        }
        assert_eq!(first_whole(&damaged, b"MAGIC", 14), None);
        assert_eq!(first_whole(&whole[..100], b"OTHER", 14), None);
        assert_eq!(first_whole(&whole[..5], b"MAGIC", 14), None);
    }
}
