//! AES-256 in XTS mode (IEEE 1619, NIST SP 800-38E), in sectors of 4,096 bytes.
//!
//! A sector's number is its data unit number, as a little-endian 128-bit number. All sectors are
//! complete, so no ciphertext stealing is needed.

use aes::cipher::{Array, BlockCipherDecrypt, BlockCipherEncrypt, KeyInit};
use aes::{Aes256, Block};

/// The bytes of a data unit.
pub(crate) const SECTOR: usize = 4096;
const BLOCKS: usize = SECTOR / 16;
/// The low bits of x¹²⁸ + x⁷ + x² + x + 1, the modulus of a tweak's doubling.
const POLYNOMIAL: u128 = 0x87;

/// The two keys of one file.
pub(super) struct Xts {
    data: Aes256,
    tweak: Aes256,
}

impl Xts {
    /// Makes the two ciphers: the first half of `key` is the data key, the second half the tweak key.
    pub(super) fn new(key: &[u8; 64]) -> Xts {
        let (data, tweak) = key.split_at(32);
        let aes = |half: &[u8]| Aes256::new_from_slice(half).expect("half of 64 bytes is 32");
        Xts { data: aes(data), tweak: aes(tweak) }
    }

    /// Encrypts complete sectors in place; `first` is the number of the first one.
    pub(super) fn encrypt(&self, first: u64, sectors: &mut [u8]) {
        self.each(first, sectors, |blocks| self.data.encrypt_blocks(blocks));
    }

    /// Decrypts complete sectors in place; `first` is the number of the first one. A sector of zeros was never written
    /// and stays zeros (the probability that a sector encrypts to zeros is negligible).
    pub(super) fn decrypt(&self, first: u64, sectors: &mut [u8]) {
        for (number, sector) in (first..).zip(sectors.chunks_exact_mut(SECTOR)) {
            if sector.iter().any(|byte| *byte != 0) {
                self.each(number, sector, |blocks| self.data.decrypt_blocks(blocks));
            }
        }
    }

    fn each(&self, first: u64, sectors: &mut [u8], convert: impl Fn(&mut [Block])) {
        let mut tweaks = [Block::default(); BLOCKS];
        for (number, sector) in (u128::from(first)..).zip(sectors.chunks_exact_mut(SECTOR)) {
            self.fill_tweaks(number, &mut tweaks);
            let (blocks, _none) = Array::slice_as_chunks_mut(sector);
            mask(blocks, &tweaks);
            // One call for all blocks lets the processor work on several of them at a time.
            convert(blocks);
            mask(blocks, &tweaks);
        }
    }

    fn fill_tweaks(&self, number: u128, tweaks: &mut [Block; BLOCKS]) {
        let mut first = Array(number.to_le_bytes());
        self.tweak.encrypt_block(&mut first);
        let mut tweak = u128::from_le_bytes(first.0);
        for each in tweaks {
            each.0 = tweak.to_le_bytes();
            // Without a branch, whose time would reveal the bit.
            tweak = (tweak << 1) ^ ((tweak >> 127) * POLYNOMIAL);
        }
    }
}

fn mask(blocks: &mut [Block], tweaks: &[Block; BLOCKS]) {
    for (block, tweak) in blocks.iter_mut().zip(tweaks) {
        block.0 = (u128::from_ne_bytes(block.0) ^ u128::from_ne_bytes(tweak.0)).to_ne_bytes();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_another_implementation() {
        let key: [u8; 64] = std::array::from_fn(|at| (at * 7 + 3) as u8);
        let (data, tweak) = key.split_at(32);
        let aes = |half| Aes256::new_from_slice(half).unwrap();
        let other = xts_mode::Xts128::new(aes(data), aes(tweak));
        let plain: Vec<u8> = (0..5 * SECTOR).map(|at| (at * 31 % 251) as u8).collect();
        for first in [0, 1, u64::from(u32::MAX), u64::MAX - 8] {
            let (mut ours, mut theirs) = (plain.clone(), plain.clone());
            Xts::new(&key).encrypt(first, &mut ours);
            other.encrypt_area(&mut theirs, SECTOR, first.into(), xts_mode::get_tweak_default);
            assert!(ours == theirs, "sector {first}");
            Xts::new(&key).decrypt(first, &mut ours);
            assert!(ours == plain, "sector {first}");
        }
    }

    /// IEEE 1619-2018, annex B, vector 10: AES-256, 512 bytes of 0, 1, 2, … in data unit ff. The blocks
    /// of a unit follow one from the other, so a longer unit begins with the same bytes.
    #[test]
    fn it_agrees_with_the_vector_of_the_standard() {
        let mut key = [0; 64];
        let text = "27182818284590452353602874713526624977572470936999595749669676273141592653589793238462643383279502884197169399375105820974944592";
        hex::decode_to_slice(text, &mut key).unwrap();
        let mut sector: Vec<u8> = (0..SECTOR).map(|at| at as u8).collect();
        Xts::new(&key).encrypt(0xff, &mut sector);
        assert_eq!(
            hex::encode(&sector[..32]),
            "1c3b3a102f770386e4836c99e370cf9bea00803f5e482357a4ae12d414a3e63b"
        );
    }

    #[test]
    fn sectors_that_were_never_written_stay_zero() {
        let mut sectors = [0; 2 * SECTOR];
        Xts::new(&[1; 64]).decrypt(7, &mut sectors);
        assert!(sectors.iter().all(|byte| *byte == 0));
    }
}
