//! `weir graph`: draws a program's graph.

use std::process::ExitCode;

use clap::ValueEnum;
use weir_compiler::{lower, render};

use crate::MISUSE;
use crate::files::program_path;
use crate::program::{Colours, Params, analyse, library, print, print_error, print_error_line, rendered};

/// The arguments of `weir graph`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The program, or - for standard input
    #[arg(value_name = "FILE", value_parser = program_path())]
    path: String,
    /// The format of the drawing
    #[arg(long, value_enum, default_value = "text")]
    format: GraphFormat,
    #[command(flatten)]
    params: Params,
    #[command(flatten)]
    colours: Colours,
}

/// The format of a drawing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum GraphFormat {
    /// A tree for each flow, for terminals
    Text,
    /// A Mermaid flowchart, for Markdown pages
    Mermaid,
    /// A Graphviz graph, for `dot -Tsvg`
    Dot,
    /// JSON with the places in the text, for editors; also for a program with errors
    Json,
}

/// Draws the graph. Exit status: 0 drawn, 1 the program has errors, 2 misuse.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    match graph(arguments) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            print_error_line(format_args!("weir: {error}"));
            ExitCode::from(MISUSE)
        }
    }
}

fn graph(arguments: &Arguments) -> Result<bool, String> {
    let library = library()?;
    let analysis = analyse(&arguments.path, &library, &arguments.params)?;
    print_error(&rendered(&analysis.diagnostics, &analysis.files, arguments.colours));
    let plan = || lower(&analysis);
    let drawing = match arguments.format {
        GraphFormat::Text => plan().map(|plan| plan.text_drawing()),
        GraphFormat::Mermaid => plan().map(|plan| plan.mermaid_drawing()),
        GraphFormat::Dot => plan().map(|plan| plan.dot_drawing()),
        GraphFormat::Json => Some(render::graph(&analysis)),
    };
    drawing.iter().for_each(|drawing| print(drawing));
    Ok(drawing.is_some() && !analysis.has_errors())
}
