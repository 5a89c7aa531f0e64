//! Pages that survive a bad sector: eight copies of 512 bytes, each with its checksum.

use super::SECTOR;

/// The size of a copy: the smallest sector of a disk.
const COPY: usize = 512;
/// The most bytes of content in a copy, which holds a checksum and zeros besides.
pub(super) const CONTENT_MAX: usize = COPY - 4;

fn checksum(bytes: &[u8]) -> [u8; 4] {
    (crc_fast::checksum(crc_fast::CrcAlgorithm::Crc32Iscsi, bytes) as u32).to_le_bytes()
}

/// Makes a page of copies of `content`.
pub(super) fn page(content: &[u8]) -> Vec<u8> {
    debug_assert!(content.len() <= CONTENT_MAX);
    let mut copy = content.to_vec();
    copy.extend_from_slice(&checksum(content));
    copy.resize(COPY, 0);
    copy.repeat(SECTOR / COPY)
}

/// Returns the first `bytes` of the first copy that begins with `magic` and has a valid checksum.
pub(super) fn first_intact<'a>(page: &'a [u8], magic: &[u8], bytes: usize) -> Option<&'a [u8]> {
    page.chunks(COPY).find_map(|copy| {
        let (content, rest) = copy.split_at_checked(bytes)?;
        (content.starts_with(magic) && rest.starts_with(&checksum(content))).then_some(content)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_intact_copy_is_enough() {
        let intact = page(b"MAGIC and more");
        assert_eq!(intact.len(), SECTOR);
        let mut damaged = intact.clone();
        for copy in 0..8 {
            assert_eq!(first_intact(&damaged, b"MAGIC", 14), Some(&b"MAGIC and more"[..]));
            damaged[copy * COPY + 7] ^= 1;
        }
        assert_eq!(first_intact(&damaged, b"MAGIC", 14), None);
        assert_eq!(first_intact(&intact[..100], b"OTHER", 14), None);
        assert_eq!(first_intact(&intact[..5], b"MAGIC", 14), None);
    }
}
