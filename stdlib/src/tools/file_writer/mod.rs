//! The writer of files that the sinks `files` and `hdfs` share.
//!
//! The path template gives each row of a delivery its directory ([`rows`]). The rows wait in the queue of that
//! directory ([`scheduler`]). A task encodes them and appends them to the directory's file ([`file`]); several files
//! are written at once, with codecs on blocking threads and I/O on the runtime's threads.
//!
//! A file that is full, too old, or has to make room for another is completed in the background ([`finishing`]), while
//! rows of its directory go into the next file: the last bytes are written, the file is synced, and it gets its final
//! name. Then the shares of its events are done. So an acknowledged event is in a file with its final name, and a
//! failure before that drops the shares, which has the events redelivered. With `exactly_once`, an entry of the
//! [`ledger`] says between the sync and the rename which events are in the file.
//!
//! When a peer of a source waits for its events, or the channel needs room, a file's content is committed while the
//! file stays open: the file is synced, and an entry of the ledger says how many of its bytes are committed.
//!
//! This module must not know where files are: the caller passes a [`FileSystem`].

mod error;
mod file;
mod file_system;
mod finishing;
mod ledger;
mod leftovers;
mod markers;
mod names;
mod repair;
mod rows;
mod run;
mod scheduler;
#[cfg(test)]
pub(crate) mod simulated;
mod stale_ledger;
mod totals;
mod walk;

use std::collections::BTreeMap;
use std::num::NonZero;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use thiserror::Error;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use weir_plan::{Settings, Template, Value};
use weir_runtime::batch::Batch;
use weir_runtime::channel::{Acceptance, Recovered};
use weir_runtime::sink::{Retry, Sink, SinkPort};
use weir_runtime::{ConnectFailure, Context, Failure};

use file::{FileLimits, FileWriter};
use ledger::{Ledger, LedgerError};
use leftovers::Sweep;
use markers::{Done, Markers};
use names::{FileNames, InUse, RETIRED_COPY_BYTES};
use run::{Run, Setup, remove_unfinished};
use scheduler::CloseAfter;
use totals::Totals;

use crate::formats::codec::Codec;
use crate::formats::{Format, FormatError, Formatting};
use crate::language::types::{Allowed, RetrySettings};
use crate::tools::buffers::Buffers;
use crate::tools::template::{Renderer, TemplateError};
use crate::tools::written::Written;
pub(crate) use file_system::{Cut, Entry, FileSystem};
pub(crate) use names::instance_in;
pub(crate) use repair::repair;
pub use repair::{LedgerRepair, LedgerRepairError};

/// The longest prefix of file names, in bytes; file systems allow names of 255 bytes.
const PREFIX_BYTES_MAX: usize = 80;

/// The longest name that file systems allow, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// How often the ledger is read because other writers add entries before this sink can begin to write.
const READS_MAX: usize = 5;

/// How long the end of a run waits for the first search for leftovers.
const FIRST_SEARCH_TIMEOUT: Duration = Duration::from_secs(5);

/// The settings that the sinks of files share.
#[derive(Debug, Deserialize)]
pub(crate) struct FileSettings {
    /// The directory.
    pub(crate) path: Template,
    prefix: String,
    format: Format,
    compress: Codec,
    roll: Roll,
    /// The time zone of the directory's times.
    pub(crate) zone: String,
    round: Option<Duration>,
    in_use: InUse,
    max_open: usize,
    /// Plans of earlier versions have none.
    #[serde(default)]
    done: Done,
    retry: Option<RetrySettings>,
    allow: Option<Allowed>,
}

/// Returns what a sink of files writes of each event: the directory, and the line.
///
/// # Errors
/// When the events can't be written in the format.
pub(crate) fn writes(settings: &Settings, batch: &Batch) -> Result<Vec<BTreeMap<String, Value>>, Failure> {
    let FileSettings { path, format, zone, round, .. } = settings.read().map_err(Failure::permanent)?;
    let path = path_renderer(&path, &zone, round)?;
    Ok(Written::of(batch).text("path", &path, batch)?.lines(format, batch)?.into_rows())
}

