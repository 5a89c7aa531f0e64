//! How fast programs are read and checked: `measure LIBRARY_FOLDER PROGRAM…`.

// An example's output is its purpose.
#![allow(clippy::print_stdout)]

use std::path::Path;
use std::time::Instant;

use weir_compiler::{Library, Options, compile, render};

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().unwrap_or_else(|| "stdlib/src".to_owned());
    let library = match Library::parse(signatures(Path::new(&folder))) {
        Ok(library) => library,
        Err(error) => {
            print!("{}", render::human(&error.diagnostics, &error.files, false));
            return;
        }
    };
    for program in arguments {
        let text = std::fs::read_to_string(&program).unwrap_or_default();
        let start = Instant::now();
        let parsed = weir_grammar::parse(weir_grammar::FileId(0), &text);
        let reading = start.elapsed();
        drop(parsed);
        let start = Instant::now();
        let compiled = compile(&(program.as_str(), text.as_str()), &program, &library, &Options::default());
        let took = start.elapsed();
        print!("{}", render::human(&compiled.diagnostics, &compiled.files, false));
        let lines = text.lines().count();
        println!(
            "{program}: {lines} lines read in {reading:?}, checked in {took:?}: {:.0} lines/s",
            lines as f64 / took.as_secs_f64()
        );
    }
}

fn signatures(folder: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.path()) {
        if path.is_dir() {
            files.extend(signatures(&path));
        } else if path.extension().is_some_and(|end| end == "flow") {
            let text = std::fs::read_to_string(&path).unwrap_or_default();
            files.push((path.to_string_lossy().into_owned(), text));
        }
    }
    files
}
