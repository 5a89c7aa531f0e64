//! What the paths of the source match, directory by directory, so that only those are looked into in which
//! something can match.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use globset::{Glob, GlobBuilder, GlobMatcher};

use super::FilesError;

/// What turns characters of a pattern into more than themselves.
const SPECIAL: [char; 6] = ['*', '?', '[', '{', '}', '\\'];
/// A pattern with more combinations of its alternatives is refused.
const COMBINATIONS_MAX: usize = 1_000;

/// How names end that programs give to files they are still writing: Weir's sinks, browsers, transfer programs,
/// editors, `hdfs dfs -put`.
const UNFINISHED_ENDS: [&str; 12] = [
    ".tmp",
    ".temp",
    ".part",
    ".partial",
    ".filepart",
    ".crdownload",
    ".download",
    ".swp",
    ".swo",
    ".swx",
    "._copying_",
    "~",
];

/// The paths that are wanted.
#[derive(Debug)]
pub(in crate::components::files) struct Patterns {
    all: Vec<Pattern>,
    /// Whether files are wanted only once they are complete.
    complete: bool,
    /// The suffix of files that are done with.
    done_suffix: Option<Box<OsStr>>,
}

/// One pattern without alternatives.
#[derive(Debug)]
struct Pattern {
    parts: Vec<Part>,
    /// Whether it asks for names that look unfinished.
    names_unfinished: bool,
}

/// What a pattern says of one name in a path.
#[derive(Debug)]
enum Part {
    /// It is this.
    Name(OsString),
    /// It is like this. What begins with a dot has to be asked for by a dot.
    Glob { glob: GlobMatcher, matches_hidden: bool },
    /// `**`: any number of directories, or everything below.
    Recursive,
}

/// For a directory: which part of which pattern the names in it have to match.
pub(in crate::components::files) type PartialMatches = Vec<(usize, usize)>;

/// What becomes of a name in a directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::components::files) struct NameMatch {
    /// Whether a file of this name is wanted.
    pub(in crate::components::files) file: bool,
    /// Whether a file of this name would be wanted, but is still being written, as its name says.
    pub(in crate::components::files) unfinished: bool,
    /// If it is a directory, what is wanted there; empty if nothing is.
    pub(in crate::components::files) below: PartialMatches,
}

impl NameMatch {
    /// Whether anything of that name matters.
    pub(in crate::components::files) fn matters(&self) -> bool {
        self.file || self.unfinished || !self.below.is_empty()
    }
}

impl Patterns {
    /// Patterns as the user writes them; relative ones are meant from the working directory.
    ///
    /// # Errors
    /// When one is no glob, or has too many alternatives.
    pub(super) fn new(
        patterns: Vec<String>,
        complete: bool,
        done_suffix: Option<&str>,
    ) -> Result<Patterns, FilesError> {
        let mut all = Vec::new();
        for glob in patterns {
            let refused = |source| FilesError::Glob { glob: glob.clone(), source };
            glob_of(&glob).map_err(refused)?;
            let mut plain = Vec::new();
            if !expand(&glob, &mut plain) {
                return Err(FilesError::Alternatives { glob, most: COMBINATIONS_MAX });
            }
            for text in plain {
                all.push(Pattern::new(&text).map_err(refused)?);
            }
        }
        let done_suffix = done_suffix.map(|suffix| OsStr::new(suffix).into());
        Ok(Patterns { all, complete, done_suffix })
    }

    /// The directories where looking begins: those that hold all that a pattern matches.
    pub(in crate::components::files) fn begin(&self) -> BTreeMap<PathBuf, PartialMatches> {
        let mut begin: BTreeMap<PathBuf, PartialMatches> = BTreeMap::new();
        for (number, pattern) in self.all.iter().enumerate() {
            let last = pattern.parts.len().saturating_sub(1);
            let names = pattern.parts[..last].iter().map_while(|part| match part {
                Part::Name(name) => Some(name),
                Part::Glob { .. } | Part::Recursive => None,
            });
            let (mut directory, mut depth) = (PathBuf::from("/"), 0);
            for name in names {
                directory.push(name);
                depth += 1;
            }
            self.add(begin.entry(directory).or_default(), number, depth);
        }
        begin
    }

