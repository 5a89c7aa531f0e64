//! Programs on the command line: which they are, their text, and how what is wrong with them is shown.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read};
use std::path::Path;

use clap::{Args, ValueEnum};
use weir_compiler::{Compiled, Diagnostic, Files, Library, Options, SourceFiles, render};

/// The name of a program on standard input.
pub(crate) const STANDARD_INPUT: &str = "-";

/// Values for params, the same for every command that compiles.
#[derive(Debug, Args)]
pub(crate) struct Params {
    /// Give a param a value; otherwise it has that of the environment variable WEIR_NAME, or its default
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = name_and_value)]
    set: Vec<(String, String)>,
}

/// How diagnostics are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// With the source, labels and help
    Human,
    /// One line each: `path:line:column: error[code]: message`
    Short,
    /// A JSON array
    Json,
}

fn name_and_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("write it as name=value".to_owned()),
    }
}

/// The library that this `weir` was built with.
pub(crate) fn library() -> Result<Library, String> {
    Library::parse(weir_stdlib::library_sources().iter().copied())
        .map_err(|error| render::human(&error.diagnostics, &error.files, false))
}

/// Compiles the program in a file, or on standard input.
///
/// # Errors
/// When the file can't be read.
pub(crate) fn compile(name: &str, library: &Library, params: &Params) -> Result<Compiled, String> {
    let text = read(name).map_err(|error| format!("can't read {name}: {error}"))?;
    let environment = std::env::vars_os().filter_map(|(name, value)| {
        let name = name.into_string().ok().filter(|name| name.starts_with("WEIR_"))?;
        Some((name, value.into_string().ok()?))
    });
    let params: BTreeMap<String, String> = params.set.iter().cloned().collect();
    let options = Options { params, environment: environment.collect() };
    Ok(weir_compiler::compile(&One { name, text: &text }, name, library, &options))
}

/// The one file of a program.
struct One<'f> {
    name: &'f str,
    text: &'f str,
}

impl SourceFiles for One<'_> {
    fn read(&self, name: &str) -> Result<String, String> {
        if name == self.name { Ok(self.text.to_owned()) } else { Err("no such file".to_owned()) }
    }
}

fn read(name: &str) -> std::io::Result<String> {
    if name == STANDARD_INPUT {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(name)
}

/// The `.flow` files of a folder and of the folders in it, or the file itself.
///
/// # Errors
/// When there is no such file or folder.
pub(crate) fn programs_in(path: &str) -> Result<Vec<String>, String> {
    let is_folder = path != STANDARD_INPUT
        && Path::new(path).metadata().map_err(|error| format!("can't read {path}: {error}"))?.is_dir();
    if !is_folder {
        return Ok(vec![path.to_owned()]);
    }
    let mut programs = Vec::new();
    for entry in walkdir::WalkDir::new(path).sort_by_file_name() {
        let entry = entry.map_err(|error| error.to_string())?;
        let is_program =
            entry.file_type().is_file() && entry.path().extension().is_some_and(|end| end == "flow");
        if is_program {
            programs.push(entry.path().to_string_lossy().into_owned());
        }
    }
    if programs.is_empty() {
        return Err(format!("there is no .flow file in {path}"));
    }
    Ok(programs)
}

/// Diagnostics in a format; with colours where people look at them.
pub(crate) fn rendered(diagnostics: &[Diagnostic], files: &Files, format: Format) -> String {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    match format {
        Format::Human => render::human(diagnostics, files, std::io::stderr().is_terminal() && !plain),
        Format::Short => render::short(diagnostics, files),
        Format::Json => render::json(diagnostics, files),
    }
}
