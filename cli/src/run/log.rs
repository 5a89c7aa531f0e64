//! The log on standard error, and the line below it that says how the run gets on.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::program::Colours;

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
}

/// Takes the cursor to the line's beginning, and what stands there away.
const CLEAR: &[u8] = b"\r\x1b[K";

pub(super) static LOG: LogOutput = LogOutput { line: Mutex::new(String::new()) };

impl LogOutput {
    fn line(&self) -> MutexGuard<'_, String> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows another line in the place of the last one; an empty one is none.
    pub(super) fn show(&self, text: String) {
        let mut line = self.line();
        if !line.is_empty() || !text.is_empty() {
            let _ = io::stderr().write_all(&[CLEAR, text.as_bytes()].concat());
        }
        *line = text;
    }
}

/// Writes whole lines, which the log hands over at once. When nobody reads them any more, events go on.
impl Write for &LogOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = self.line();
        let _ = match line.is_empty() {
            true => io::stderr().write_all(bytes),
            false => io::stderr().write_all(&[CLEAR, bytes, line.as_bytes()].concat()),
        };
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
