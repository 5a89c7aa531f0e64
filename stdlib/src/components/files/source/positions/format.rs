//! The format of the file of positions: JSON, with a line for each file, so that an error can name the line.
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
//! Each sum is the XXH3 of a file's canonical JSON; the checksum is the XXH3 of the canonical JSON of `ends`, `files`
//! and `copies`. Both are computed from the parsed values, so that whitespace does not matter. Version 1 had no copies,
//! and other names of partitions; version 2 had no sums and no ends.

use serde::Deserialize;
use thiserror::Error;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::image::Entry;
use super::{Downstream, Memory, RememberedCopy, RememberedFile};

/// The version of the format.
const VERSION: u32 = 3;
/// The first version with checksums.
const CHECKED: u32 = 3;
/// The line number of the first file.
const FIRST_LINE: usize = 3;

/// The positions are not what a source has written.
#[derive(Debug, Error)]
pub(in crate::components) enum FormatError {
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
    #[serde(rename = "ends")]
    downstream: Downstream,
    #[serde(default)]
    sums: Vec<String>,
    files: Vec<RememberedFile>,
    #[serde(default)]
    copies: Vec<RememberedCopy>,
}

/// The checksums of the canonical JSON, by which a change of the file is detected.
struct Seal {
    checksum: u64,
    /// One for each file.
    sums: Vec<u64>,
}

/// The checksum of the canonical JSON, which gets one entry after the other.
struct Checksum(Xxh3);

impl Checksum {
    fn new() -> Checksum {
        Checksum(Xxh3::new())
    }

    /// Begins a list of so many entries.
    fn begin_list(&mut self, entries: usize) {
        self.0.update(&(entries as u64).to_le_bytes());
    }

    fn add(&mut self, entry: &[u8]) {
        self.0.update(&(entry.len() as u64).to_le_bytes());
        self.0.update(entry);
    }

    fn value(&self) -> u64 {
        self.0.digest()
    }
}

/// Computes the checksums of parsed values. The JSON of all entries shares one buffer, so that memory never holds a second
/// copy of it, even with very many files.
fn seal(
    downstream: &Downstream,
    files: &[RememberedFile],
    copies: &[RememberedCopy],
) -> serde_json::Result<Seal> {
    let mut checksum = Checksum::new();
    let mut json = Vec::new();
    let mut sums = Vec::with_capacity(files.len());
    checksum.begin_list(1);
    serde_json::to_writer(&mut json, downstream)?;
    checksum.add(&json);
    checksum.begin_list(files.len());
    for file in files {
        json.clear();
        serde_json::to_writer(&mut json, file)?;
        sums.push(xxh3_64(&json));
        checksum.add(&json);
    }
    checksum.begin_list(copies.len());
    for copy in copies {
        json.clear();
        serde_json::to_writer(&mut json, copy)?;
        checksum.add(&json);
    }
    Ok(Seal { checksum: checksum.value(), sums })
}

/// Writes the file's text from entries in canonical JSON.
///
/// # Errors
/// When `downstream` has no representation in JSON.
pub(super) fn write(
    downstream: &Downstream,
    files: &[&Entry],
    copies: &[&[u8]],
) -> serde_json::Result<Vec<u8>> {
    let lengths = files.iter().map(|entry| entry.json.len()).chain(copies.iter().map(|json| json.len()));
    // Each file also has a sum of 16 digits, and each entry is followed by a comma and a line end.
    let bytes = lengths.map(|length| length + 24).sum::<usize>() + 4_096;
    let mut text = Vec::with_capacity(bytes);
    let mut checksum = Checksum::new();
    text.extend_from_slice(format!("{{\"version\":{VERSION},\"checksum\":\"").as_bytes());
    let place = text.len();
    text.extend_from_slice(&[b'0'; 16]);
    text.extend_from_slice(b"\",\"ends\":");
    let json = serde_json::to_vec(downstream)?;
    checksum.begin_list(1);
    checksum.add(&json);
    text.extend_from_slice(&json);
    text.extend_from_slice(b",\n\"sums\":[");
    for (at, entry) in files.iter().enumerate() {
        let comma = if at == 0 { "" } else { "," };
        text.extend_from_slice(format!("{comma}\"{:016x}\"", entry.sum).as_bytes());
    }
    text.extend_from_slice(b"],\"files\":[\n");
    let mut append = |text: &mut Vec<u8>, entries: &mut dyn ExactSizeIterator<Item = &[u8]>| {
        checksum.begin_list(entries.len());
        for (at, json) in entries.enumerate() {
            if at > 0 {
                text.extend_from_slice(b",\n");
            }
            checksum.add(json);
            text.extend_from_slice(json);
        }
    };
    append(&mut text, &mut files.iter().map(|entry| &*entry.json));
    text.extend_from_slice(b"\n],\"copies\":[\n");
    append(&mut text, &mut copies.iter().copied());
    text.extend_from_slice(b"\n]}\n");
    text[place..place + 16].copy_from_slice(format!("{:016x}", checksum.value()).as_bytes());
    Ok(text)
}

/// Parses a text of this or an earlier version.
///
/// # Errors
/// When the text was changed or damaged, with the line and entry where that is known.
pub(super) fn read(text: &[u8]) -> Result<Memory, FormatError> {
    let OnlyVersion { version } = serde_json::from_slice(text)?;
    if !(1..=VERSION).contains(&version) {
        return Err(FormatError::Version { version });
    }
    let Loaded { version, checksum, downstream, sums, files, copies } = serde_json::from_slice(text)?;
    // A damaged version number must not turn off the checks.
    let is_checked = version >= CHECKED || !checksum.is_empty() || !sums.is_empty();
    let wrong = |at: usize, why| {
        let line = if is_checked { FIRST_LINE + at } else { 1 };
        FormatError::Entry { line, entry: at + 1, path: files[at].path.clone(), why }
    };
    if is_checked {
        let Seal { checksum: computed, sums: expected } = seal(&downstream, &files, &copies)?;
        let is_other = |at: &usize| sums.get(*at).is_none_or(|sum| *sum != format!("{:016x}", expected[*at]));
        if let Some(at) = (0..files.len()).find(is_other) {
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
    Ok(Memory { files, copies, downstream })
}
