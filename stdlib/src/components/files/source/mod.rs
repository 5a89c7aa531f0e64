//! The source that reads growing or complete files.
//!
//! | module | |
//! | --- | --- |
//! | `patterns`, `discovery` | matches paths against the globs, and scans the directories |
//! | `watching` | receives changes from the kernel (inotify) |
//! | `identity` | identifies a file independently of its name, and names its partition |
//! | `tracked` | the state of every known file, with its undelivered and delivered positions |
//! | `text`, `content`, `members`, `text_hash` | opens, decompresses, recognises and verifies one file |
//! | `copies` | finds the original of a compressed copy |
//! | `text_reader`, `splitting` | splits a text into events |
//! | `partial_lines` | keeps last lines without a line end for when their file is gone |
//! | `batches` | makes batches of events |
//! | `after` | keeps, renames or deletes a complete file once it is delivered |
//! | `file_system` | the seam to the file system: this machine's, or a simulated one |
//! | `positions` | the file of positions, which outlives the agent |
//! | `run` | the main loop |
//! | `seam` | the types that another component needs in order to supply a file system |

mod after;
mod batches;
mod content;
mod copies;
mod discovery;
pub(super) mod file_system;
mod identity;
mod members;
mod partial_lines;
mod patterns;
mod positions;
mod run;
mod splitting;
mod text;
mod text_hash;
mod text_reader;
mod tracked;
mod watching;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::ArrowError;
use async_trait::async_trait;
use regex::bytes::Regex;
use serde::Deserialize;
use thiserror::Error;
use tokio::task::JoinError;
use weir_plan::Settings;
use weir_runtime::batch::BatchError;
use weir_runtime::source::{DownstreamChannels, PutError, Source, SourcePort};
use weir_runtime::storage::probe;
use weir_runtime::{ConnectFailure, Context, Descriptors, Failure, LogLimit, Meter, Purpose};

use crate::formats::reading::RecordRules;
use crate::tools::buffers::Buffers;
use crate::tools::encoding::TextEncoding;
use crate::tools::lines::{Ending, Grouping, LineRules, LongLine, Span};
use batches::Batches;
use discovery::Discovery;
use file_system::{FileSystem, LocalFileSystem};
use partial_lines::PartialLines;
use patterns::Patterns;
use positions::{Memory, PositionsError, PositionsStore};
use splitting::Splitting;
use text::TextRules;

/// The types that another component needs in order to supply a file system.
#[cfg(feature = "hdfs")]
pub(in crate::components) mod seam {
    pub(in crate::components) use super::After;
    pub(in crate::components) use super::after::key_of_hidden;
    pub(in crate::components) use super::discovery::{Directory, FoundFile, Scan};
    pub(in crate::components) use super::file_system::{
        FileSystem, LocalFileSystem, OpenFile, OpenPositions,
    };
    pub(in crate::components) use super::identity::{Key, Stamp, State};
    pub(in crate::components) use super::patterns::{PartialMatches, Patterns};
    pub(in crate::components) use super::positions::PositionsError;
    pub(in crate::components) use super::watching::Watcher;
}

/// The enum `After` of the signatures.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::components) enum After {
    Keep,
    Rename { suffix: String },
    Delete,
}

/// The enum `FileStart` of the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FileStart {
    Beginning,
    End,
}

/// The enum `FileMode` of the signature.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum FileMode {
    Follow { start: FileStart },
    Complete { after: After },
}

/// The enum `Multiline` of the signature.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Multiline {
    Begins { pattern: String, most: usize, wait: Duration },
    Continues { pattern: String, most: usize, wait: Duration },
}

/// The most events that are made of lines at once.
const EVENTS_OF_LINES: usize = 10_000;

#[derive(Deserialize)]
struct FilesSettings {
    paths: Vec<String>,
    mode: FileMode,
    max_line: usize,
    long_lines: LongLine,
    multiline: Option<Multiline>,
    encoding: TextEncoding,
    decompress: bool,
    positions: Option<PathBuf>,
    poll: Duration,
    batch: usize,
    linger: Option<Duration>,
    /// How files of records are read; without, files hold text.
    #[serde(skip)]
    records: Option<RecordRules>,
}

