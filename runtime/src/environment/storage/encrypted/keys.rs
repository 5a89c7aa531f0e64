//! The master key that the user gives, and the data key that encrypts the files of a directory.
//!
//! The file `keys` holds the data key, wrapped by the master key. So a change of the master key
//! rewrites only this small file. It is a page of eight equal copies, each of 512 bytes:
//!
//! ```text
//!   0  8  magic `WEIRKEYS`       16  8  id of the wrapping master key
//!   8  2  version, 1             24 72  the data key, wrapped (RFC 3394)
//!  10  6  0                      96  4  CRC-32C of the bytes before; then zeros
//! ```

use std::fmt;
use std::io;

use aes_kw::{KeyInit, KwAes256};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use hkdf::Hkdf;
use sha2::Sha512;
use thiserror::Error;
use zeroize::Zeroizing;

use super::{FillRandom, SECTOR, copies};
use crate::environment::storage::{Access, Storage, replace};

/// The file with the data key.
pub(super) const KEYS: &str = "keys";
/// The next version of this file, before it is renamed.
pub(super) const KEYS_NEW: &str = "keys.new";
const MAGIC: &[u8; 8] = b"WEIRKEYS";
const VERSION: u16 = 1;
const CONTENT: usize = 96;
const WRAPPED: usize = DATA_KEY + aes_kw::IV_LEN;
const DATA_KEY: usize = 64;

/// A master key: 256 bits that the user keeps.
#[derive(Clone)]
pub struct Key {
    bytes: Zeroizing<[u8; 32]>,
}

/// The text is no key. The message does not repeat the text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "a key is 32 bytes as 64 hexadecimal digits or as Base64, as `openssl rand -hex 32` makes it; this is something else"
)]
pub struct InvalidKey;

/// The master key of a directory, and former master keys that may still wrap its data key.
#[derive(Debug, Clone)]
pub struct Keys {
    /// The key that is to wrap the data key.
    pub key: Key,
    /// Keys that may wrap the data key so far.
    pub former: Vec<Key>,
}

/// Why a directory's data key can't be read or written.
#[derive(Debug, Error)]
pub enum KeysError {
    /// The disk failed.
    #[error("{what} {KEYS}")]
    Io {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: io::Error,
    },
    /// No copy in the file is intact.
    #[error("the file {KEYS} is damaged")]
    Damaged,
    /// The file has another version of the format.
    #[error("the file {KEYS} has version {found} of its format; this weir reads version {VERSION}")]
    Version {
        /// The version.
        found: u16,
    },
    /// Another master key wraps the data key.
    #[error("the key does not fit: it was encrypted with another one (named {found}, this one is {given})")]
    OtherKey {
        /// The id of the key that wraps the data key.
        found: String,
        /// The id of the key that the user gave.
        given: String,
    },
}

impl KeysError {
    fn io(what: &'static str) -> impl FnOnce(io::Error) -> KeysError {
        move |source| KeysError::Io { what, source }
    }
}

/// The secret of a directory that the keys of its files are derived from.
#[derive(Clone)]
pub(super) struct DataKey {
    bytes: Zeroizing<[u8; DATA_KEY]>,
}

fn derive(secret: &[u8], what: &[&[u8]], out: &mut [u8]) {
    let key = Hkdf::<Sha512>::from_prk(secret).expect("a secret is 64 bytes long");
    key.expand_multi_info(what, out).expect("what is derived is no longer than 255 hashes");
}

impl Key {
    /// Makes a key of these bytes.
    pub fn new(bytes: [u8; 32]) -> Key {
        Key { bytes: Zeroizing::new(bytes) }
    }

    /// Reads a key from 64 hexadecimal digits or Base64, with white space around.
    ///
    /// # Errors
    /// When the text is neither.
    pub fn parse(text: &str) -> Result<Key, InvalidKey> {
        let text = text.trim();
        let mut bytes = Zeroizing::new([0; 32]);
        if hex::decode_to_slice(text, &mut *bytes).is_ok() {
            return Ok(Key { bytes });
        }
        let decoded = STANDARD.decode(text).or_else(|_| STANDARD_NO_PAD.decode(text));
        let decoded = Zeroizing::new(decoded.map_err(|_| InvalidKey)?);
        match decoded.len() == bytes.len() {
            true => bytes.copy_from_slice(&decoded),
            false => return Err(InvalidKey),
        }
        Ok(Key { bytes })
    }

