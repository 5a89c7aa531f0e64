//! Encryption at rest: a storage whose files are stored encrypted in another storage.
//!
//! Its user sees a plain directory. On the disk, each file begins with a page that identifies the file;
//! sectors of 4,096 bytes follow, encrypted with AES-256 in XTS mode, as in disk encryption, with keys of
//! the file's own. Lengths and offsets do not count the first page.
//!
//! - XTS needs no nonce. The log rewrites a group at the same offset after a crash: in a mode with
//!   nonces, the repeated nonce would reveal the text.
//! - A file's keys are derived (HKDF with SHA-512, RFC 5869) from the directory's data key and a number
//!   that the file keeps when it is renamed. So no two sectors have the same keys and number, and no
//!   key encrypts more than one file.
//! - A sector of zeros was never written and reads as zeros; the log depends on this.
//! - Nothing is authenticated: a changed sector decrypts to garbage, which the log finds by its own
//!   checksums. This protects the content of stolen disks, but not a disk in use from changes.
//! - A file's first page is synced when the file is made, before any other content. So a file
//!   whose first page can't be read is either empty or damaged.
//!
//! The first page holds eight equal copies, each of 512 bytes:
//!
//! ```text
//!   0  8  magic `WEIRCRYP`       16 16  the file's number, random
//!   8  2  version, 1             32  4  CRC-32C of the bytes before; then zeros
//!  10  6  0
//! ```

mod copies;
mod keys;
mod xts;

use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex, PoisonError};

use super::{Access, LockError, Storage};
use keys::{DataKey, KEYS, KEYS_NEW};
use xts::Xts;

pub use keys::{InvalidKey, Key, Keys, KeysError};
pub(crate) use xts::SECTOR;

const MAGIC: &[u8; 8] = b"WEIRCRYP";
const VERSION: u16 = 1;
const CONTENT: usize = 32;
/// The bytes before a file's first sector.
const HEADER: u64 = SECTOR as u64;
/// The most bytes that are encrypted for one write.
const CHUNK: usize = 1 << 20;

/// Fills a buffer with random bytes that can't be predicted.
pub(crate) type FillRandom = dyn Fn(&mut [u8]) -> io::Result<()> + Send + Sync;

/// A storage whose files are stored encrypted in the storage `inner`.
#[derive(Clone)]
pub struct Encrypted<S> {
    inner: S,
    key: DataKey,
    fill_random: Arc<FillRandom>,
    /// The encrypted bytes of a write. Reused, since it is large.
    buffer: Arc<Mutex<Vec<u8>>>,
}

/// An encrypted file.
pub struct EncryptedFile<F> {
    file: F,
    /// `None` for an empty file without a first page, as a crash can leave it.
    xts: Option<Box<Xts>>,
}

/// Returns the system's random generator.
pub(crate) fn system_random() -> Arc<FillRandom> {
    Arc::new(|bytes: &mut [u8]| getrandom::fill(bytes).map_err(|error| io::Error::other(error.to_string())))
}

/// Returns whether the directory has a data key, which means that it is encrypted.
///
/// # Errors
/// When the disk fails.
pub(crate) fn has_keys<S: Storage>(storage: &S) -> io::Result<bool> {
    Ok(storage.list()?.iter().any(|name| name == KEYS))
}

/// Returns whether a file of a plain storage has the first page of an encrypted file.
///
/// # Errors
/// When the disk fails.
pub(crate) fn is_encrypted<S: Storage>(storage: &S, name: &str) -> io::Result<bool> {
    let file = storage.open(name, Access::Read)?;
    Ok(number_of(storage, &file)?.is_some())
}

impl<S: Storage> Encrypted<S> {
    /// Opens a directory that has a data key. If a former master key wraps the data key, wraps it with the current
    /// one. The caller must have the directory to itself.
    ///
    /// # Errors
    /// When the keys don't fit, or the disk refuses.
    pub(crate) fn open(
        inner: S,
        keys: &Keys,
        fill_random: Arc<FillRandom>,
    ) -> Result<Encrypted<S>, KeysError> {
        let key = DataKey::read(&inner, keys)?;
        Ok(Encrypted { inner, key, fill_random, buffer: Arc::default() })
    }

    /// Opens a directory that has a data key for reading only; another process may be using the directory.
    ///
    /// # Errors
    /// When the keys don't fit, or the disk refuses.
    pub(crate) fn open_read_only(
        inner: S,
        keys: &Keys,
        fill_random: Arc<FillRandom>,
    ) -> Result<Encrypted<S>, KeysError> {
        let (key, _) = DataKey::read_only(&inner, keys)?;
        Ok(Encrypted { inner, key, fill_random, buffer: Arc::default() })
    }

    /// Gives a data key to a directory that has none. Its present files can't be read afterwards. The caller must
    /// have the directory to itself.
    ///
    /// # Errors
    /// When the disk refuses.
    pub(crate) fn make(
        inner: S,
        keys: &Keys,
        fill_random: Arc<FillRandom>,
    ) -> Result<Encrypted<S>, KeysError> {
        let key = DataKey::make(&inner, &keys.key, &*fill_random)?;
        Ok(Encrypted { inner, key, fill_random, buffer: Arc::default() })
    }

    fn xts(&self, number: &[u8; 16]) -> Option<Box<Xts>> {
        Some(Box::new(Xts::new(&self.key.of_file(number))))
    }

    /// Writes the first page of an empty file and syncs it.
    fn begin(&self, file: S::File) -> io::Result<EncryptedFile<S::File>> {
        let mut number = [0; 16];
        (self.fill_random)(&mut number)?;
        let mut content = Vec::with_capacity(CONTENT);
        content.extend_from_slice(MAGIC);
        content.extend_from_slice(&VERSION.to_le_bytes());
        content.extend_from_slice(&[0; 6]);
        content.extend_from_slice(&number);
        self.inner.write_at(&file, 0, &[&copies::page(&content)])?;
        self.inner.sync(&file)?;
        Ok(EncryptedFile { file, xts: self.xts(&number) })
    }
}