#[cfg(all(test, feature = "hdfs"))]
impl FileSettings {
    /// Returns settings with this path and default values.
    pub(crate) fn example(path: Template) -> FileSettings {
        let roll = Roll { size: 1 << 27, age: Duration::from_secs(300), count: None, idle: None };
        let (prefix, zone) = ("events".to_string(), "UTC".to_string());
        FileSettings {
            path,
            prefix,
            format: Format::Text,
            compress: Codec::None,
            roll,
            zone,
            round: None,
            in_use: InUse::Dot,
            max_open: 100,
            done: Done::Never,
            retry: None,
            allow: None,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Roll {
    size: u64,
    age: Duration,
    count: Option<u64>,
    idle: Option<Duration>,
}

/// Settings that can't be carried out, or a ledger that can't be read.
#[derive(Debug, Error)]
enum FileSinkError {
    #[error("`path`: {0}")]
    Path(#[source] TemplateError),
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error("`done.name` is {0:?}: it is the name of a file, without `/`, `:` and control characters")]
    Marker(String),
    #[error("the machine has no random numbers to name files by: {0}")]
    Random(getrandom::Error),
    #[error("other writers of the sink's ledger go on faster than it can be read")]
    Overtaken,
    #[error(
        "the names of program and sink are too long: the names of the sink's files would have {0} bytes, and file systems \
         take {NAME_BYTES_MAX}; signs beyond letters, digits, `_` and `-` count three times for each of their bytes"
    )]
    Name(usize),
    #[error("`path` is empty")]
    EmptyPath,
    #[error(
        "`prefix` is \"{0}\": it must not be empty, begin with a dot, hold a slash, a colon or a control \
         character, or be longer than {PREFIX_BYTES_MAX} bytes"
    )]
    Prefix(String),
}

/// A sink of files on one file system.
pub(crate) struct FileSink<F: FileSystem> {
    context: Context,
    /// The place of the files, with the holes of `path`, for the log.
    place: String,
    path: Renderer,
    close_after: CloseAfter,
    max_open: usize,
    retry: Retry,
    writer: Arc<FileWriter<F>>,
    totals: Totals,
    ledger: SinkLedger<F>,
    sweep: SweepState,
    /// The directories that get markers, if the setting `done` asks for them.
    markers: Option<Markers>,
}

/// The sink's ledger between two runs.
struct SinkLedger<F: FileSystem> {
    /// The ledger's directory; none if the sink keeps no ledger.
    directory: Option<String>,
    /// The ledger as it was read; none before the first read and after a run that failed.
    loaded: Option<Box<Ledger<F>>>,
}

/// The search for files that earlier runs of the agent have left unfinished.
enum SweepState {
    /// The search begins with the first run.
    Pending { root: String },
    /// The search runs in the background. The receiver gets a message after the first pass.
    Running { first_pass: Option<oneshot::Receiver<()>>, _task: JoinSet<()> },
}

impl<F: FileSystem> FileSink<F> {
    /// Makes a sink that writes into this file system. Reports put `place` before paths.
    ///
    /// # Errors
    /// Permanent ones, for settings that can't be carried out.
    pub(crate) fn new(
        settings: FileSettings,
        file_system: F,
        place: &str,
        context: Context,
    ) -> Result<FileSink<F>, Failure> {
        let FileSettings {
            path,
            prefix,
            format,
            compress,
            roll,
            zone,
            round,
            in_use,
            max_open,
            done,
            retry,
            ..
        } = settings;
        let (None | Some(Allowed::Sensitive)) = settings.allow;
        let described = format!("{place}{}", path.to_string().trim_matches('"'));
        let path = path_renderer(&path, &zone, round)?;
        check_names(&prefix, &done)?;
        let cores = cores();
        let formatting = formatting(format, compress, &context)?;
        let Context { program, component, .. } = &context;
        let root = root(&path).to_string();
        let owner = (&**program, &**component);
        let drawn = file_system.random().map_err(FileSinkError::Random).map_err(Failure::permanent)?;
        let (extension, exactly_once) = (formatting.extension(), context.exactly_once);
        let names = FileNames::new(&prefix, extension, in_use, owner, exactly_once, drawn as u32);
        check_length(&names, file_system.knows_writers_of_closed_files())?;
        // An earlier run with other settings may have left committed open files, so the ledger is read anyway.
        let keeps_ledger = context.exactly_once || file_system.commits_open_files();
        let writer = FileWriter {
            file_system: Arc::new(file_system),
            root: root.clone(),
            names,
            formatting: Arc::new(formatting),
            limits: FileLimits { size: roll.size, events: roll.count.unwrap_or(u64::MAX) },
            clock: context.clock.clone(),
            exactly_once: context.exactly_once,
            encoding: Arc::new(Semaphore::new(cores as usize)),
            threads: cores,
            closing: FileWriter::<F>::closing_permits(),
            unwritten: Arc::new(FileWriter::<F>::unwritten_permits()),
            buffers: Buffers::default(),
            temporary: Mutex::default(),
        };
        Ok(FileSink {
            place: described,
            totals: Totals::under(&format!("{place}{root}")),
            ledger: SinkLedger {
                directory: keeps_ledger.then(|| ledger::directory(&root, program, component)),
                loaded: None,
            },
            sweep: SweepState::Pending { root },
            markers: Markers::new(done, context.clock.clone()),
            writer: Arc::new(writer),
            close_after: CloseAfter { age: roll.age, idle: roll.idle },
            // A plan that was written by hand may say 0.
            max_open: max_open.max(1),
            retry: retry.map_or_else(Retry::default, Retry::from),
            path,
            context,
        })
    }

