//! The log on standard error, and the line below it that says how the run gets on.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::output::Output;
use crate::program::{Colours, tell};

/// What is logged unless `WEIR_LOG` says otherwise: of the libraries only what they call an
/// error, since components report in their own words.
const LOG_DEFAULT: &str = "warn,weir=info,weir_runtime=info,weir_stdlib=info,hdfs_native=error";

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// For people on a terminal, JSON elsewhere
    Auto,
    /// For people
    Human,
    /// A JSON object each line
    Json,
}

/// Standard error, whose last line may be one that changes: what is logged goes above it.
pub(super) struct LogOutput {
    line: Mutex<String>,
    output: Output,
}

/// Takes the cursor to the line's beginning, and what stands there away.
const CLEAR: &[u8] = b"\r\x1b[K";
/// How long the last lines may take to be written when the process ends.
const FLUSH: Duration = Duration::from_secs(1);

pub(super) static LOG: LogOutput = LogOutput { line: Mutex::new(String::new()), output: Output::new() };

impl LogOutput {
    fn line(&self) -> MutexGuard<'_, String> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows another line in the place of the last one; an empty one is none.
    pub(super) fn show(&self, text: String) {
        let mut line = self.line();
        if !line.is_empty() || !text.is_empty() {
            self.output.push(&[CLEAR, text.as_bytes()]);
        }
        *line = text;
    }

    /// Writes a line that is no part of the log.
    pub(super) fn tell(&self, text: impl Display) {
        self.put(format!("{text}\n").as_bytes());
    }

    /// Waits a moment for what is not yet written.
    pub(super) fn flush(&self) {
        self.output.flush(FLUSH);
    }

    fn put(&self, bytes: &[u8]) {
        let line = self.line();
        match line.is_empty() {
            true => self.output.push(&[bytes]),
            false => self.output.push(&[CLEAR, bytes, line.as_bytes()]),
        };
    }
}

/// Writes whole lines, which the log hands over at once. Whoever reads them slowly, or not at all, holds no
/// event up.
impl Write for &LogOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for &'static LogOutput {
    type Writer = &'static LogOutput;

    fn make_writer(&'a self) -> &'static LogOutput {
        self
    }
}

/// What is logged with `--quiet`.
const LOG_QUIET: &str = "warn,hdfs_native=error";

/// Begins to log. `WEIR_LOG` says what, whatever else was asked for.
pub(super) fn start(format: LogFormat, colours: Colours, quiet: bool) {
    let default = if quiet { LOG_QUIET } else { LOG_DEFAULT };
    let filter = EnvFilter::try_from_env("WEIR_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    if let Err(error) = LOG.output.start(io::stderr()) {
        tell(format_args!("weir: the log has no thread of its own, events wait for its reader: {error}"));
    }
    let human = match format {
        LogFormat::Auto => io::stderr().is_terminal(),
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(&LOG).with_target(false);
    if human {
        log.with_ansi(colours.on_standard_error()).init();
    } else {
        log.json().flatten_event(true).init();
    }
}
