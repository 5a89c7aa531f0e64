//! The writer of files that the sinks `files` and `hdfs` share.
//!
//! A delivery's rows are sorted by the directory that the path template gives them
//! ([`rows`]), wait in the lane of their directory ([`lanes`]), and are encoded and appended to
//! the lane's file ([`file`]) by a task of its own, several at once: codecs on blocking threads,
//! I/O on the runtime's. A file that is full, old or in the way is completed in the background
//! ([`finishing`]) while its lane goes on with the next one: its last bytes, a sync, its final name.
//! Only then its shares of the acknowledgements are done. So nothing is acknowledged that is not in
//! a file with its final name, and whatever fails before gives its rows back by dropping them.
//! Where `exactly_once` is promised, the [`ledger`] says between the sync and the name which events
//! are in the file.
//!
//! Where somebody waits for his events, or the channel needs room, what is in a file is committed while the file
//! stays open: it is synced, and the ledger says up to which length it counts.
//!
//! This module must not know where files are (a [`FileSystem`] is handed in).

mod error;
mod file;
mod file_system;
mod finishing;
mod lanes;
mod ledger;
mod leftovers;
mod names;
mod repair;
mod rows;
mod run;
#[cfg(test)]
pub(crate) mod simulated;
mod totals;
mod walk;
mod witness;

use std::num::NonZero;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use thiserror::Error;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio::time::timeout;
use weir_plan::Template;
use weir_runtime::channel::Recovered;
use weir_runtime::sink::{Retry, Sink, SinkPort};
use weir_runtime::{Context, Failure};

use file::{Full, Workshop};
use lanes::Due;
use ledger::{Ledger, LedgerError};
use leftovers::Sweep;
use names::{FileNames, InUse};
use run::{Run, Setup, clear_away};
use totals::Totals;

use crate::formats::codec::Codec;
use crate::formats::{Format, FormatError, Formatting};
use crate::language::types::{Allowed, RetrySettings};
use crate::tools::buffers::Buffers;
use crate::tools::template::{Renderer, TemplateError};
pub(crate) use file_system::{Entry, FileSystem};
pub(crate) use repair::repair;
pub use repair::{LedgerRepair, LedgerRepairError};

/// The longest prefix of names, in bytes; file systems allow names of 255.
const PREFIX_BYTES_MAX: usize = 80;

/// How often a ledger is read again because other writers go on before it is begun.
const READS_MAX: usize = 5;

/// How long the end of a run waits for the first look for leftovers.
const SWEEP_PATIENCE: Duration = Duration::from_secs(5);

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
    retry: Option<RetrySettings>,
    allow: Option<Allowed>,
}

