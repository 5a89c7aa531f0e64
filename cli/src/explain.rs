//! `weir explain`: prints the page of a diagnostic's code.

use std::process::ExitCode;

use weir_compiler::Severity;
use weir_compiler::diagnostics::{FAMILIES, REGISTRY, nearest_code, page, title};

use crate::MISUSE;
use crate::program::{print, print_error_line};

/// The arguments of `weir explain`.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The code of an error or a warning, such as E0203; without a code, all codes are listed
    code: Option<String>,
}

/// Prints a code's page, or the list of all codes. Exit status: 0 printed, 2 the code does not exist.
pub(crate) fn run(arguments: &Arguments) -> ExitCode {
    let Some(code) = &arguments.code else {
        print(&list());
        return ExitCode::SUCCESS;
    };
    match page(&code.to_uppercase()) {
        Some(page) => {
            print(page);
            ExitCode::SUCCESS
        }
        None => {
            let instead = match nearest_code(code) {
                Some(near) => format!("did you mean {near}?"),
                None => "`weir explain` lists all codes".to_owned(),
            };
            print_error_line(format_args!("weir: there is no code {code}: {instead}"));
            ExitCode::from(MISUSE)
        }
    }
}

fn list() -> String {
    let mut list = String::new();
    for (family, about) in FAMILIES {
        let codes: Vec<_> = REGISTRY.iter().filter(|(code, ..)| code.starts_with(family)).collect();
        if codes.is_empty() {
            continue;
        }
        let separator = if list.is_empty() { "" } else { "\n" };
        list.push_str(&format!("{separator}{about}\n"));
        for (code, severity, _) in codes {
            let severity = match severity {
                Severity::Error => "error",
                Severity::Warning => "warning",
            };
            list.push_str(&format!("  {code}  {severity:<7}  {}\n", title(code).unwrap_or_default()));
        }
    }
    list
}
