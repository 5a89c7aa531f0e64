//! Names of files.
//!
//! ```text
//! events-20260101T120000Z-9f3c51d2a07b64e8-000017.txt.gz                      when it is complete
//! .events-20260101T120000Z-9f3c51d2a07b64e8-000017.txt.gz.shop.lake.tmp       while it is written,
//!                                                without the dot for `in_use: tmp`
//! └┬┘    └──────┬───────┘ └──────┬───────┘ └─┬──┘└──┬───┘└─┬─┘└─┬┘
//! prefix    begun, UTC        instance     number   │   program sink
//!                                                format
//! ```
//!
//! The instance is made when the sink is made. It has 32 random bits, so that no earlier run of the agent and no agent
//! on another machine uses the same names, and 32 bits of a hash of these bits, the program and the sink, by which the
//! sink recognises its own complete files. Earlier versions wrote 16 bits of the hash, and before that 16 random bits as
//! well: names with 12 and 8 digits. A temporary name ends in the program and the sink; characters in them that could be
//! ambiguous are percent-encoded.
//!
//! The names of one instance sort in the order in which its files were begun: when the clock goes backwards, the time
//! in the names does not.

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

/// The digits that the number of a file may have beyond six.
const DIGITS_MORE: usize = 3;

/// The end of a temporary name.
const TEMPORARY: &str = ".tmp";

/// The end of the name of a retired file. `~` is escaped in the names of programs and sinks, so no marker ends like this.
const RETIRED: &str = ".~retired.tmp";

/// What stands before the random number in the name of a copy of a file's beginning.
const COPY: &str = ".~cut-";

/// The digits of the random number in the name of a copy.
const COPY_DIGITS: usize = 8;

/// How much longer the name of a retired copy is than the temporary name of its file, in bytes.
pub(super) const RETIRED_COPY_BYTES: usize = RETIRED.len() - TEMPORARY.len() + COPY.len() + COPY_DIGITS;

/// Makes the names of one sink's files.
#[derive(Debug)]
pub(super) struct FileNames {
    prefix: String,
    /// The random number of this instance.
    drawn: u32,
    /// The random number and the owner's hash, in hexadecimal digits, as they are in the names of files.
    instance: String,
    /// The owner of the files.
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
    /// The name begins with a dot.
    Dot,
    /// The name ends in `.tmp` and has no dot in front.
    Tmp,
}

/// The owner of files: the sink of a program, with or without `exactly_once`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Owner(String);

/// The parts of a complete file's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Named {
    /// The time when the file was begun, in microseconds, rounded down to seconds.
    pub(super) begun: i64,
    /// The random number of the instance that wrote the file.
    pub(super) drawn: u32,
    /// The number of the file within that instance.
    pub(super) number: u64,
}

/// The temporary and the final path of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FilePaths {
    /// The path while the file is being written.
    pub(super) temporary: String,
    /// The path of the complete file.
    pub(super) complete: String,
}

impl FileNames {
    /// Makes names that begin with `prefix` and end in `extension`, for this sink of this program. Names with
    /// `exactly_once` have another owner hash: then the ledger names all files. `drawn` is the instance's random number.
    pub(super) fn new(
        prefix: &str,
        extension: &str,
        in_use: InUse,
        (program, sink): (&str, &str),
        exactly_once: bool,
        drawn: u32,
    ) -> FileNames {
        let owner = Owner::of(&folder(program, sink), exactly_once);
        FileNames {
            prefix: prefix.to_string(),
            drawn,
            instance: format!("{drawn:08x}{:08x}", owner.hash(drawn)),
            owner,
            extension: extension.to_string(),
            in_use,
            marker: format!(".{}.{}{TEMPORARY}", escape(program), escape(sink)),
            next: AtomicU64::new(1),
            latest: AtomicI64::new(i64::MIN),
        }
    }

    /// Returns the paths of the next file in this directory, begun at this time in microseconds.
    pub(super) fn next(&self, directory: &str, begun: i64) -> FilePaths {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let begun = self.latest.fetch_max(begun, Ordering::Relaxed).max(begun);
        self.paths(directory, begun, number)
    }

    fn paths(&self, directory: &str, begun: i64, number: u64) -> FilePaths {
        let FileNames { prefix, instance, extension, marker, .. } = self;
        let begun = Timestamp::from_microsecond(begun).unwrap_or_default().strftime(TIME);
        let name = format!("{prefix}-{begun}-{instance}-{number:06}{extension}");
        let dot = if self.in_use == InUse::Dot { "." } else { "" };
        FilePaths {
            temporary: join(directory, &format!("{dot}{name}{marker}")),
            complete: join(directory, &name),
        }
    }