    /// Reads the ledger, if the sink keeps one and has not loaded it. Changes nothing on disk.
    async fn read_ledger(&mut self) -> Result<(), Failure> {
        let SinkLedger { directory: Some(directory), loaded: None } = &self.ledger else { return Ok(()) };
        let FileWriter { file_system, root, names, .. } = &*self.writer;
        let component = self.context.component.clone();
        let ledger =
            Ledger::read(file_system.clone(), component, root.clone(), directory.clone(), names.instance());
        let ledger = ledger.await.map_err(LedgerError::failure)?;
        names.begin_behind(ledger.latest());
        self.ledger.loaded = Some(Box::new(ledger));
        Ok(())
    }

    /// Completes the files that a crash or a failed run has left, as the ledger says, and begins to write the ledger.
    /// Without `exactly_once` a ledger without entries is begun later, with the first file that is committed open.
    async fn begin_ledger(&mut self, port: &mut SinkPort) -> Result<(), Failure> {
        for _ in 0..READS_MAX {
            self.read_ledger().await?;
            let Some(ledger) = &mut self.ledger.loaded else { return Ok(()) };
            if !self.context.exactly_once && ledger.mark() == 0 {
                return Ok(());
            }
            match ledger.begin(port.incarnations()).await {
                Ok(()) => {
                    let mark = ledger.mark();
                    if self.context.exactly_once {
                        port.keep_mark(mark);
                    }
                    return Ok(());
                }
                // Another writer has added an entry since the ledger was read.
                Err(LedgerError::Overtaken { .. }) => self.ledger.loaded = None,
                Err(error) => {
                    self.ledger.loaded = None;
                    return Err(error.failure());
                }
            }
        }
        Err(Failure::transient(FileSinkError::Overtaken))
    }

    /// Before the first run, begins to search for leftovers of earlier agents. Before a further run, removes the
    /// unfinished files of the last run.
    async fn remove_leftovers(&mut self) {
        let SweepState::Pending { root } = &self.sweep else {
            return remove_unfinished(&self.context.component, &self.writer, self.ledger.loaded.as_deref())
                .await;
        };
        let sweep = Sweep {
            component: self.context.component.clone(),
            writer: self.writer.clone(),
            meter: self.context.meter.clone(),
            root: root.clone(),
            depth: self.path.depth(),
            ledger: ledger::directory(root, &self.context.program, &self.context.component),
            markers: self.markers.as_ref().map(Markers::search),
        };
        let (searched, first_pass) = oneshot::channel();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let remaining = sweep.search().await;
            // The receiver may be gone.
            let _ = searched.send(());
            sweep.search_again(remaining).await;
        });
        self.sweep = SweepState::Running { first_pass: Some(first_pass), _task: task };
    }
}

#[async_trait]
impl<F: FileSystem> Sink for FileSink<F> {
    fn describe(&self) -> String {
        format!("writes to {}", self.place)
    }

    async fn connect(&mut self) -> Vec<ConnectFailure> {
        self.writer.file_system.connect(&self.writer.root).await
    }

    fn retry(&self) -> Retry {
        self.retry
    }

    fn keeps_exactly_once(&self) -> bool {
        true
    }

    async fn probe(&mut self) -> Vec<Failure> {
        if let Some(failure) = self.writer.file_system.probe(root(&self.path)).await {
            return vec![failure];
        }
        if self.writer.file_system.has_servers() {
            return Vec::new();
        }
        let read = self.read_ledger().await;
        // Another agent may add entries until the sink runs.
        self.ledger.loaded = None;
        read.err().into_iter().collect()
    }

