//! `weir graph`: draws a program's graph.

use std::process::ExitCode;

use clap::ValueEnum;
use weir_compiler::lower;

use crate::MISUSE;
use crate::program::{Colours, Params, analyse, library, print, print_error, print_error_line, rendered};

/// The arguments of `weir graph`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The program, or - for standard input
    #[arg(value_name = "FILE")]
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
    let Some(plan) = lower(&analysis) else { return Ok(false) };
    print(&match arguments.format {
        GraphFormat::Text => plan.text_drawing(),
        GraphFormat::Mermaid => plan.mermaid_drawing(),
        GraphFormat::Dot => plan.dot_drawing(),
    });
    Ok(true)
}
