//! How positions are written: JSON, with a line for each file, so that a message can name the line.
//!
//! ```text
//! {"version":3,"checksum":"9f3c51d2a07be644","ends":{"channels":{…},"memories":{…}},
//! "sums":["c04be1d29a7f3358",…],"files":[
//! {"partition":"…","path":"/var/log/a.log","position":7,…},
//! {…}
//! ],"copies":[
//! {…}
//! ]}
//! ```
//!
//! Each sum is the XXH3 of a file's canonical JSON, the checksum that of everything behind `sums`, and of
//! `ends`, likewise. Both are taken of the values, so that whitespace does not matter. Version 1 knew no copies,
//! and other names of partitions; version 2 had no sums and no ends.

use serde::{Deserialize, Serialize};
use thiserror::Error;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::{Copied, Ends, Memory, Remembered};

/// The version of the format.
const VERSION: u32 = 3;
/// The first version with checksums.
const CHECKED: u32 = 3;
/// The line of the first file.
const FIRST_LINE: usize = 3;

/// Positions that are not what was written.
#[derive(Debug, Error)]
pub(in crate::files) enum FormatError {
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("they have version {version}, and this version of Weir knows {VERSION}")]
    Version { version: u32 },
    #[error("line {line}, entry {entry} (`{path}`): {why}")]
    Entry { line: usize, entry: usize, path: String, why: &'static str },
    #[error(
        "the checksum is {found}, and that of the content {computed:016x}: the file was changed or damaged"
    )]
    Checksum { found: String, computed: u64 },
}

#[derive(Deserialize)]
struct OnlyVersion {
    version: u32,
}

#[derive(Deserialize)]
struct Loaded {
    version: u32,
    #[serde(default)]
    checksum: String,
    #[serde(default)]
    ends: Ends,
    #[serde(default)]
    sums: Vec<String>,
    files: Vec<Remembered>,
    #[serde(default)]
    copies: Vec<Copied>,
}

/// The canonical JSON of what is remembered, piece by piece.
struct Canonical {
    ends: Vec<u8>,
    files: Vec<Vec<u8>>,
    copies: Vec<Vec<u8>>,
}

impl Canonical {
    fn of(ends: &Ends, files: &[Remembered], copies: &[Copied]) -> serde_json::Result<Canonical> {
        Ok(Canonical { ends: serde_json::to_vec(ends)?, files: each(files)?, copies: each(copies)? })
    }

    fn sums(&self) -> Vec<String> {
        self.files.iter().map(|file| format!("{:016x}", xxh3_64(file))).collect()
    }

    fn checksum(&self) -> u64 {
        let mut hasher = Xxh3::new();
        for part in [std::slice::from_ref(&self.ends), &self.files, &self.copies] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            for piece in part {
                hasher.update(&(piece.len() as u64).to_le_bytes());
                hasher.update(piece);
            }
        }
        hasher.digest()
    }
}

fn each<T: Serialize>(all: &[T]) -> serde_json::Result<Vec<Vec<u8>>> {
    all.iter().map(serde_json::to_vec).collect()
}

/// The text of what is remembered.
pub(super) fn write(memory: &Memory) -> serde_json::Result<Vec<u8>> {
    let canonical = Canonical::of(&memory.ends, &memory.files, &memory.copies)?;
    let mut text =
        format!("{{\"version\":{VERSION},\"checksum\":\"{:016x}\",\"ends\":", canonical.checksum());
    let sums = serde_json::to_string(&canonical.sums())?;
    text.push_str(&String::from_utf8_lossy(&canonical.ends));
    text.push_str(&format!(",\n\"sums\":{sums},\"files\":[\n"));
    let mut text = text.into_bytes();
    text.extend_from_slice(&canonical.files.join(&b",\n"[..]));
    text.extend_from_slice(b"\n],\"copies\":[\n");
    text.extend_from_slice(&canonical.copies.join(&b",\n"[..]));
    text.extend_from_slice(b"\n]}\n");
    Ok(text)
}

/// What a text of this or an earlier version says.
///
/// # Errors
/// When it is not what was written, with the place.
pub(super) fn read(text: &[u8]) -> Result<Memory, FormatError> {
    let OnlyVersion { version } = serde_json::from_slice(text)?;
    if !(1..=VERSION).contains(&version) {
        return Err(FormatError::Version { version });
    }
    let Loaded { version, checksum, ends, sums, files, copies } = serde_json::from_slice(text)?;
    // A changed version must not switch the checks off.
    let is_checked = version >= CHECKED || !checksum.is_empty() || !sums.is_empty();
    let wrong = |at: usize, why| {
        let line = if is_checked { FIRST_LINE + at } else { 1 };
        FormatError::Entry { line, entry: at + 1, path: files[at].path.clone(), why }
    };
    if is_checked {
        let canonical = Canonical::of(&ends, &files, &copies)?;
        let computed = canonical.checksum();
        let expected = canonical.sums();
        if let Some(at) = (0..files.len()).find(|at| sums.get(*at) != expected.get(*at)) {
            return Err(wrong(at, "it is not what was written: it was changed or damaged"));
        }
        if checksum != format!("{computed:016x}") || sums.len() > files.len() {
            return Err(FormatError::Checksum { found: checksum, computed });
        }
    }
    let contradiction = files.iter().enumerate().find_map(|(at, known)| Some((at, known.contradiction()?)));
    if let Some((at, why)) = contradiction {
        return Err(wrong(at, why));
    }
    Ok(Memory { files, copies, ends })
}