    /// What becomes of a name in a directory with these places.
    pub(in crate::components::files) fn step(&self, partial: &PartialMatches, name: &OsStr) -> NameMatch {
        let mut step = NameMatch::default();
        let hidden = name.as_bytes().first() == Some(&b'.');
        for &(number, depth) in partial {
            let pattern = &self.all[number];
            let matches = match &pattern.parts[depth] {
                Part::Name(wanted) => wanted == name,
                Part::Glob { glob, matches_hidden } => (*matches_hidden || !hidden) && glob.is_match(name),
                Part::Recursive => !hidden,
            };
            if !matches {
                continue;
            }
            if matches!(pattern.parts[depth], Part::Recursive) {
                self.add(&mut step.below, number, depth);
            } else if depth + 1 < pattern.parts.len() {
                self.add(&mut step.below, number, depth + 1);
            }
            if depth + 1 == pattern.parts.len() {
                match self.complete && !pattern.names_unfinished && is_unfinished(name.as_bytes()) {
                    true => step.unfinished = true,
                    false => step.file = true,
                }
            }
        }
        let is_done = |suffix: &OsStr| name.as_bytes().ends_with(suffix.as_bytes());
        if self.done_suffix.as_deref().is_some_and(is_done) {
            (step.file, step.unfinished) = (false, false);
        }
        step
    }

    /// What becomes of a path from the root on.
    pub(in crate::components::files) fn match_path(&self, path: &Path) -> NameMatch {
        let mut partial = PartialMatches::new();
        for number in 0..self.all.len() {
            self.add(&mut partial, number, 0);
        }
        let mut step = NameMatch { below: partial, ..NameMatch::default() };
        for component in path.components() {
            match component {
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
                Component::ParentDir => step = self.step(&step.below, OsStr::new("..")),
                Component::Normal(name) => step = self.step(&step.below, name),
            }
        }
        step
    }

    /// Of these places, those that are names: they are looked up, and the directory is not listed for them.
    pub(in crate::components::files) fn names<'a>(
        &'a self,
        partial: &'a PartialMatches,
    ) -> impl Iterator<Item = &'a OsStr> {
        partial.iter().filter_map(|&(number, depth)| match &self.all[number].parts[depth] {
            Part::Name(name) => Some(name.as_os_str()),
            Part::Glob { .. } | Part::Recursive => None,
        })
    }

    /// Whether the directory has to be listed.
    pub(in crate::components::files) fn needs_listing(&self, partial: &PartialMatches) -> bool {
        partial.iter().any(|&(number, depth)| !matches!(self.all[number].parts[depth], Part::Name(_)))
    }

    /// Adds a place, and the one behind it if it may be left out.
    fn add(&self, partial: &mut PartialMatches, number: usize, depth: usize) {
        let parts = &self.all[number].parts;
        if depth < parts.len() && !partial.contains(&(number, depth)) {
            partial.push((number, depth));
            if matches!(parts[depth], Part::Recursive) {
                self.add(partial, number, depth + 1);
            }
        }
    }
}

impl Pattern {
    fn new(text: &str) -> Result<Pattern, globset::Error> {
        let mut parts = Vec::new();
        if !text.starts_with('/') {
            // The working directory may have names that look like patterns.
            let working = std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/"));
            let names = working.components().filter_map(|component| match component {
                Component::Normal(name) => Some(Part::Name(name.to_owned())),
                _ => None,
            });
            parts.extend(names);
        }
        let names = text.split('/').filter(|name| !name.is_empty() && *name != ".");
        let mut last = "";
        for name in names {
            last = name;
            match Part::new(name)? {
                Part::Recursive if matches!(parts.last(), Some(Part::Recursive)) => {}
                part => parts.push(part),
            }
        }
        Ok(Pattern { parts, names_unfinished: is_unfinished(last.as_bytes()) })
    }
}

