//! Matches paths against the source's globs, one name at a time, so that only directories that can contain a match are
//! visited.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::ops::Range;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use globset::{Glob, GlobBuilder, GlobMatcher};

use super::FilesError;

/// The characters that are special in a glob.
const SPECIAL: [char; 6] = ['*', '?', '[', '{', '}', '\\'];
/// The most combinations of alternatives in a glob; a glob with more is refused.
const COMBINATIONS_MAX: usize = 1_000;

/// The suffixes that programs give to files that they are still writing: Weir's sinks, browsers, transfer programs,
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

/// The globs of a source.
#[derive(Debug)]
pub(in crate::components) struct Patterns {
    all: Vec<Pattern>,
    globs: Vec<WrittenGlob>,
    /// Whether files are only read once they are complete.
    complete: bool,
    /// The suffix of delivered files, which are not read again.
    done_suffix: Option<Box<OsStr>>,
}

/// A glob as the user writes it.
#[derive(Debug)]
struct WrittenGlob {
    text: String,
    /// The indices of its patterns, one for each combination of its alternatives.
    patterns: Range<usize>,
}

/// One glob without alternatives, split at `/`.
#[derive(Debug)]
struct Pattern {
    parts: Vec<Part>,
    /// Whether the pattern itself ends like an unfinished file, so that it matches such files.
    names_unfinished: bool,
}

/// The part of a pattern that matches one name in a path.
#[derive(Debug)]
enum Part {
    /// Matches exactly this name.
    Name(OsString),
    /// Matches a name by a glob. Only a glob that begins with a dot matches names that begin with a dot.
    Glob { glob: GlobMatcher, matches_hidden: bool },
    /// `**`: matches any number of directories, or everything below.
    Recursive,
}

/// The patterns that a directory's path has matched so far: the index of each, and the index of the part that names in
/// the directory have to match.
pub(in crate::components) type PartialMatches = Vec<(usize, usize)>;

/// The result of matching one name in a directory.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::components) struct NameMatch {
    /// Whether a file of this name matches.
    pub(in crate::components) file: bool,
    /// Whether a file of this name would match, but its suffix says that it is still being written.
    pub(in crate::components) unfinished: bool,
    /// The matches of a directory of this name; empty if nothing in it can match.
    pub(in crate::components) below: PartialMatches,
}

impl NameMatch {
    /// Returns whether an entry of this name has to be examined.
    pub(in crate::components) fn matters(&self) -> bool {
        self.file || self.unfinished || !self.below.is_empty()
    }
}

impl Patterns {
    /// Parses globs as the user writes them; relative ones begin at the working directory.
    ///
    /// # Errors
    /// When a glob is invalid, or has too many alternatives.
    pub(super) fn new(
        patterns: Vec<String>,
        complete: bool,
        done_suffix: Option<&str>,
    ) -> Result<Patterns, FilesError> {
        let (mut all, mut globs) = (Vec::new(), Vec::new());
        for glob in patterns {
            let refused = |source| FilesError::Glob { glob: glob.clone(), source };
            glob_of(&glob).map_err(refused)?;
            let mut plain = Vec::new();
            if !expand(&glob, &mut plain) {
                return Err(FilesError::Alternatives { glob, most: COMBINATIONS_MAX });
            }
            let first = all.len();
            for text in plain {
                all.push(Pattern::new(&text).map_err(refused)?);
            }
            globs.push(WrittenGlob { text: glob, patterns: first..all.len() });
        }
        let done_suffix = done_suffix.map(|suffix| OsStr::new(suffix).into());
        Ok(Patterns { all, globs, complete, done_suffix })
    }

    /// Whether the files that match are read only once they are complete.
    pub(super) fn are_of_complete_files(&self) -> bool {
        self.complete
    }