/// The settings of a source of complete files on another file system.
#[cfg(feature = "hdfs")]
pub(in crate::components) struct CompleteFiles {
    pub(in crate::components) paths: Vec<String>,
    pub(in crate::components) after: After,
    pub(in crate::components) max_line: usize,
    pub(in crate::components) long_lines: LongLine,
    pub(in crate::components) records: Option<RecordRules>,
    pub(in crate::components) encoding: TextEncoding,
    pub(in crate::components) positions: Option<PathBuf>,
    pub(in crate::components) poll: Duration,
    pub(in crate::components) batch: usize,
    /// Whether the source leaves no trace: files stay where they are.
    pub(in crate::components) untraced: bool,
}

/// Reads files, one event a line, or as `multiline` says.
struct FilesSource {
    component: Arc<str>,
    /// The globs, for the log.
    paths: String,
    meter: Arc<Meter>,
    descriptors: Descriptors,
    batches: Batches,
    discovery: Discovery,
    mode: FileMode,
    rules: Arc<TextRules>,
    /// How long an event of several lines waits for further lines.
    pause: Option<Duration>,
    poll: Duration,
    linger: Option<Duration>,
    positions_path: Option<PathBuf>,
    /// `None` before the first run.
    positions: Option<Arc<dyn PositionsStore>>,
    /// The state that the previous run left.
    remembered: Memory,
    /// Limits the warnings about lines that are too long.
    long_lines: LogLimit,
    /// Limits the warnings about files that were gone before they were read to the end.
    gone_unread: LogLimit,
    /// Limits the warnings about copies whose original is quarantined.
    waiting_copies: LogLimit,
    /// Limits the warnings about files that `decompress` would read.
    compressed_files: LogLimit,
    /// Limits the warnings about files in packed formats that can't be read.
    packed_files: LogLimit,
    /// Limits the warnings about files that go on behind their compressed data.
    rubbish: LogLimit,
    /// Limits the warnings about holes of zero bytes.
    holes: LogLimit,
    /// Limits the warnings about text that is not right in its encoding.
    malformed: LogLimit,
    /// The paths of files that are set aside, as the meter's troubles name them.
    set_aside: BTreeSet<String>,
    /// Whether the source has never run before: files found now existed before its first start.
    first_run: bool,
}