impl Part {
    fn new(text: &str) -> Result<Part, globset::Error> {
        if text == "**" {
            return Ok(Part::Recursive);
        }
        let mut name = String::new();
        let mut characters = text.chars();
        let is_name = loop {
            match characters.next() {
                None => break true,
                Some('\\') => name.extend(characters.next()),
                Some(special) if SPECIAL.contains(&special) => break false,
                Some(plain) => name.push(plain),
            }
        };
        if is_name {
            return Ok(Part::Name(name.into()));
        }
        let matches_hidden = text.starts_with('.') || text.starts_with("\\.");
        Ok(Part::Glob { glob: glob_of(text)?.compile_matcher(), matches_hidden })
    }
}

fn glob_of(text: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(text).literal_separator(true).empty_alternates(true).build()
}

/// Whether a name says that its file is still being written.
fn is_unfinished(name: &[u8]) -> bool {
    let ends_in = |end: &&str| {
        let at = name.len().checked_sub(end.len());
        at.is_some_and(|at| at > 0 && name[at..].eq_ignore_ascii_case(end.as_bytes()))
    };
    UNFINISHED_ENDS.iter().any(ends_in)
}

/// Writes a pattern once for each combination of its alternatives. False if there are too many.
fn expand(pattern: &str, all: &mut Vec<String>) -> bool {
    let Some((before, alternatives, after)) = first_alternatives(pattern) else {
        all.push(pattern.to_owned());
        return all.len() <= COMBINATIONS_MAX;
    };
    alternatives.into_iter().all(|alternative| expand(&format!("{before}{alternative}{after}"), all))
}

