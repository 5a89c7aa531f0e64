//! Names of files.
//!
//! ```text
//! events-20260101T120000Z-9f3c51d2-000017.txt.gz                      when it is complete
//! .events-20260101T120000Z-9f3c51d2-000017.txt.gz.shop.lake.tmp       while it is written
//! └┬┘    └──────┬───────┘ └──┬───┘ └─┬──┘└──┬───┘└─┬─┘└─┬┘
//! prefix    begun, UTC    instance  number   │   program sink
//!                                        format
//! ```
//!
//! The instance is drawn at random when the sink is made, so that neither an earlier run of the
//! agent nor an agent on another machine uses the same names. Program and sink tell whose a
//! file is that was left behind; whatever could be mistaken in them is percent-encoded.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;

/// What a temporary name ends in.
const TEMPORARY: &str = ".tmp";

/// Makes the names of one sink's files.
#[derive(Debug)]
pub(super) struct FileNames {
    prefix: String,
    instance: String,
    extension: &'static str,
    /// `.program.sink.tmp`
    marker: String,
    next: AtomicU64,
}

/// The two names that a file has in its life, with their directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FilePaths {
    /// While it is being written.
    pub(super) temporary: String,
    /// When it is complete.
    pub(super) complete: String,
}

impl FileNames {
    /// Names that begin with `prefix` and end in `extension`, of this program's sink.
    ///
    /// # Errors
    /// When the machine has no random numbers.
    pub(super) fn new(
        prefix: &str,
        extension: &'static str,
        program: &str,
        sink: &str,
    ) -> Result<FileNames, getrandom::Error> {
        let instance = getrandom::u32()?;
        Ok(FileNames {
            prefix: prefix.to_string(),
            instance: format!("{instance:08x}"),
            extension,
            marker: format!(".{}.{}{TEMPORARY}", word(program), word(sink)),
            next: AtomicU64::new(1),
        })
    }

    /// The names of the next file, begun at this time in microseconds, in this directory.
    pub(super) fn next(&self, directory: &str, begun: i64) -> FilePaths {
        let FileNames { prefix, instance, extension, marker, next } = self;
        let number = next.fetch_add(1, Ordering::Relaxed);
        let begun = Timestamp::from_microsecond(begun).unwrap_or_default().strftime("%Y%m%dT%H%M%SZ");
        let name = format!("{prefix}-{begun}-{instance}-{number:06}{extension}");
        FilePaths {
            temporary: join(directory, &format!(".{name}{marker}")),
            complete: join(directory, &name),
        }
    }

    /// Whether an earlier instance of this sink, here or elsewhere, wrote a file of this name.
    pub(super) fn is_left_over(&self, name: &str) -> bool {
        let own = format!("-{}-", self.instance);
        name.starts_with('.') && name.ends_with(&self.marker) && !name.contains(&own)
    }
}

/// A path in a directory.
pub(super) fn join(directory: &str, name: &str) -> String {
    match directory {
        "" => name.to_string(),
        root if root.ends_with('/') => format!("{root}{name}"),
        directory => format!("{directory}/{name}"),
    }
}

/// A name without the dots and other signs that could make two markers look alike.
fn word(name: &str) -> String {
    let mut word = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => word.push(char::from(byte)),
            _ => {
                // Writing into a string can't fail.
                let _infallible = write!(word, "%{byte:02X}");
            }
        }
    }
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_when_by_whom_and_in_which_order() {
        let names = FileNames::new("events", ".txt.gz", "shop", "lake").unwrap();
        let instance = names.instance.clone();
        let begun = 1_767_268_800_000_000;
        names.next("/lake", begun);
        let paths = names.next("/lake/2026", begun);
        let complete = format!("events-20260101T120000Z-{instance}-000002.txt.gz");
        assert_eq!(paths.complete, format!("/lake/2026/{complete}"));
        assert_eq!(paths.temporary, format!("/lake/2026/.{complete}.shop.lake.tmp"));
    }

    #[test]
    fn only_the_same_sinks_files_of_another_instance_are_left_over() {
        let file_name = |names: &FileNames| names.next("", 0).temporary;
        let mine = FileNames::new("events", ".txt", "shop", "lake").unwrap();
        let earlier = FileNames::new("other-prefix", ".txt.gz", "shop", "lake").unwrap();
        assert!(mine.is_left_over(&file_name(&earlier)));
        assert!(!mine.is_left_over(&file_name(&mine)));
        assert!(!mine.is_left_over(&earlier.next("", 0).complete));
        for (program, sink) in
            [("shop", "pond"), ("my.shop", "lake"), ("shop.lake", "lake"), ("a", "shop.lake")]
        {
            let other = FileNames::new("events", ".txt", program, sink).unwrap();
            assert!(!mine.is_left_over(&file_name(&other)), "{program} {sink}");
        }
        assert!(!mine.is_left_over(".something.tmp"));
    }

    #[test]
    fn paths_are_joined_by_one_slash() {
        assert_eq!(join("/", "a"), "/a");
        assert_eq!(join("/lake", "a"), "/lake/a");
        assert_eq!(join("", "a"), "a");
    }
}
