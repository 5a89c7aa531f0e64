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

/// A part of the canonical JSON.
#[derive(Clone, Copy)]
enum Part {
    Downstream,
    Files,
    Copies,
}

/// Makes the canonical JSON and its checksums, and passes each piece to `take`. The pieces share one buffer, so that
/// memory never holds a second copy of the JSON, even with very many files.
fn seal(
    downstream: &Downstream,
    files: &[RememberedFile],
    copies: &[RememberedCopy],
    mut take: impl FnMut(Part, &[u8]),
) -> serde_json::Result<Seal> {
    let mut hasher = Xxh3::new();
    let mut piece = Vec::new();
    let mut sums = Vec::with_capacity(files.len());
    let mut add = |hasher: &mut Xxh3, part, piece: &[u8]| {
        hasher.update(&(piece.len() as u64).to_le_bytes());
        hasher.update(piece);
        take(part, piece);
    };
    hasher.update(&1_u64.to_le_bytes());
    serde_json::to_writer(&mut piece, downstream)?;
    add(&mut hasher, Part::Downstream, &piece);
    hasher.update(&(files.len() as u64).to_le_bytes());
    for file in files {
        piece.clear();
        serde_json::to_writer(&mut piece, file)?;
        sums.push(xxh3_64(&piece));
        add(&mut hasher, Part::Files, &piece);
    }
    hasher.update(&(copies.len() as u64).to_le_bytes());
    for copy in copies {
        piece.clear();
        serde_json::to_writer(&mut piece, copy)?;
        add(&mut hasher, Part::Copies, &piece);
    }
    Ok(Seal { checksum: hasher.digest(), sums })
}

/// Writes the file's text.
pub(super) fn write(memory: &Memory) -> serde_json::Result<Vec<u8>> {
    let mut parts = [const { Vec::new() }; 3];
    let Seal { checksum, sums } = seal(&memory.downstream, &memory.files, &memory.copies, |part, piece| {
        let part: &mut Vec<u8> = &mut parts[part as usize];
        if !part.is_empty() {
            part.extend_from_slice(b",\n");
        }
        part.extend_from_slice(piece);
    })?;
    let [downstream, files, copies] = &parts;
    let mut sums_text = String::new();
    for sum in &sums {
        let comma = if sums_text.is_empty() { "" } else { "," };
        sums_text.push_str(&format!("{comma}\"{sum:016x}\""));
    }
    let begin = format!("{{\"version\":{VERSION},\"checksum\":\"{checksum:016x}\",\"ends\":");
    let between = [&b",\n\"sums\":["[..], b"],\"files\":[\n", b"\n],\"copies\":[\n", b"\n]}\n"];
    let [before_sums, before_files, before_copies, end] = between;
    let sums = sums_text.as_bytes();
    Ok([begin.as_bytes(), downstream, before_sums, sums, before_files, files, before_copies, copies, end]
        .concat())
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
        let Seal { checksum: computed, sums: expected } = seal(&downstream, &files, &copies, |_, _| {})?;
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