/// The first alternatives of a pattern, `{a,b}`, with what stands before and behind them.
fn first_alternatives(pattern: &str) -> Option<(&str, Vec<&str>, &str)> {
    let bytes = pattern.as_bytes();
    let (mut at, mut depth, mut begin, mut parts) = (0, 0, 0, Vec::new());
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'[' => at = end_of_class(bytes, at),
            b'{' => {
                if depth == 0 {
                    begin = at;
                    parts.push(at + 1);
                }
                depth += 1;
            }
            b',' if depth == 1 => parts.push(at + 1),
            b'}' if depth > 0 => {
                depth -= 1;
                if depth == 0 {
                    parts.push(at + 1);
                    let texts = parts.windows(2).map(|pair| &pattern[pair[0]..pair[1] - 1]).collect();
                    return Some((&pattern[..begin], texts, &pattern[at + 1..]));
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// Where a class of characters ends that begins at `at`.
fn end_of_class(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    if matches!(bytes.get(end), Some(b'!' | b'^')) {
        end += 1;
    }
    // A bracket right at the beginning stands for itself.
    end += 1;
    while end < bytes.len() && bytes[end] != b']' {
        end += 1;
    }
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn patterns(all: &[&str]) -> Patterns {
        Patterns::new(all.iter().map(ToString::to_string).collect(), true, Some(".done")).unwrap()
    }

    fn takes(pattern: &str, path: &str) -> bool {
        patterns(&[pattern]).match_path(Path::new(path)).file
    }

    #[test]
    fn a_dot_at_the_beginning_of_a_name_has_to_be_asked_for() {
        for (pattern, path, taken) in [
            ("/in/*", "/in/data.csv", true),
            ("/in/*", "/in/.data.csv.Ab3xYz", false),
            ("/in/?data", "/in/.data", false),
            ("/in/[!a]data", "/in/.data", false),
            ("/in/.*", "/in/.data", true),
            ("/in/{.,}*", "/in/.data", true),
            ("/in/{a,*}", "/in/.data", false),
            ("/in/**/*.log", "/in/.git/a.log", false),
            ("/in/**", "/in/a/.b", false),
            ("/in/**/.git/*", "/in/x/.git/a.log", true),
            ("/in/.data", "/in/.data", true),
        ] {
            assert_eq!(takes(pattern, path), taken, "{pattern} {path}");
        }
    }

    #[test]
    fn what_is_still_written_is_left_alone_unless_it_is_asked_for() {
        for name in ["a.tmp", "a.csv.PART", "a.filepart", "a~", "a.swp", "a.csv._COPYING_"] {
            let step = patterns(&["/in/*"]).match_path(&Path::new("/in").join(name));
            assert!(step.unfinished && !step.file, "{name}");
            let follow = Patterns::new(vec!["/in/*".into()], false, None).unwrap();
            assert!(follow.match_path(&Path::new("/in").join(name)).file, "{name}");
        }
        assert!(takes("/in/*.tmp", "/in/a.tmp") && takes("/in/a~", "/in/a~"));
        assert!(takes("/in/*", "/in/part") && takes("/in/*", "/in/a.tmp.csv"));
        assert!(!takes("/in/*", "/in/a.csv.done") && !takes("/in/*.tmp", "/in/a.csv"));
    }

    #[test]
    fn looking_begins_where_all_that_can_match_is() {
        let begin = |pattern: &str| patterns(&[pattern]).begin().into_keys().next().unwrap();
        assert_eq!(begin("/var/log/app/*.log"), Path::new("/var/log/app"));
        assert_eq!(begin("/var/log/a.log"), Path::new("/var/log"));
        assert_eq!(begin("/data*/logs/*.log"), Path::new("/"));
        assert_eq!(begin("/a\\*b/c"), Path::new("/a*b"));
        assert_eq!(begin("in/*.log"), std::env::current_dir().unwrap().join("in"));
    }

    #[test]
    fn only_directories_that_can_hold_a_match_matter() {
        let patterns = patterns(&["/data*/logs/*.log", "/var/**/x/{a/b,c}.txt"]);
        let below = |path: &str| !patterns.match_path(Path::new(path)).below.is_empty();
        for (path, matters) in [
            ("/data1", true),
            ("/data1/logs", true),
            ("/data1/other", false),
            ("/data1/logs/more", false),
            ("/proc", false),
            ("/var/q/r/s", true),
            ("/var/q/.r", false),
            ("/var/x/a", true),
        ] {
            assert_eq!(below(path), matters, "{path}");
        }
        for path in ["/data1/logs/a.log", "/var/x/a/b.txt", "/var/q/r/x/c.txt"] {
            assert!(patterns.match_path(Path::new(path)).file, "{path}");
        }
    }

    #[test]
    fn too_many_alternatives_are_refused() {
        let pattern = format!("/in/{}", "{a,b}".repeat(40));
        let refused = Patterns::new(vec![pattern], true, None).unwrap_err();
        assert!(matches!(refused, FilesError::Alternatives { .. }), "{refused}");
        let fine = Patterns::new(vec![format!("/in/{}", "{a,b}".repeat(9))], true, None).unwrap();
        assert!(fine.match_path(Path::new("/in/ababababa")).file);
    }

    proptest! {
        /// Name by name, a pattern takes what the glob takes as a whole, but for hidden names.
        #[test]
        fn names_are_judged_as_the_whole_path_is(
            pattern in "/([ab*?/]|\\*\\*/|\\{a,b/c\\}|\\[ab\\]|[ab]){1,8}",
            path in "(/[abc]{1,3}){1,4}",
        ) {
            prop_assume!(!pattern.contains("//") && !pattern.ends_with('/'));
            // Within a name, two stars mean one.
            prop_assume!(pattern.split('/').all(|name| name == "**" || !name.contains("**")));
            if let Ok(glob) = glob_of(&pattern) {
                let expected = glob.compile_matcher().is_match(&path);
                let found = Patterns::new(vec![pattern.clone()], true, None).unwrap().match_path(Path::new(&path)).file;
                prop_assert_eq!(found, expected, "{} {}", pattern, path);
            }
        }

        #[test]
        fn any_pattern_is_taken_or_refused(pattern in "[a/*?\\[\\]{},!.\\\\^-]{0,16}") {
            if let Ok(patterns) = Patterns::new(vec![pattern], true, None) {
                patterns.match_path(Path::new("/a/a.a"));
                patterns.begin();
            }
        }
    }
}