#[derive(Debug, Error)]
enum FilesError {
    #[error("the glob `{glob}` can't be used")]
    Glob { glob: String, source: globset::Error },
    #[error("the glob `{glob}` has more than {most} combinations of its alternatives")]
    Alternatives { glob: String, most: usize },
    #[error("the pattern of `multiline` can't be used")]
    Pattern(#[from] regex::Error),
    #[error("the suffix for files that are done must not be empty")]
    EmptySuffix,
    #[error("a thread that reads files has ended")]
    Thread(#[from] JoinError),
    #[error("making a batch")]
    Batch(#[from] BatchError),
    #[error("making views of lines")]
    Views(#[from] ArrowError),
    #[error(transparent)]
    PositionsFile(#[from] PositionsError),
    #[error(transparent)]
    Put(#[from] PutError),
}

impl FilesError {
    fn into_failure(self) -> Failure {
        match self {
            FilesError::Put(error) => error.into_failure(),
            // The other agent may end, or disk space may be freed.
            error @ FilesError::PositionsFile(
                PositionsError::File { .. }
                | PositionsError::Directory { .. }
                | PositionsError::Locked { .. },
            ) => Failure::from(error),
            error => Failure::permanent(error),
        }
    }
}

/// Makes a source that reads files of this machine.
pub(crate) fn make(settings: &Settings, context: Context) -> Result<Box<dyn Source>, Failure> {
    make_in(Arc::new(LocalFileSystem), settings, context)
}

/// Makes a source that reads files of this machine from their beginning, and leaves no trace: it saves no positions, and leaves each
/// file where it is.
pub(crate) fn make_untraced(settings: &Settings, context: Context) -> Result<Box<dyn Source>, Failure> {
    context.descriptors.expect(Purpose::SourceFile);
    let mut settings: FilesSettings = settings.read().map_err(Failure::permanent)?;
    settings.positions = None;
    if let FileMode::Follow { start } = &mut settings.mode {
        *start = FileStart::Beginning;
    }
    let source = FilesSource::new(Arc::new(LocalFileSystem), settings, context);
    Ok(Box::new(source.map_err(Failure::permanent)?.keeping_files()))
}

/// Returns the bodies of the events that a source with these settings makes of a text of whole lines.
///
/// # Errors
/// When the settings can't be carried out.
pub(crate) fn events_of_lines(settings: &Settings, text: &[u8]) -> Result<Vec<Vec<u8>>, Failure> {
    let FilesSettings { max_line, long_lines, multiline, encoding, .. } =
        settings.read().map_err(Failure::permanent)?;
    let (rules, _) = line_rules(max_line, long_lines, multiline, encoding).map_err(Failure::permanent)?;
    let (mut bodies, mut position) = (Vec::new(), 0);
    while position < text.len() {
        let split = rules.split(&text[position..], position as u64, Ending::End, EVENTS_OF_LINES);
        let decoded = rules.decode(&text[position..], &split.spans);
        let body = |span: &Span| decoded.buffer[span.begin as usize..][..span.length as usize].to_vec();
        bodies.extend(decoded.spans.iter().map(body));
        if split.consumed == 0 {
            break;
        }
        position += split.consumed;
    }
    Ok(bodies)
}

/// Returns the rules for lines, and how long an event of several lines waits for further ones.
fn line_rules(
    line_bytes_max: usize,
    long_lines: LongLine,
    multiline: Option<Multiline>,
    encoding: TextEncoding,
) -> Result<(LineRules, Option<Duration>), FilesError> {
    let (grouping, pause) = multiline.map(Multiline::grouping).transpose()?.unzip();
    Ok((LineRules { line_bytes_max, long_lines, grouping, of_file: true, encoding }, pause))
}

/// Makes a source that reads files of the given file system.
pub(super) fn make_in(
    file_system: Arc<dyn FileSystem>,
    settings: &Settings,
    context: Context,
) -> Result<Box<dyn Source>, Failure> {
    context.descriptors.expect(Purpose::SourceFile);
    let settings: FilesSettings = settings.read().map_err(Failure::permanent)?;
    Ok(Box::new(FilesSource::new(file_system, settings, context).map_err(Failure::permanent)?))
}

/// Makes a source that reads complete files of another file system, and decompresses them.
///
/// # Errors
/// Permanent ones, for settings that can't be carried out.
#[cfg(feature = "hdfs")]
pub(in crate::components) fn make_of_complete_files(
    file_system: Arc<dyn FileSystem>,
    files: CompleteFiles,
    context: Context,
) -> Result<Box<dyn Source>, Failure> {
    context.descriptors.expect(Purpose::SourceFile);
    let CompleteFiles {
        paths,
        after,
        max_line,
        long_lines,
        encoding,
        records,
        positions,
        poll,
        batch,
        untraced,
    } = files;
    let settings = FilesSettings {
        paths,
        mode: FileMode::Complete { after },
        max_line,
        long_lines,
        multiline: None,
        encoding,
        decompress: true,
        positions,
        poll,
        batch,
        linger: None,
        records,
    };
    let source = FilesSource::new(file_system, settings, context).map_err(Failure::permanent)?;
    Ok(Box::new(if untraced { source.keeping_files() } else { source }))
}

impl FilesSource {
    /// Returns the same source, which leaves files where they are: those that a crash has left under hidden names, too. Files that have
    /// the suffix of files that are done are still not read.
    fn keeping_files(self) -> FilesSource {
        match self.mode {
            FileMode::Complete { .. } => {
                FilesSource { mode: FileMode::Complete { after: After::Keep }, ..self }
            }
            FileMode::Follow { .. } => self,
        }
    }

    fn new(
        file_system: Arc<dyn FileSystem>,
        settings: FilesSettings,
        context: Context,
    ) -> Result<FilesSource, FilesError> {
        let suffix = match &settings.mode {
            FileMode::Complete { after: After::Rename { suffix } } if suffix.is_empty() => {
                return Err(FilesError::EmptySuffix);
            }
            FileMode::Complete { after: After::Rename { suffix } } => Some(suffix.as_str()),
            FileMode::Complete { .. } | FileMode::Follow { .. } => None,
        };
        let complete = matches!(settings.mode, FileMode::Complete { .. });
        let place = file_system.place();
        let places = settings.paths.iter().map(|path| format!("{place}{path}"));
        let paths = places.collect::<Vec<_>>().join(", ");
        let patterns = Patterns::new(settings.paths, complete, suffix)?;
        let discovery =
            Discovery::new(file_system.clone(), patterns, context.component.clone(), &context.meter);
        let (lines, pause) =
            line_rules(settings.max_line, settings.long_lines, settings.multiline, settings.encoding)?;
        let buffers = Buffers::default();
        let rules = TextRules {
            buffers: buffers.clone(),
            splitting: Splitting::of(lines, settings.records),
            records: settings.records,
            events_max: settings.batch,
            follow: !complete || file_system.complete_files_grow(),
            complete,
            copies: !file_system.complete_files_grow(),
            decompress: settings.decompress,
            file_system,
            partial_lines: PartialLines::default(),
        };
        Ok(FilesSource {
            component: context.component.clone(),
            paths,
            meter: context.meter.clone(),
            descriptors: context.descriptors.clone(),
            batches: Batches::new(&context, buffers, settings.records.is_some()),
            discovery,
            mode: settings.mode,
            rules: Arc::new(rules),
            pause,
            poll: settings.poll,
            linger: settings.linger,
            positions_path: settings.positions,
            positions: None,
            remembered: Memory::default(),
            long_lines: LogLimit::default(),
            gone_unread: LogLimit::default(),
            waiting_copies: LogLimit::default(),
            compressed_files: LogLimit::default(),
            packed_files: LogLimit::default(),
            rubbish: LogLimit::default(),
            holes: LogLimit::default(),
            malformed: LogLimit::default(),
            set_aside: BTreeSet::new(),
            first_run: true,
        })
    }
}

impl Multiline {
    /// Returns the rule that groups lines into events, and how long an event waits for further lines.
    fn grouping(self) -> Result<(Grouping, Duration), FilesError> {
        let (pattern, match_begins, lines_max, wait) = match self {
            Multiline::Begins { pattern, most, wait } => (pattern, true, most, wait),
            Multiline::Continues { pattern, most, wait } => (pattern, false, most, wait),
        };
        Ok((Grouping { pattern: Regex::new(&pattern)?, match_begins, lines_max }, wait))
    }
}

#[async_trait]
impl Source for FilesSource {
    fn describe(&self) -> String {
        let positions = self.positions_path.as_ref();
        let positions =
            positions.map_or_else(String::new, |path| format!(", positions in {}", path.display()));
        format!("reads {}{positions}", self.paths)
    }

    async fn run(&mut self, port: SourcePort) -> Result<(), Failure> {
        let buffers = self.rules.buffers.clone();
        buffers.during(run::run(self, port)).await.map_err(FilesError::into_failure)
    }

    async fn connect(&mut self) -> Vec<ConnectFailure> {
        let FileMode::Complete { after } = &self.mode else { return Vec::new() };
        let (file_system, patterns) = (self.rules.file_system.clone(), self.discovery.patterns());
        let after = after.clone();
        let asked =
            self.rules.file_system.executor().run(move || file_system.connect(&patterns, &after)).await;
        asked.unwrap_or_else(|ended| vec![ConnectFailure { setting: None, failure: Failure::from(ended) }])
    }

    async fn probe(&mut self) -> Vec<Failure> {
        let file_system = self.rules.file_system.clone();
        match self.rules.file_system.executor().run(move || file_system.probe()).await {
            Ok(None) => {}
            Ok(Some(failure)) => return vec![failure],
            Err(ended) => return vec![Failure::from(ended)],
        }
        let Some(positions) = &self.positions_path else { return Vec::new() };
        let directory = positions.parent().unwrap_or(Path::new("."));
        if let Err(error) = probe(directory).await {
            return vec![error.into_failure()];
        }
        let path = positions.clone();
        let tried = self.rules.file_system.executor().run(move || positions::look(&path)).await;
        let tried = tried.map_err(FilesError::from).and_then(|tried| tried.map_err(FilesError::from));
        tried.err().map(FilesError::into_failure).into_iter().collect()
    }

    fn refuses(&self, downstream: &DownstreamChannels) -> Option<String> {
        let checked = positions::check_downstream(self.positions_path.as_ref()?, downstream);
        checked.err().map(|error| FilesError::from(error).into_failure().to_string())
    }

    /// A compressed copy continues its original's partition, so it does not break the promise. But without the hashes
    /// in `positions`, another text with the same beginning could be taken for a copy, and would not be read.
    fn keeps_exactly_once(&self) -> bool {
        !self.rules.decompress || !self.rules.copies || self.positions_path.is_some()
    }

    fn exactly_once_lacks(&self) -> Option<&'static str> {
        (!self.keeps_exactly_once()).then_some(
            "`decompress` needs `positions` for that, since a compressed copy is recognised by the hashes that are saved there",
        )
    }
}

#[cfg(test)]
mod tests;