/// Reads the number in a file's first page; `None` if the file has no such page.
fn number_of<S: Storage>(storage: &S, file: &S::File) -> io::Result<Option<[u8; 16]>> {
    let mut page = [0; SECTOR];
    let read = storage.read_at(file, 0, &mut page)?;
    let Some(content) = copies::first_intact(&page[..read], MAGIC, CONTENT) else { return Ok(None) };
    let version = u16::from_le_bytes([content[8], content[9]]);
    if version != VERSION {
        let what = format!("it is encrypted in version {version} of the format, this weir knows {VERSION}");
        return Err(io::Error::new(ErrorKind::Unsupported, what));
    }
    Ok(content[16..].try_into().ok())
}

fn sector_of(offset: u64) -> u64 {
    offset / SECTOR as u64
}

impl<S: Storage> Storage for Encrypted<S> {
    type File = EncryptedFile<S::File>;
    type Lock = S::Lock;

    fn random_bytes(&self) -> [u8; 16] {
        self.inner.random_bytes()
    }

    fn create(&self, name: &str) -> io::Result<EncryptedFile<S::File>> {
        let file = self.inner.create(name)?;
        let begun = self.begin(file);
        if begun.is_err() {
            self.inner.unlink(name).ok();
        }
        begun
    }

    fn open(&self, name: &str, access: Access) -> io::Result<EncryptedFile<S::File>> {
        let file = self.inner.open(name, access)?;
        match number_of(&self.inner, &file)? {
            Some(number) => Ok(EncryptedFile { file, xts: self.xts(&number) }),
            None if self.inner.length(&file)? > HEADER => {
                let what = "the page that says how it is encrypted can't be read";
                Err(io::Error::new(ErrorKind::InvalidData, what))
            }
            // A crash came before the first page was synced.
            None if access == Access::Write => self.begin(file),
            None => Ok(EncryptedFile { file, xts: None }),
        }
    }

    /// Accepts only complete sectors.
    fn write_at(&self, file: &EncryptedFile<S::File>, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let whole = offset.is_multiple_of(SECTOR as u64) && bytes.is_multiple_of(SECTOR);
        let Some(xts) = file.xts.as_ref().filter(|_| whole) else {
            return Err(io::Error::new(ErrorKind::InvalidInput, "only whole sectors can be encrypted"));
        };
        let mut buffer = self.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        buffer.clear();
        buffer.reserve(bytes.min(CHUNK));
        let (mut at, end) = (offset, offset + bytes as u64);
        for part in parts {
            let mut rest = *part;
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.len().min(CHUNK - buffer.len()));
                buffer.extend_from_slice(now);
                rest = later;
                if buffer.len() == CHUNK || at + buffer.len() as u64 == end {
                    xts.encrypt(sector_of(at), &mut buffer);
                    self.inner.write_at(&file.file, HEADER + at, &[&buffer])?;
                    at += buffer.len() as u64;
                    buffer.clear();
                }
            }
        }
        Ok(())
    }

    fn read_at(&self, file: &EncryptedFile<S::File>, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(xts) = &file.xts else { return Ok(0) };
        let mut done = 0;
        while done < buffer.len() {
            let at = offset + done as u64;
            let (sector, within) = (sector_of(at), (at % SECTOR as u64) as usize);
            let place = HEADER + sector * SECTOR as u64;
            let rest = &mut buffer[done..];
            let whole = rest.len() - rest.len() % SECTOR;
            if within == 0 && whole > 0 {
                let read = self.inner.read_at(&file.file, place, &mut rest[..whole])?;
                let read = read - read % SECTOR;
                xts.decrypt(sector, &mut rest[..read]);
                done += read;
                if read < whole {
                    break;
                }
                continue;
            }
            let mut page = [0; SECTOR];
            if self.inner.read_at(&file.file, place, &mut page)? < SECTOR {
                break;
            }
            xts.decrypt(sector, &mut page);
            let part = rest.len().min(SECTOR - within);
            rest[..part].copy_from_slice(&page[within..within + part]);
            done += part;
        }
        Ok(done)
    }

    fn sync(&self, file: &EncryptedFile<S::File>) -> io::Result<()> {
        self.inner.sync(&file.file)
    }

    fn allocate(&self, file: &EncryptedFile<S::File>, bytes: u64) -> io::Result<()> {
        self.inner.allocate(&file.file, HEADER + bytes.next_multiple_of(SECTOR as u64))
    }

    fn length(&self, file: &EncryptedFile<S::File>) -> io::Result<u64> {
        let length = self.inner.length(&file.file)?.saturating_sub(HEADER);
        // A partial sector at the end can't be decrypted.
        Ok(length - length % SECTOR as u64)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn unlink(&self, name: &str) -> io::Result<()> {
        self.inner.unlink(name)
    }

    fn sync_directory(&self) -> io::Result<()> {
        self.inner.sync_directory()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = self.inner.list()?;
        names.retain(|name| name != KEYS && name != KEYS_NEW);
        Ok(names)
    }

    fn lock(&self, name: &str, note: &str) -> Result<S::Lock, LockError> {
        self.inner.lock(name, note)
    }

    fn is_reached(&self, file: &EncryptedFile<S::File>, name: &str) -> io::Result<bool> {
        self.inner.is_reached(&file.file, name)
    }

    fn is_there(&self) -> io::Result<bool> {
        self.inner.is_there()
    }

    fn place(&self) -> String {
        self.inner.place()
    }
}

#[cfg(test)]
mod tests;