    async fn recover(&mut self) -> Result<Recovered, Failure> {
        let ledger_loss = self.ledger_loss().await?;
        let Some(ledger) = &self.ledger.loaded else { return Ok(Recovered::default()) };
        let (settled, reached) = (ledger.settled(), ledger.reached());
        Ok(Recovered { settled, reached, mark: ledger.mark(), ledger_loss })
    }

    async fn accept_loss(&mut self, acceptance: &Acceptance) -> Result<(), Failure> {
        self.accept(acceptance).await
    }

    async fn run(&mut self, port: &mut SinkPort) -> Result<(), Failure> {
        self.begin_ledger(port).await?;
        self.remove_leftovers().await;
        let setup = Setup {
            component: &self.context.component,
            path: &self.path,
            close_after: self.close_after,
            max_open: self.max_open,
            commits_open: self.writer.commits_open_files(),
            descriptors: &self.context.descriptors,
            writer: &self.writer,
            meter: &self.context.meter,
            totals: &mut self.totals,
            markers: self.markers.as_mut(),
        };
        let run = Run::new(setup, self.ledger.loaded.take());
        let ledger = self.writer.buffers.during(run.run(port)).await?;
        if let Some(mut ledger) = ledger {
            let settled = if self.context.exactly_once { port.settled() } else { Default::default() };
            ledger.finish(settled, port.incarnations()).await.map_err(LedgerError::failure)?;
            ledger.note_left_open();
            if self.context.exactly_once {
                port.keep_mark(ledger.mark());
            }
            self.ledger.loaded = Some(ledger);
        }
        if let SweepState::Running { first_pass, .. } = &mut self.sweep
            && let Some(first_pass) = first_pass.take()
        {
            // The run ends even if the search takes longer.
            let _ = timeout(FIRST_SEARCH_TIMEOUT, first_pass).await;
        }
        Ok(())
    }
}

fn formatting(format: Format, compress: Codec, context: &Context) -> Result<Formatting, Failure> {
    let formatting = Formatting::new(format, compress, &context.schema).map_err(FileSinkError::Format);
    formatting.map_err(Failure::permanent)
}

/// Returns the number of cores that the process may use.
fn cores() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    u32::try_from(cores).unwrap_or(1)
}

fn path_renderer(path: &Template, zone: &str, round: Option<Duration>) -> Result<Renderer, Failure> {
    let path = Renderer::for_path(path, zone, round).map_err(FileSinkError::Path);
    match path.map_err(Failure::permanent)? {
        path if path.is_empty() => Err(Failure::permanent(FileSinkError::EmptyPath)),
        path => Ok(path),
    }
}

/// Checks the length of the files' names. Files are retired where nobody knows the writers of closed files.
fn check_length(names: &FileNames, knows_writers: bool) -> Result<(), Failure> {
    let longest = names.longest() + if knows_writers { 0 } else { RETIRED_COPY_BYTES };
    match longest > NAME_BYTES_MAX {
        true => Err(Failure::permanent(FileSinkError::Name(longest))),
        false => Ok(()),
    }
}

/// Checks the beginning of the files' names, and the name of markers.
fn check_names(prefix: &str, done: &Done) -> Result<(), Failure> {
    if !is_prefix(prefix) {
        return Err(Failure::permanent(FileSinkError::Prefix(prefix.to_string())));
    }
    match done {
        Done::Marker { name, .. } if !markers::is_name(name) => {
            Err(Failure::permanent(FileSinkError::Marker(name.clone())))
        }
        Done::Marker { .. } | Done::Never => Ok(()),
    }
}

fn is_prefix(prefix: &str) -> bool {
    let is_refused = |character: char| matches!(character, '/' | ':') || character.is_control();
    !prefix.is_empty()
        && !prefix.starts_with('.')
        && prefix.len() <= PREFIX_BYTES_MAX
        && !prefix.contains(is_refused)
}

/// Returns the directory that all files are under: the path's segments before the first hole.
fn root(path: &Renderer) -> &str {
    let fixed = path.fixed_prefix();
    match path.has_holes() {
        false => fixed,
        true => match fixed.rfind('/') {
            Some(0) => "/",
            Some(slash) => &fixed[..slash],
            None => ".",
        },
    }
}

#[cfg(test)]
mod tests;
