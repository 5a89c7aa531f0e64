//! The log on standard error, and the progress line below it.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use clap::ValueEnum;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::output::Output;
use crate::program::{Colours, print_error_line};

/// The log filter unless `WEIR_LOG` is set. Only errors of `hdfs_native` are logged, since components report failures
/// in their own words.
const LOG_DEFAULT: &str = "warn,weir=info,weir_runtime=info,weir_stdlib=info,hdfs_native=error";

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// Text on a terminal, JSON elsewhere
    Auto,
    /// Text for people
    Human,
    /// A JSON object for each line
    Json,
}

/// Standard error: log lines, and below them a progress line that is redrawn.
pub(super) struct LogOutput {
    /// The progress line; empty if none is shown.
    line: Mutex<String>,
    output: Output,
}

/// Moves the cursor to the beginning of the line and clears the line.
const CLEAR: &[u8] = b"\r\x1b[K";
/// The time limit for writing the last lines when the process ends.
const FLUSH_LIMIT: Duration = Duration::from_secs(1);

pub(super) static LOG: LogOutput = LogOutput { line: Mutex::new(String::new()), output: Output::new() };

impl LogOutput {
    fn line(&self) -> MutexGuard<'_, String> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the progress line; an empty text removes it.
    pub(super) fn show(&self, text: String) {
        let mut line = self.line();
        if !line.is_empty() || !text.is_empty() {
            self.output.push(&[CLEAR, text.as_bytes()]);
        }
        *line = text;
    }

    /// Writes a line that is not part of the log. Control characters in it are escaped.
    pub(super) fn write_line(&self, text: impl Display) {
        self.put(&one_line(format!("{text}\n").as_bytes(), b"\t"));
    }

    /// Writes a table, which has several lines.
    pub(super) fn write_table(&self, table: impl Display) {
        self.put(format!("\n{table}\n").as_bytes());
    }

    /// Waits at most `FLUSH_LIMIT` until all lines are written.
    pub(super) fn flush(&self) {
        self.output.flush(FLUSH_LIMIT);
    }

    fn put(&self, bytes: &[u8]) {
        let line = self.line();
        match line.is_empty() {
            true => self.output.push(&[bytes]),
            false => self.output.push(&[CLEAR, bytes, line.as_bytes()]),
        };
    }
}

/// The control characters that a line of the log keeps. The only escape sequences are the formatter's own colours, since it
/// escapes those in values.
const KEPT: &[u8] = b"\t\x1b";

/// Escapes line breaks and other control characters before the line's end, except those in `kept`, so that a value from
/// outside, such as a file's name, can't look like a line of its own.
fn one_line<'l>(line: &'l [u8], kept: &[u8]) -> Cow<'l, [u8]> {
    let is_escaped = |byte: &u8| byte.is_ascii_control() && !kept.contains(byte);
    let (text, end) = match line.split_last() {
        Some((b'\n', text)) => (text, &b"\n"[..]),
        _ => (line, &[][..]),
    };
    if !text.iter().any(is_escaped) {
        return Cow::Borrowed(line);
    }
    let mut escaped = Vec::with_capacity(line.len() + 16);
    for byte in text {
        match is_escaped(byte) {
            true => escaped.extend(byte.escape_ascii()),
            false => escaped.push(*byte),
        }
    }
    escaped.extend_from_slice(end);
    Cow::Owned(escaped)
}

/// Queues complete lines for the output's thread. A slow reader of standard error delays no event.
impl Write for &LogOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.put(&one_line(bytes, KEPT));
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

/// The log filter with `--quiet`.
pub(crate) const LOG_QUIET: &str = "warn,hdfs_native=error";

/// Starts the log. `WEIR_LOG` overrides the filters of `--quiet` and of the default.
pub(super) fn start(format: LogFormat, colours: Colours, quiet: bool) {
    let default = if quiet { LOG_QUIET } else { LOG_DEFAULT };
    let filter = EnvFilter::try_from_env("WEIR_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    if let Err(error) = LOG.output.start(io::stderr()) {
        print_error_line(format_args!(
            "weir: can't start the log's thread, so a slow reader of the log delays events: {error}"
        ));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_makes_no_line_of_its_own() {
        for (line, expected) in [
            ("a\tb\n", "a\tb\n"),
            ("\u{1b}[33mWARN\u{1b}[0m x\n", "\u{1b}[33mWARN\u{1b}[0m x\n"),
            ("in/x\n2026 ERROR all is lost\r\u{7}\u{7f}é\n", "in/x\\n2026 ERROR all is lost\\r\\x07\\x7fé\n"),
            ("", ""),
            ("\n", "\n"),
            ("a\n\n", "a\\n\n"),
        ] {
            assert_eq!(one_line(line.as_bytes(), KEPT), expected.as_bytes());
        }
    }
}