    /// Returns the key's id, which identifies the key and does not reveal it.
    fn id(&self) -> [u8; 8] {
        let mut id = [0; 8];
        self.derive(b"weir channel: name of a master key", &mut id);
        id
    }

    fn wrapping(&self) -> KwAes256 {
        let mut key = Zeroizing::new([0; 32]);
        self.derive(b"weir channel: wrapping of a data key", &mut *key);
        KwAes256::new_from_slice(&*key).expect("it has 32 bytes")
    }

    fn derive(&self, what: &[u8], out: &mut [u8]) {
        let (secret, _) = Hkdf::<Sha512>::extract(None, &*self.bytes);
        derive(&secret, &[what], out);
    }
}

/// Shows only the key's id.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({})", hex::encode(self.id()))
    }
}

impl Keys {
    /// A key without former keys.
    pub fn only(key: Key) -> Keys {
        Keys { key, former: Vec::new() }
    }
}

impl DataKey {
    /// Derives the two XTS keys of a file from the file's number.
    pub(super) fn of_file(&self, id: &[u8; 16]) -> Zeroizing<[u8; 64]> {
        let mut key = Zeroizing::new([0; 64]);
        derive(&*self.bytes, &[b"weir channel: sectors of a file", id], &mut *key);
        key
    }

    /// Reads the data key of a directory. If a former master key wraps it, wraps it with the current one and writes
    /// the file again. The caller must have the directory to itself.
    pub(super) fn read<S: Storage>(storage: &S, keys: &Keys) -> Result<DataKey, KeysError> {
        let (data, id) = DataKey::read_only(storage, keys)?;
        if keys.key.id() != id {
            data.write(storage, &keys.key)?;
        }
        Ok(data)
    }

    /// Reads the data key of a directory and changes nothing. Returns the id of the wrapping key as well.
    pub(super) fn read_only<S: Storage>(storage: &S, keys: &Keys) -> Result<(DataKey, [u8; 8]), KeysError> {
        let mut page = [0; SECTOR];
        let read = storage.open(KEYS, Access::Read).and_then(|file| storage.read_at(&file, 0, &mut page));
        let read = read.map_err(KeysError::io("reading"))?;
        let content = copies::first_intact(&page[..read], MAGIC, CONTENT).ok_or(KeysError::Damaged)?;
        let found = u16::from_le_bytes([content[8], content[9]]);
        if found != VERSION {
            return Err(KeysError::Version { found });
        }
        let (id, wrapped) = content[16..].split_at(8);
        let fits = |key: &&Key| key.id() == id;
        let fitting = [&keys.key].into_iter().chain(&keys.former).find(fits);
        let other = || KeysError::OtherKey { found: hex::encode(id), given: hex::encode(keys.key.id()) };
        let fitting = fitting.ok_or_else(other)?;
        let mut bytes = Zeroizing::new([0; DATA_KEY]);
        let unwrapped = fitting.wrapping().unwrap_key(wrapped, &mut *bytes);
        unwrapped.map_err(|_| KeysError::Damaged)?;
        Ok((DataKey { bytes }, fitting.id()))
    }

    /// Makes a data key, and writes the file `keys`.
    pub(super) fn make<S: Storage>(
        storage: &S,
        key: &Key,
        fill_random: &FillRandom,
    ) -> Result<DataKey, KeysError> {
        let mut bytes = Zeroizing::new([0; DATA_KEY]);
        fill_random(&mut *bytes).map_err(KeysError::io("making"))?;
        let data = DataKey { bytes };
        data.write(storage, key)?;
        Ok(data)
    }

    /// Replaces the file `keys` atomically: a complete one exists at any time.
    fn write<S: Storage>(&self, storage: &S, key: &Key) -> Result<(), KeysError> {
        let mut content = Vec::with_capacity(CONTENT);
        content.extend_from_slice(MAGIC);
        content.extend_from_slice(&VERSION.to_le_bytes());
        content.extend_from_slice(&[0; 6]);
        content.extend_from_slice(&key.id());
        let mut wrapped = [0; WRAPPED];
        key.wrapping().wrap_key(&*self.bytes, &mut wrapped).expect("a wrapped key is eight bytes longer");
        content.extend_from_slice(&wrapped);
        let page = copies::page(&content);
        let written = replace(storage, KEYS_NEW, KEYS, |file| {
            storage.write_at(file, 0, &[&page])?;
            storage.sync(file)
        });
        written.map(drop).map_err(KeysError::io("writing"))
    }
}