    /// Returns the directories where a scan begins: for each pattern the deepest one that contains all its matches.
    pub(in crate::components) fn roots(&self) -> BTreeMap<PathBuf, PartialMatches> {
        let mut roots: BTreeMap<PathBuf, PartialMatches> = BTreeMap::new();
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
            self.add(roots.entry(directory).or_default(), number, depth);
        }
        roots
    }

    /// Matches a name in a directory.
    pub(in crate::components) fn match_name(&self, partial: &PartialMatches, name: &OsStr) -> NameMatch {
        let mut matched = NameMatch::default();
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
                self.add(&mut matched.below, number, depth);
            } else if depth + 1 < pattern.parts.len() {
                self.add(&mut matched.below, number, depth + 1);
            }
            if depth + 1 == pattern.parts.len() {
                match self.complete && !pattern.names_unfinished && is_unfinished(name.as_bytes()) {
                    true => matched.unfinished = true,
                    false => matched.file = true,
                }
            }
        }
        let is_done = |suffix: &OsStr| name.as_bytes().ends_with(suffix.as_bytes());
        if self.done_suffix.as_deref().is_some_and(is_done) {
            (matched.file, matched.unfinished) = (false, false);
        }
        matched
    }

    /// Returns the globs that match none of these paths. A path that is spelled out is not among them, since a scan reports
    /// that it is missing.
    pub(super) fn without_files<'p>(&self, paths: impl Iterator<Item = &'p Path> + Clone) -> BTreeSet<&str> {
        let is_spelled_out = |glob: &WrittenGlob| {
            let mut parts = self.all[glob.patterns.clone()].iter().flat_map(|pattern| &pattern.parts);
            parts.all(|part| matches!(part, Part::Name(_)))
        };
        let has_files = |glob: &WrittenGlob| {
            paths.clone().any(|path| self.match_path_by(glob.patterns.clone(), path).file)
        };
        let without = self.globs.iter().filter(|glob| !is_spelled_out(glob) && !has_files(glob));
        without.map(|glob| glob.text.as_str()).collect()
    }

    /// Matches an absolute path, name by name.
    pub(in crate::components) fn match_path(&self, path: &Path) -> NameMatch {
        self.match_path_by(0..self.all.len(), path)
    }

    /// Matches an absolute path with these patterns.
    fn match_path_by(&self, patterns: Range<usize>, path: &Path) -> NameMatch {
        let mut partial = PartialMatches::new();
        for number in patterns {
            self.add(&mut partial, number, 0);
        }
        let mut matched = NameMatch { below: partial, ..NameMatch::default() };
        for component in path.components() {
            match component {
                Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
                Component::ParentDir => matched = self.match_name(&matched.below, OsStr::new("..")),
                Component::Normal(name) => matched = self.match_name(&matched.below, name),
            }
        }
        matched
    }

    /// Returns the names in a directory that patterns spell out. They are looked up without listing the directory.
    pub(in crate::components) fn literal_names<'a>(
        &'a self,
        partial: &'a PartialMatches,
    ) -> impl Iterator<Item = &'a OsStr> {
        partial.iter().filter_map(|&(number, depth)| match &self.all[number].parts[depth] {
            Part::Name(name) => Some(name.as_os_str()),
            Part::Glob { .. } | Part::Recursive => None,
        })
    }

    /// Returns whether the directory has to be listed, since a glob may match names in it.
    pub(in crate::components) fn needs_listing(&self, partial: &PartialMatches) -> bool {
        partial.iter().any(|&(number, depth)| !matches!(self.all[number].parts[depth], Part::Name(_)))
    }

    /// Adds a partial match; after `**` also that of the next part, since `**` matches zero directories too.
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
            // The working directory's names are taken literally, even if they contain special characters.
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

/// Returns whether a name's suffix says that the file is still being written.
fn is_unfinished(name: &[u8]) -> bool {
    let ends_in = |end: &&str| {
        let at = name.len().checked_sub(end.len());
        at.is_some_and(|at| at > 0 && name[at..].eq_ignore_ascii_case(end.as_bytes()))
    };
    UNFINISHED_ENDS.iter().any(ends_in)
}

/// Expands a glob to one pattern for each combination of its alternatives. Returns false if there are too many.
fn expand(pattern: &str, all: &mut Vec<String>) -> bool {
    let Some((before, alternatives, after)) = first_alternatives(pattern) else {
        all.push(pattern.to_owned());
        return all.len() <= COMBINATIONS_MAX;
    };
    alternatives.into_iter().all(|alternative| expand(&format!("{before}{alternative}{after}"), all))
}

/// Splits a glob at its first alternatives, `{a,b}`: the text before, the alternatives, and the text after.
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

/// Returns the index of the last byte of the character class that begins at `at`.
fn end_of_class(bytes: &[u8], at: usize) -> usize {
    let mut end = at + 1;
    if matches!(bytes.get(end), Some(b'!' | b'^')) {
        end += 1;
    }
    // A bracket at the beginning of a class is a member of it.
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
    fn hidden_names_match_only_patterns_that_begin_with_a_dot() {
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
    fn unfinished_files_match_only_patterns_with_their_suffix() {
        for name in ["a.tmp", "a.csv.PART", "a.filepart", "a~", "a.swp", "a.csv._COPYING_"] {
            let matched = patterns(&["/in/*"]).match_path(&Path::new("/in").join(name));
            assert!(matched.unfinished && !matched.file, "{name}");
            let follow = Patterns::new(vec!["/in/*".into()], false, None).unwrap();
            assert!(follow.match_path(&Path::new("/in").join(name)).file, "{name}");
        }
        assert!(takes("/in/*.tmp", "/in/a.tmp") && takes("/in/a~", "/in/a~"));
        assert!(takes("/in/*", "/in/part") && takes("/in/*", "/in/a.tmp.csv"));
        assert!(!takes("/in/*", "/in/a.csv.done") && !takes("/in/*.tmp", "/in/a.csv"));
    }

    #[test]
    fn a_scan_begins_at_the_deepest_directory_that_contains_all_matches() {
        let roots = |pattern: &str| patterns(&[pattern]).roots().into_keys().next().unwrap();
        assert_eq!(roots("/var/log/app/*.log"), Path::new("/var/log/app"));
        assert_eq!(roots("/var/log/a.log"), Path::new("/var/log"));
        assert_eq!(roots("/data*/logs/*.log"), Path::new("/"));
        assert_eq!(roots("/a\\*b/c"), Path::new("/a*b"));
        assert_eq!(roots("in/*.log"), std::env::current_dir().unwrap().join("in"));
    }

    #[test]
    fn only_directories_that_can_contain_a_match_are_visited() {
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
        /// Hidden names are left out, since a glob for the complete path matches them.
        #[test]
        fn matching_name_by_name_equals_matching_the_complete_path(
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
        fn no_pattern_causes_a_panic(pattern in "[a/*?\\[\\]{},!.\\\\^-]{0,16}") {
            if let Ok(patterns) = Patterns::new(vec![pattern], true, None) {
                patterns.match_path(Path::new("/a/a.a"));
                patterns.roots();
            }
        }
    }
}
