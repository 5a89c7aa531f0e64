//! Names of files.
//!
//! ```text
//! events-20260101T120000Z-9f3c51d2a07b-000017.txt.gz                      when it is complete
//! .events-20260101T120000Z-9f3c51d2a07b-000017.txt.gz.shop.lake.tmp       while it is written,
//!                                            without the dot for `in_use: tmp`
//! └┬┘    └──────┬───────┘ └────┬─────┘ └─┬──┘└──┬───┘└─┬─┘└─┬┘
//! prefix    begun, UTC      instance   number   │   program sink
//!                                            format
//! ```
//!
//! The instance is made when the sink is: 32 bits at random, so that neither an earlier run of the
//! agent nor an agent on another machine uses the same names, and 16 that follow from these, program and sink,
//! by which the sink knows its own complete files. Earlier versions drew 16 bits and wrote 8 digits. In the name of
//! a file that was left behind program and sink stand themselves; whatever could be mistaken in them is
//! percent-encoded.
//!
//! The names of one instance sort in the order in which its files were begun: a clock that goes
//! backwards does not take the time in the names with it.

use std::fmt::Write;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// The unit of the times in names, in microseconds.
const SECOND: i64 = 1_000_000;

/// How times are written in names.
const TIME: &str = "%Y%m%dT%H%M%SZ";

/// What a temporary name ends in.
const TEMPORARY: &str = ".tmp";

/// Makes the names of one sink's files.
#[derive(Debug)]
pub(super) struct FileNames {
    prefix: String,
    /// The random number of this start.
    drawn: u32,
    /// What names of this start's files show: the random number and the owner's sign, in hexadecimal digits.
    instance: String,
    /// Whose files these are.
    owner: Owner,
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

/// Whose files they are: the sink of a program, with or without the promise `exactly_once`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner(String);

/// What the name of a complete file says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Named {
    /// When it was begun, in whole seconds, as microseconds.
    pub(super) begun: i64,
    /// The random number of the start that wrote it.
    pub(super) drawn: u32,
    /// Its number within that start.
    pub(super) number: u64,
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
    /// Names that begin with `prefix` and end in `extension`, of this program's sink. Files of which a ledger
    /// knows all bear another sign than those that a sink without that promise has written.
    ///
    /// # Errors
    /// When the machine has no random numbers.
    pub(super) fn new(
        prefix: &str,
        extension: &str,
        in_use: InUse,
        (program, sink): (&str, &str),
        exactly_once: bool,
    ) -> Result<FileNames, getrandom::Error> {
        let owner = Owner::of(&folder(program, sink), exactly_once);
        let drawn = getrandom::u32()?;
        Ok(FileNames {
            prefix: prefix.to_string(),
            drawn,
            instance: format!("{drawn:08x}{:04x}", owner.sign(drawn)),
            owner,
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
        let begun = Timestamp::from_microsecond(begun).unwrap_or_default().strftime(TIME);
        let name = format!("{prefix}-{begun}-{instance}-{number:06}{extension}");
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
        self.drawn
    }

    /// Whose files these are.
    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Whether an earlier instance of this sink, here or elsewhere, wrote a file of this name.
    pub(super) fn is_left_over(&self, name: &str) -> bool {
        let own = format!("-{}-", self.instance);
        name.ends_with(&self.marker) && !name.contains(&own)
    }
}

impl Owner {
    /// The owner whose ledger is in a folder of this name.
    pub(super) fn of(folder: &str, exactly_once: bool) -> Owner {
        Owner(format!("{folder}.{exactly_once}"))
    }

    /// The sign by which an owner knows the names with this random number as its own.
    fn sign(&self, drawn: u32) -> u16 {
        xxh3_64_with_seed(self.0.as_bytes(), u64::from(drawn)) as u16
    }

    /// What the name of a complete file of this owner says; none if it is another's.
    pub(super) fn own(&self, name: &str) -> Option<Named> {
        let (named, sign) = named(name)?;
        (sign == self.sign(named.drawn)).then_some(named)
    }
}

impl Named {
    /// What the name of a complete file says, whoever wrote it.
    pub(super) fn of(name: &str) -> Option<Named> {
        named(name).map(|(named, _)| named)
    }
}

/// What the name of a complete file says, and the sign of its owner.
fn named(name: &str) -> Option<(Named, u16)> {
    let mut parts = name.rsplitn(4, '-');
    let (number, instance, time) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = number.split('.').next()?;
    let is_number = digits.len() >= 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
    // Earlier versions drew four digits.
    let (drawn, sign) =
        matches!(instance.len(), 8 | 12).then(|| instance.split_at_checked(instance.len() - 4))??;
    let (drawn, sign) = (u32::from_str_radix(drawn, 16).ok()?, u16::from_str_radix(sign, 16).ok()?);
    if !is_number || parts.next()?.starts_with('.') || name.ends_with(TEMPORARY) {
        return None;
    }
    let time = DateTime::strptime(TIME, time).ok()?.to_zoned(TimeZone::UTC).ok()?;
    let begun = time.timestamp().as_microsecond();
    Some((Named { begun, drawn, number: digits.parse().ok()? }, sign))
}

/// The name of the folder of a sink's ledger.
pub(super) fn folder(program: &str, sink: &str) -> String {
    format!("{}.{}", word(program), word(sink))
}

/// A path in a directory.
pub(super) fn join(directory: &str, name: &str) -> String {
    match directory {
        "" => name.to_string(),
        root if root.ends_with('/') => format!("{root}{name}"),
        directory => format!("{directory}/{name}"),
    }
}

/// What of a path lies below a directory; none if it does not lie there.
pub(super) fn below<'a>(directory: &str, path: &'a str) -> Option<&'a str> {
    let rest = match directory {
        "" | "." => path.strip_prefix("./").unwrap_or(path),
        root if root.ends_with('/') => path.strip_prefix(root)?,
        directory => path.strip_prefix(directory)?.strip_prefix('/')?,
    };
    (!rest.is_empty() && !rest.starts_with('/')).then_some(rest)
}

