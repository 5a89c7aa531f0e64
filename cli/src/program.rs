//! Code that the commands share: arguments of commands that compile programs, the library, and output.

use std::io::{IsTerminal, Write};

use clap::{Args, ValueEnum};
use weir_compiler::{Analysis, Diagnostic, Files, Library, Options, render};

use crate::files::ProgramFiles;

/// The options that give values to params, for every command that compiles a program.
#[derive(Debug, Args)]
pub(crate) struct Params {
    /// Give the param NAME a value; without this option, its value is the environment variable WEIR_NAME, or else its default
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = name_and_value)]
    set: Vec<(String, String)>,
}

/// The format of diagnostics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// With the source text, labels and help
    Human,
    /// One line for each: `path:line:column: error[code]: message`
    Short,
    /// A JSON array
    Json,
    /// A SARIF 2.1.0 document, for code hosts
    Sarif,
    /// Workflow commands of GitHub Actions, which annotate the changed lines
    Github,
    /// A code quality report of GitLab
    Gitlab,
}

/// The option that colours the output for people.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct Colours {
    /// When to colour the output for people
    #[arg(long, value_enum, default_value = "auto", value_name = "WHEN")]
    color: When,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum When {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Colours {
    /// Returns whether text on standard error is coloured.
    pub(crate) fn on_standard_error(self) -> bool {
        self.on(std::io::stderr().is_terminal())
    }

    /// Returns whether text on standard output is coloured.
    pub(crate) fn on_standard_output(self) -> bool {
        self.on(std::io::stdout().is_terminal())
    }

    fn on(self, is_terminal: bool) -> bool {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        match self.color {
            When::Auto => is_terminal && !plain,
            When::Always => true,
            When::Never => false,
        }
    }
}

/// Writes to standard output. A reader that has closed its end, such as `head`, is no error.
pub(crate) fn print(text: &str) {
    let mut output = std::io::stdout().lock();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
}

/// Writes text to standard error. A closed standard error is no error.
pub(crate) fn print_error(text: &str) {
    let _closed = std::io::stderr().write_all(text.as_bytes());
}

/// Writes a line to standard error. A closed standard error is no error.
pub(crate) fn print_error_line(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("expected NAME=VALUE".to_owned()),
    }
}

/// Parses the signatures of the library that this `weir` was built with.
pub(crate) fn library() -> Result<Library, String> {
    Library::parse(weir_stdlib::library_sources().iter().copied())
        .map_err(|error| render::human(&error.diagnostics, &error.files, false))
}

/// Compiles the program in a file, or on standard input.
///
/// # Errors
/// When the file can't be read.
pub(crate) fn analyse(path: &str, library: &Library, params: &Params) -> Result<Analysis, String> {
    let files = ProgramFiles::read(path)?;
    Ok(weir_compiler::analyse(&files, &files.name, library, &params.options()))
}

impl Params {
    /// Returns whether the arguments set params.
    pub(crate) fn are_set(&self) -> bool {
        !self.set.is_empty()
    }

    /// Returns the values from the arguments and the environment.
    pub(crate) fn options(&self) -> Options {
        Options {
            params: self.set.iter().cloned().collect(),
            environment: environment().collect(),
            ..Options::default()
        }
    }
}

/// Iterates over the environment variables. A variable that is not UTF-8 counts as not set.
pub(crate) fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

/// Renders diagnostics for people who read standard error.
pub(crate) fn rendered(diagnostics: &[Diagnostic], files: &Files, colours: Colours) -> String {
    render::human(diagnostics, files, colours.on_standard_error())
}