    /// Returns the length of the longest names in bytes. The name of the ledger's folder is shorter.
    pub(super) fn longest(&self) -> usize {
        let FilePaths { temporary, complete } = self.paths("", 0, 0);
        temporary.len().max(complete.len()) + DIGITS_MORE
    }

    /// Returns the latest time in a name, in microseconds.
    pub(super) fn latest(&self) -> i64 {
        self.latest.load(Ordering::Relaxed)
    }

    /// Has the next names sort behind all names with this time, also those of other instances.
    pub(super) fn begin_behind(&self, latest: i64) {
        self.latest.fetch_max(latest.saturating_add(SECOND), Ordering::Relaxed);
    }

    /// Returns the random number of this instance.
    pub(super) fn instance(&self) -> u32 {
        self.drawn
    }

    /// Returns the owner of the files.
    pub(super) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// Whether another instance of this sink, on this machine or another one, wrote a temporary file of this name.
    pub(super) fn is_left_over(&self, name: &str) -> bool {
        let own = format!("-{}-", self.instance);
        self.is_unfinished(name) && !name.contains(&own)
    }

    /// Whether an instance of this sink, or this one, wrote a temporary file of this name.
    pub(super) fn is_unfinished(&self, name: &str) -> bool {
        let temporary = temporary_of(name);
        let temporary = temporary.as_deref().unwrap_or(name);
        let original = original_of_copy(temporary);
        original.as_deref().unwrap_or(temporary).ends_with(&self.marker)
    }
}

/// Returns the name under which the search for leftovers retires a temporary file.
pub(super) fn retired(temporary: &str) -> String {
    format!("{}{RETIRED}", temporary.strip_suffix(TEMPORARY).unwrap_or(temporary))
}

/// Returns the temporary name that a retired file had; none if the file is not retired.
pub(super) fn temporary_of(name: &str) -> Option<String> {
    name.strip_suffix(RETIRED).map(|name| format!("{name}{TEMPORARY}"))
}

/// Returns the instance in the name of a temporary file, 16 hexadecimal digits; none if the name is another one.
pub(crate) fn instance_in(temporary: &str) -> Option<&str> {
    let mut parts = file_name(temporary).split('-');
    // The prefix of the name may have hyphens, too.
    parts.find(|part| DateTime::strptime(TIME, part).is_ok())?;
    parts.next().filter(|part| part.len() == 16 && part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Returns the temporary name for a copy of the beginning of this temporary file.
pub(super) fn copy_of(temporary: &str, random: u64) -> String {
    let name = temporary.strip_suffix(TEMPORARY).unwrap_or(temporary);
    format!("{name}{COPY}{:0COPY_DIGITS$x}{TEMPORARY}", random as u32)
}

/// Returns the temporary name of the file that this is a copy of; none if the file is not a copy.
fn original_of_copy(name: &str) -> Option<String> {
    let (original, _number) = name.strip_suffix(TEMPORARY)?.rsplit_once(COPY)?;
    Some(format!("{original}{TEMPORARY}"))
}

/// Returns the directory of a path that [`join`] has made.
pub(super) fn directory_of(path: &str) -> &str {
    match path.rfind('/') {
        Some(0) => "/",
        Some(slash) => &path[..slash],
        None => "",
    }
}

impl Owner {
    /// Returns the owner whose ledger is in a folder of this name.
    pub(super) fn of(folder: &str, exactly_once: bool) -> Owner {
        Owner(format!("{folder}.{exactly_once}"))
    }

    /// Returns the hash by which the owner recognises its names with this random number.
    fn hash(&self, drawn: u32) -> u32 {
        xxh3_64_with_seed(self.0.as_bytes(), u64::from(drawn)) as u32
    }

    /// Parses the name of a complete file; none if the file has another owner.
    pub(super) fn own(&self, name: &str) -> Option<Named> {
        let (named, hash) = parse(name)?;
        let own = format!("{:08x}", self.hash(named.drawn));
        own.ends_with(hash).then_some(named)
    }
}

impl Named {
    /// Parses the name of a complete file of any owner.
    pub(super) fn of(name: &str) -> Option<Named> {
        parse(name).map(|(named, _)| named)
    }
}

/// Parses the name of a complete file. Returns its parts and the last digits of the hash of its owner, 4 or 8.
fn parse(name: &str) -> Option<(Named, &str)> {
    let mut parts = name.rsplitn(4, '-');
    let (number, instance, time) = (parts.next()?, parts.next()?, parts.next()?);
    let digits = number.split('.').next()?;
    let is_number = digits.len() >= 6 && digits.bytes().all(|byte| byte.is_ascii_digit());
    // Names of earlier versions have fewer digits.
    let (drawn, hash) = match instance.len() {
        8 => instance.split_at_checked(4)?,
        12 | 16 => instance.split_at_checked(8)?,
        _ => return None,
    };
    let is_hash = hash.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let drawn = u32::from_str_radix(drawn, 16).ok()?;
    if !is_number || !is_hash || parts.next()?.starts_with('.') || name.ends_with(TEMPORARY) {
        return None;
    }
    let time = DateTime::strptime(TIME, time).ok()?.to_zoned(TimeZone::UTC).ok()?;
    let begun = time.timestamp().as_microsecond();
    Some((Named { begun, drawn, number: digits.parse().ok()? }, hash))
}

/// Returns the name of the folder of a sink's ledger.
pub(super) fn folder(program: &str, sink: &str) -> String {
    format!("{}.{}", escape(program), escape(sink))
}

/// Joins the path of a directory and a name.
pub(super) fn join(directory: &str, name: &str) -> String {
    match directory {
        "" => name.to_string(),
        root if root.ends_with('/') => format!("{root}{name}"),
        directory => format!("{directory}/{name}"),
    }
}

/// Returns the part of a path below a directory; none if the path is not below the directory.
pub(super) fn below<'a>(directory: &str, path: &'a str) -> Option<&'a str> {
    let rest = match directory {
        "" | "." => path.strip_prefix("./").unwrap_or(path),
        root if root.ends_with('/') => path.strip_prefix(root)?,
        directory => path.strip_prefix(directory)?.strip_prefix('/')?,
    };
    (!rest.is_empty() && !rest.starts_with('/')).then_some(rest)
}