/// The last part of a path.
pub(super) fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
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
        let names = FileNames::new("events", ".txt.gz", InUse::Dot, ("shop", "lake"), false).unwrap();
        let instance = &names.instance;
        assert_eq!(instance.len(), 12);
        let begun = 1_767_268_800_000_000;
        names.next("/lake", begun);
        let paths = names.next("/lake/2026", begun);
        let complete = format!("events-20260101T120000Z-{instance}-000002.txt.gz");
        assert_eq!(paths.complete, format!("/lake/2026/{complete}"));
        assert_eq!(paths.temporary, format!("/lake/2026/.{complete}.shop.lake.tmp"));
    }

    #[test]
    fn names_sort_in_their_order_though_the_clock_goes_backwards() {
        let names = FileNames::new("events", ".txt", InUse::Tmp, ("shop", "lake"), false).unwrap();
        let begun = 1_767_268_800_000_000;
        let in_order = [begun, begun + 1_000_000, begun - 3_600_000_000, begun + 500_000, begun + 9_000_000]
            .map(|begun| names.next("", begun));
        assert!(in_order.is_sorted_by(|a, b| a.complete < b.complete), "{in_order:?}");
        let FilePaths { temporary, complete } = &in_order[0];
        assert_eq!(*temporary, format!("{complete}.shop.lake.tmp"));
        assert!(
            FileNames::new("x", ".avro", InUse::Dot, ("shop", "lake"), false)
                .unwrap()
                .is_left_over(temporary)
        );
    }

    #[test]
    fn only_the_same_sinks_files_of_another_instance_are_left_over() {
        let file_name = |names: &FileNames| names.next("", 0).temporary;
        let mine = FileNames::new("events", ".txt", InUse::Dot, ("shop", "lake"), false).unwrap();
        let earlier = FileNames::new("other-prefix", ".txt.gz", InUse::Dot, ("shop", "lake"), false).unwrap();
        assert!(mine.is_left_over(&file_name(&earlier)));
        assert!(!mine.is_left_over(&file_name(&mine)));
        assert!(!mine.is_left_over(&earlier.next("", 0).complete));
        for (program, sink) in
            [("shop", "pond"), ("my.shop", "lake"), ("shop.lake", "lake"), ("a", "shop.lake")]
        {
            let other = FileNames::new("events", ".txt", InUse::Dot, (program, sink), false).unwrap();
            assert!(!mine.is_left_over(&file_name(&other)), "{program} {sink}");
        }
        assert!(!mine.is_left_over(".something.tmp"));
    }

    #[test]
    fn a_sink_knows_its_own_complete_files_and_when_they_were_begun() {
        let begun = 1_767_268_800_000_000;
        let names = |sink, exactly_once| {
            FileNames::new("my-events", ".txt.gz", InUse::Tmp, ("shop", sink), exactly_once).unwrap()
        };
        let (mine, earlier) = (names("lake", true), names("lake", true));
        let FilePaths { temporary, complete } = earlier.next("", begun);
        let named = Named { begun, drawn: earlier.drawn, number: 1 };
        assert_eq!(mine.owner.own(&complete), Some(named));
        assert_eq!(mine.owner.own(&temporary), None);
        // As an earlier version has named its files, with 16 random bits.
        let drawn = 0x9f3c;
        let instance = format!("{drawn:04x}{:04x}", mine.owner.sign(drawn));
        let complete = format!("my-events-20260101T120000Z-{instance}-000001.txt");
        assert_eq!(mine.owner.own(&complete), Some(Named { begun, drawn, number: 1 }));
        // One of 65,536 strangers looks like an own file.
        let strangers = (0..8).map(|_| names("pond", true)).chain((0..8).map(|_| names("lake", false)));
        let taken = strangers.filter(|names| mine.owner.own(&names.next("", begun).complete).is_some());
        assert!(taken.count() < 3);
        for name in
            ["", "events", "a-b-c-d", "events-20260101T120000Z-9f3c51d2-000001.txt-", "-----", "é-é-é-é"]
        {
            assert_eq!(mine.owner.own(name), None, "{name}");
        }
    }

    #[test]
    fn paths_are_joined_by_one_slash() {
        assert_eq!(join("/", "a"), "/a");
        assert_eq!(join("/lake", "a"), "/lake/a");
        assert_eq!(join("", "a"), "a");
    }

    #[test]
    fn what_lies_below_a_directory_is_told_from_what_does_not() {
        for directory in ["/", "/lake", "lake", ".", "", "./lake"] {
            let path = join(&join(directory, "a"), "b");
            assert_eq!(below(directory, &path), Some("a/b"), "{directory}");
        }
        for (directory, path) in
            [("/lake", "/lake2/a"), ("/lake", "/lake"), (".", "/lake/a"), ("lake", "/lake/a")]
        {
            assert_eq!(below(directory, path), None, "{directory} {path}");
        }
    }
}