#[cfg(all(test, feature = "hdfs"))]
impl FileSettings {
    /// Settings with this path.
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

/// Settings that no run could work with.
#[derive(Debug, Error)]
enum FileSinkError {
    #[error("`path`: {0}")]
    Path(#[source] TemplateError),
    #[error(transparent)]
    Format(#[from] FormatError),
    #[error("the machine has no random numbers to name files by: {0}")]
    Random(getrandom::Error),
    #[error("other writers of the sink's ledger go on faster than it can be read")]
    Overtaken,
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
    path: Renderer,
    due: Due,
    max_open: usize,
    /// Whether files can be committed while they are open.
    commits_open: bool,
    retry: Retry,
    workshop: Arc<Workshop<F>>,
    totals: Totals,
    ledger: Keeping<F>,
    sweep: Sweeping,
}

/// The sink's ledger between two runs.
struct Keeping<F: FileSystem> {
    /// Where it is; none if the sink keeps none.
    directory: Option<String>,
    /// None before it is read, and after a run that failed.
    ledger: Option<Box<Ledger<F>>>,
}

/// Where the search for leftovers of earlier runs of the agent stands.
enum Sweeping {
    /// It waits for the first run.
    Before { root: String },
    /// It goes on in the background, and tells the receiver of the end of its first look.
    Begun { first_look: Option<oneshot::Receiver<()>>, _task: JoinSet<()> },
}

impl<F: FileSystem> FileSink<F> {
    /// A sink that writes into this file system, which reports call `place`.
    ///
    /// # Errors
    /// Permanent ones, when the settings can't be worked with.
    pub(crate) fn new(
        settings: FileSettings,
        file_system: F,
        place: &str,
        context: Context,
    ) -> Result<FileSink<F>, Failure> {
        let FileSettings {
            path, prefix, format, compress, roll, zone, round, in_use, max_open, retry, ..
        } = settings;
        let (None | Some(Allowed::Sensitive)) = settings.allow;
        let path = Renderer::for_path(&path, &zone, round).map_err(FileSinkError::Path);
        let path = path.map_err(Failure::permanent)?;
        if path.is_empty() {
            return Err(Failure::permanent(FileSinkError::EmptyPath));
        }
        if !is_prefix(&prefix) {
            return Err(Failure::permanent(FileSinkError::Prefix(prefix)));
        }
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        let cores = u32::try_from(cores).unwrap_or(1);
        let formatting = Formatting::new(format, compress, &context.schema).map_err(FileSinkError::Format);
        let formatting = formatting.map_err(Failure::permanent)?;
        let commits_open = F::COMMITS_OPEN_FILES && formatting.has_parts();
        let Context { program, component, .. } = &context;
        let root = root(&path).to_string();
        let owner = (&**program, &**component);
        let names = FileNames::new(&prefix, formatting.extension(), in_use, owner, context.exactly_once);
        let workshop = Workshop {
            file_system: Arc::new(file_system),
            root: root.clone(),
            names: names.map_err(FileSinkError::Random).map_err(Failure::permanent)?,
            formatting: Arc::new(formatting),
            full: Full { size: roll.size, events: roll.count.unwrap_or(u64::MAX) },
            clock: context.clock.clone(),
            exactly_once: context.exactly_once,
            encoding: Arc::new(Semaphore::new(cores as usize)),
            threads: cores,
            closing: Workshop::<F>::closing_permits(),
            unwritten: Arc::new(Workshop::<F>::unwritten_permits()),
            buffers: Buffers::default(),
            temporary: Mutex::default(),
        };
        // Also where files are not committed open now: an earlier run may have left some.
        let keeps_ledger = context.exactly_once || F::COMMITS_OPEN_FILES;
        Ok(FileSink {
            totals: Totals::under(&format!("{place}{root}")),
            ledger: Keeping {
                directory: keeps_ledger.then(|| ledger::directory(&root, program, component)),
                ledger: None,
            },
            commits_open,
            sweep: Sweeping::Before { root },
            workshop: Arc::new(workshop),
            due: Due { age: roll.age, idle: roll.idle },
            // A plan that was written by hand may say none.
            max_open: max_open.max(1),
            retry: retry.map_or_else(Retry::default, Retry::from),
            path,
            context,
        })
    }

    /// Reads the ledger, if there is to be one and it is not at hand. Changes nothing.
    async fn read_ledger(&mut self) -> Result<(), Failure> {
        let Keeping { directory: Some(directory), ledger: None } = &self.ledger else { return Ok(()) };
        let Workshop { file_system, root, names, .. } = &*self.workshop;
        let component = self.context.component.clone();
        let ledger =
            Ledger::read(file_system.clone(), component, root.clone(), directory.clone(), names.instance());
        let ledger = ledger.await.map_err(LedgerError::failure)?;
        names.begin_behind(ledger.latest());
        self.ledger.ledger = Some(Box::new(ledger));
        Ok(())
    }

    /// Completes what a crash or a failed run has left, as the ledger says, and begins to write it; where nothing
    /// is promised with the first file that is committed open.
    async fn begin_ledger(&mut self, port: &mut SinkPort) -> Result<(), Failure> {
        for _ in 0..READS_MAX {
            self.read_ledger().await?;
            let Some(ledger) = &mut self.ledger.ledger else { return Ok(()) };
            if !self.context.exactly_once && ledger.mark() == 0 {
                return Ok(());
            }
            match ledger.begin().await {
                Ok(()) => {
                    let mark = ledger.mark();
                    if self.context.exactly_once {
                        port.keep_mark(mark);
                    }
                    return Ok(());
                }
                // Another writer has gone on since it was read.
                Err(LedgerError::Overtaken { .. }) => self.ledger.ledger = None,
                Err(error) => {
                    self.ledger.ledger = None;
                    return Err(error.failure());
                }
            }
        }
        Err(Failure::transient(FileSinkError::Overtaken))
    }

    /// Before the first run leftovers of other agents are looked for, before a further one what
    /// the last has left.
    async fn clear_up(&mut self) {
        let Sweeping::Before { root } = &self.sweep else {
            return clear_away(&self.context.component, &self.workshop, self.ledger.ledger.as_deref()).await;
        };
        let sweep = Sweep {
            component: self.context.component.clone(),
            workshop: self.workshop.clone(),
            meter: self.context.meter.clone(),
            root: root.clone(),
            depth: self.path.depth(),
            ledger: self.ledger.directory.clone(),
        };
        let (looked, first_look) = oneshot::channel();
        let mut task = JoinSet::new();
        task.spawn(async move {
            let rest = sweep.look().await;
            // Nobody may be waiting for it.
            let _ = looked.send(());
            sweep.look_again(rest).await;
        });
        self.sweep = Sweeping::Begun { first_look: Some(first_look), _task: task };
    }
}

#[async_trait]
impl<F: FileSystem> Sink for FileSink<F> {
    fn retry(&self) -> Retry {
        self.retry
    }

    fn keeps_exactly_once(&self) -> bool {
        F::KNOWS_WRITERS_OF_CLOSED_FILES
    }

    async fn probe(&mut self) -> Vec<Failure> {
        if let Some(failure) = self.workshop.file_system.probe(root(&self.path)).await {
            return vec![failure];
        }
        let read = self.read_ledger().await;
        // Until the sink runs, another agent may go on with it.
        self.ledger.ledger = None;
        read.err().into_iter().collect()
    }

    async fn recover(&mut self) -> Result<Recovered, Failure> {
        let ledger_loss = self.ledger_loss().await?;
        let Some(ledger) = &self.ledger.ledger else { return Ok(Recovered::default()) };
        let (settled, reached) = (ledger.settled(), ledger.reached());
        Ok(Recovered { settled, reached, mark: ledger.mark(), ledger_loss })
    }

    async fn accept_ledger_loss(&mut self) -> Result<(), Failure> {
        self.accept().await
    }

    async fn run(&mut self, port: &mut SinkPort) -> Result<(), Failure> {
        self.begin_ledger(port).await?;
        self.clear_up().await;
        let setup = Setup {
            component: &self.context.component,
            path: &self.path,
            due: self.due,
            max_open: self.max_open,
            commits_open: self.commits_open,
            descriptors: &self.context.descriptors,
            workshop: &self.workshop,
            meter: &self.context.meter,
            totals: &mut self.totals,
        };
        let run = Run::new(setup, self.ledger.ledger.take());
        let ledger = self.workshop.buffers.during(run.run(port)).await?;
        if let Some(mut ledger) = ledger {
            let settled = if self.context.exactly_once { port.settled() } else { Default::default() };
            ledger.finish(&settled).await.map_err(LedgerError::failure)?;
            if self.context.exactly_once {
                port.keep_mark(ledger.mark());
            }
            self.ledger.ledger = Some(ledger);
        }
        if let Sweeping::Begun { first_look, .. } = &mut self.sweep
            && let Some(first_look) = first_look.take()
        {
            // Whether it has ended or takes too long: the run is over.
            let _ = timeout(SWEEP_PATIENCE, first_look).await;
        }
        Ok(())
    }
}

fn is_prefix(prefix: &str) -> bool {
    let is_refused = |sign: char| matches!(sign, '/' | ':') || sign.is_control();
    !prefix.is_empty()
        && !prefix.starts_with('.')
        && prefix.len() <= PREFIX_BYTES_MAX
        && !prefix.contains(is_refused)
}

/// The directory that all files are under: the path's segments before the first hole.
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