/// Returns the last part of a path.
pub(super) fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// Percent-encodes dots and other characters of a name that could make the markers of two sinks equal.
pub(super) fn escape(name: &str) -> String {
    let mut escaped = String::new();
    for byte in name.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' => escaped.push(char::from(byte)),
            _ => {
                // Writing into a string can't fail.
                let _infallible = write!(escaped, "%{byte:02X}");
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of a sink of the program `shop`; those of each call are of another instance.
    fn names_of(
        prefix: &str,
        extension: &str,
        in_use: InUse,
        owner: (&str, &str),
        exactly_once: bool,
    ) -> FileNames {
        FileNames::new(prefix, extension, in_use, owner, exactly_once, fastrand::u32(..))
    }

    #[test]
    fn the_longest_name_is_that_of_an_unfinished_file() {
        let (program, sink) = ("shop", "é".repeat(40));
        let names = names_of("events", ".txt.gz", InUse::Dot, (program, &sink), true);
        assert_eq!(names.longest(), names.next("", 0).temporary.len() + DIGITS_MORE);
        assert!(names.longest() > 255 && folder(program, &sink).len() < names.longest());
    }

    #[test]
    fn a_name_has_the_time_the_instance_and_the_number() {
        let names = names_of("events", ".txt.gz", InUse::Dot, ("shop", "lake"), false);
        let instance = &names.instance;
        assert_eq!(instance.len(), 16);
        let begun = 1_767_268_800_000_000;
        names.next("/lake", begun);
        let paths = names.next("/lake/2026", begun);
        let complete = format!("events-20260101T120000Z-{instance}-000002.txt.gz");
        assert_eq!(paths.complete, format!("/lake/2026/{complete}"));
        assert_eq!(paths.temporary, format!("/lake/2026/.{complete}.shop.lake.tmp"));
    }

    #[test]
    fn names_sort_in_their_order_although_the_clock_goes_backwards() {
        let names = names_of("events", ".txt", InUse::Tmp, ("shop", "lake"), false);
        let begun = 1_767_268_800_000_000;
        let in_order = [begun, begun + 1_000_000, begun - 3_600_000_000, begun + 500_000, begun + 9_000_000]
            .map(|begun| names.next("", begun));
        assert!(in_order.is_sorted_by(|a, b| a.complete < b.complete), "{in_order:?}");
        let FilePaths { temporary, complete } = &in_order[0];
        assert_eq!(*temporary, format!("{complete}.shop.lake.tmp"));
        assert!(names_of("x", ".avro", InUse::Dot, ("shop", "lake"), false).is_left_over(temporary));
    }

    #[test]
    fn only_the_same_sinks_files_of_another_instance_are_left_over() {
        let file_name = |names: &FileNames| names.next("", 0).temporary;
        let mine = names_of("events", ".txt", InUse::Dot, ("shop", "lake"), false);
        let earlier = names_of("other-prefix", ".txt.gz", InUse::Dot, ("shop", "lake"), false);
        assert!(mine.is_left_over(&file_name(&earlier)));
        assert!(!mine.is_left_over(&file_name(&mine)));
        assert!(!mine.is_left_over(&earlier.next("", 0).complete));
        for (program, sink) in
            [("shop", "pond"), ("my.shop", "lake"), ("shop.lake", "lake"), ("a", "shop.lake")]
        {
            let other = names_of("events", ".txt", InUse::Dot, (program, sink), false);
            assert!(!mine.is_left_over(&file_name(&other)), "{program} {sink}");
        }
        assert!(!mine.is_left_over(".something.tmp"));
        assert_eq!(instance_in(&file_name(&earlier)), Some(&*earlier.instance));
        assert_eq!(instance_in(&copy_of(&file_name(&earlier), 7)), Some(&*earlier.instance));
        assert_eq!(instance_in("/lake/a-b-c.tmp"), None);
        let (own, copy) = (file_name(&mine), copy_of(&file_name(&earlier), 7));
        assert!(mine.is_left_over(&copy) && mine.is_left_over(&retired(&copy)), "{copy}");
        assert!(!mine.is_left_over(&copy_of(&own, 7)));
        assert_eq!(retired(&copy).len() - file_name(&earlier).len(), RETIRED_COPY_BYTES);
    }

    #[test]
    fn a_sink_recognises_its_own_complete_files() {
        let begun = 1_767_268_800_000_000;
        let names =
            |sink, exactly_once| names_of("my-events", ".txt.gz", InUse::Tmp, ("shop", sink), exactly_once);
        let (mine, earlier) = (names("lake", true), names("lake", true));
        let FilePaths { temporary, complete } = earlier.next("", begun);
        let named = Named { begun, drawn: earlier.drawn, number: 1 };
        assert_eq!(mine.owner.own(&complete), Some(named));
        assert_eq!(mine.owner.own(&temporary), None);
        // Names of earlier versions, with 16 bits of the hash, and with 16 random bits as well.
        for (drawn, digits) in [(0x9f3c_51d2, 8), (0x9f3c, 4)] {
            let hash = format!("{:08x}", mine.owner.hash(drawn));
            let complete = format!("my-events-20260101T120000Z-{drawn:0digits$x}{}-000001.txt", &hash[4..]);
            assert_eq!(mine.owner.own(&complete), Some(Named { begun, drawn, number: 1 }), "{complete}");
        }
        for name in
            ["", "events", "a-b-c-d", "events-20260101T120000Z-9f3c51d2-000001.txt-", "-----", "é-é-é-é"]
        {
            assert_eq!(mine.owner.own(name), None, "{name}");
        }
    }

    /// Two sinks that write into one directory for years have to tell millions of files apart: each file that a sink takes
    /// for its own and that its ledger does not know refuses the start of the agent.
    #[test]
    fn no_sink_recognises_a_file_of_another_one() {
        let mine = names_of("events", ".txt", InUse::Dot, ("shop", "lake"), true);
        for (drawn, (sink, exactly_once)) in
            (0..300_000).zip([("pond", true), ("lake", false)].into_iter().cycle())
        {
            let other = FileNames::new("events", ".txt", InUse::Dot, ("shop", sink), exactly_once, drawn);
            assert_eq!(mine.owner.own(&other.next("", 0).complete), None, "{drawn} {sink}");
        }
    }

    #[test]
    fn paths_are_joined_by_one_slash() {
        assert_eq!(join("/", "a"), "/a");
        assert_eq!(join("/lake", "a"), "/lake/a");
        assert_eq!(join("", "a"), "a");
        for directory in ["/", "/lake", "", "lake", "./lake"] {
            assert_eq!(directory_of(&join(directory, "a")), directory);
        }
    }

    #[test]
    fn only_paths_within_a_directory_are_below_it() {
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
