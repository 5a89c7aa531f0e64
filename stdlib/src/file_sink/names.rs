//! Names of files.
//!
//! ```text
//! events-20260101T120000Z-9f3c51d2-000017.txt.gz                      when it is complete
//! .events-20260101T120000Z-9f3c51d2-000017.txt.gz.shop.lake.tmp       while it is written,
//!                                        without the dot for `in_use: tmp`
//! └┬┘    └──────┬───────┘ └──┬───┘ └─┬──┘└──┬───┘└─┬─┘└─┬┘
//! prefix    begun, UTC    instance  number   │   program sink
//!                                        format
//! ```
//!
//! The instance is drawn at random when the sink is made, so that neither an earlier run of the
//! agent nor an agent on another machine uses the same names. Program and sink tell whose a
//! file is that was left behind; whatever could be mistaken in them is percent-encoded.
//!
//! The names of one instance sort in the order in which its files were begun: a clock that goes
//! backwards does not take the time in the names with it.

use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use jiff::Timestamp;
use serde::Deserialize;

/// The unit of the times in names, in microseconds.
const SECOND: i64 = 1_000_000;

/// What a temporary name ends in.
const TEMPORARY: &str = ".tmp";

/// Makes the names of one sink's files.
#[derive(Debug)]
pub(super) struct FileNames {
    prefix: String,
    instance: u32,
    extension: String,
    in_use: InUse,
    /// `.program.sink.tmp`
    marker: String,
    next: AtomicU64,
    /// The latest time in a name.
    latest: AtomicI64,
}

/// How a name shows that its file is still being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum InUse {
    /// It begins with a dot.
    Dot,
    /// It only ends in `.tmp`.
    Tmp,
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
        extension: &str,
        in_use: InUse,
        program: &str,
        sink: &str,
    ) -> Result<FileNames, getrandom::Error> {
        let instance = getrandom::u32()?;
        Ok(FileNames {
            prefix: prefix.to_string(),
            instance,
            extension: extension.to_string(),
            in_use,
            marker: format!(".{}.{}{TEMPORARY}", word(program), word(sink)),
            next: AtomicU64::new(1),
            latest: AtomicI64::new(i64::MIN),
        })
    }

    /// The names of the next file, begun at this time in microseconds, in this directory.
    pub(super) fn next(&self, directory: &str, begun: i64) -> FilePaths {
        let FileNames { prefix, instance, extension, marker, next, .. } = self;
        let number = next.fetch_add(1, Ordering::Relaxed);
        let begun = self.latest.fetch_max(begun, Ordering::Relaxed).max(begun);
        let begun = Timestamp::from_microsecond(begun).unwrap_or_default().strftime("%Y%m%dT%H%M%SZ");
        let name = format!("{prefix}-{begun}-{instance:08x}-{number:06}{extension}");
        let dot = if self.in_use == InUse::Dot { "." } else { "" };
        FilePaths {
            temporary: join(directory, &format!("{dot}{name}{marker}")),
            complete: join(directory, &name),
        }
    }

    /// The latest time in a name, in microseconds.
    pub(super) fn latest(&self) -> i64 {
        self.latest.load(Ordering::Relaxed)
    }

    /// Has the next names sort behind those with this time, whoever made them.
    pub(super) fn begin_behind(&self, latest: i64) {
        self.latest.fetch_max(latest.saturating_add(SECOND), Ordering::Relaxed);
    }

    /// The random number of this start.
    pub(super) fn instance(&self) -> u32 {
        self.instance
    }

    /// Whether an earlier instance of this sink, here or elsewhere, wrote a file of this name.
    pub(super) fn is_left_over(&self, name: &str) -> bool {
        let own = format!("-{:08x}-", self.instance);
        name.ends_with(&self.marker) && !name.contains(&own)
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
pub(super) fn word(name: &str) -> String {
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
        let names = FileNames::new("events", ".txt.gz", InUse::Dot, "shop", "lake").unwrap();
        let instance = format!("{:08x}", names.instance);
        let begun = 1_767_268_800_000_000;
        names.next("/lake", begun);
        let paths = names.next("/lake/2026", begun);
        let complete = format!("events-20260101T120000Z-{instance}-000002.txt.gz");
        assert_eq!(paths.complete, format!("/lake/2026/{complete}"));
        assert_eq!(paths.temporary, format!("/lake/2026/.{complete}.shop.lake.tmp"));
    }

    #[test]
    fn names_sort_in_their_order_though_the_clock_goes_backwards() {
        let names = FileNames::new("events", ".txt", InUse::Tmp, "shop", "lake").unwrap();
        let begun = 1_767_268_800_000_000;
        let in_order = [begun, begun + 1_000_000, begun - 3_600_000_000, begun + 500_000, begun + 9_000_000]
            .map(|begun| names.next("", begun));
        assert!(in_order.is_sorted_by(|a, b| a.complete < b.complete), "{in_order:?}");
        let FilePaths { temporary, complete } = &in_order[0];
        assert_eq!(*temporary, format!("{complete}.shop.lake.tmp"));
        assert!(FileNames::new("x", ".avro", InUse::Dot, "shop", "lake").unwrap().is_left_over(temporary));
    }

    #[test]
    fn only_the_same_sinks_files_of_another_instance_are_left_over() {
        let file_name = |names: &FileNames| names.next("", 0).temporary;
        let mine = FileNames::new("events", ".txt", InUse::Dot, "shop", "lake").unwrap();
        let earlier = FileNames::new("other-prefix", ".txt.gz", InUse::Dot, "shop", "lake").unwrap();
        assert!(mine.is_left_over(&file_name(&earlier)));
        assert!(!mine.is_left_over(&file_name(&mine)));
        assert!(!mine.is_left_over(&earlier.next("", 0).complete));
        for (program, sink) in
            [("shop", "pond"), ("my.shop", "lake"), ("shop.lake", "lake"), ("a", "shop.lake")]
        {
            let other = FileNames::new("events", ".txt", InUse::Dot, program, sink).unwrap();
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
