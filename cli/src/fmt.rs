//! `weir fmt`: rewrites programs in their canonical form.

use std::path::Path;
use std::process::ExitCode;

use crate::MISUSE;
use crate::files::{ProgramFiles, STANDARD_INPUT, program_path, programs_in};
use crate::fix::replace;
use crate::program::{Colours, print, print_error, print_error_line, rendered};

/// The arguments of `weir fmt`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Programs, folders of programs, or - for standard input, whose formatted text is printed
    #[arg(required = true, value_name = "FILES|FOLDERS", value_parser = program_path())]
    paths: Vec<String>,
    /// List the files that are not in canonical form, and change nothing
    #[arg(long)]
    check: bool,
    #[command(flatten)]
    colours: Colours,
}

/// Formats the programs. Exit status: 0 all programs are in canonical form now; 1 a program has errors of syntax or, with
/// --check, is not in canonical form; 2 misuse.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match format(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            print_error_line(format_args!("weir: {error}"));
            ExitCode::from(MISUSE)
        }
    }
}

/// Formats the programs, and returns whether all are in canonical form now.
fn format(arguments: &Arguments) -> Result<bool, String> {
    let mut canonical = true;
    for program in &programs_in(&arguments.paths)? {
        let text = ProgramFiles::read(program)?.text;
        match weir_compiler::format(program, &text) {
            Ok(formatted) => canonical &= write_formatted(program, &text, &formatted, arguments.check)?,
            Err(unreadable) => {
                canonical = false;
                print_error(&rendered(&unreadable.diagnostics, &unreadable.files, arguments.colours));
            }
        }
    }
    Ok(canonical)
}

/// Replaces a program by its canonical form; with `check`, only prints the name of a program that would change. Returns
/// whether the program is in canonical form now.
fn write_formatted(program: &str, text: &str, formatted: &str, check: bool) -> Result<bool, String> {
    let differs = text != formatted;
    if check {
        if differs {
            print(&format!("{program}\n"));
        }
        return Ok(!differs);
    }
    if program == STANDARD_INPUT {
        print(formatted);
    } else if differs {
        replace(Path::new(program), formatted).map_err(|error| format!("can't write {program}: {error}"))?;
    }
    Ok(true)
}
