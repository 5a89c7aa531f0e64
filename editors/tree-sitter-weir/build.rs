//! Generates the parser from `grammar.js` and compiles it. Needs Node and a C compiler.

use std::env;
use std::path::PathBuf;
use std::process::exit;

use tree_sitter_generate::{OptLevel, generate_parser_in_directory};

/// The version of the parser's tables. Neovim reads it since 0.7, Helix and Emacs read it too.
const ABI: usize = 14;

fn main() {
    println!("cargo::rerun-if-changed=grammar.js");
    println!("cargo::rerun-if-changed=tree-sitter.json");
    println!("cargo::rerun-if-changed=src/scanner.c");
    let generated = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let root = env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
    let mut remarks = Vec::new();
    let outcome = generate_parser_in_directory(
        root,
        Some(&generated),
        None::<PathBuf>,
        ABI,
        None,
        Some("node"),
        true,
        OptLevel::default(),
        &mut remarks,
    );
    for remark in remarks {
        println!("cargo::warning={remark:?}");
    }
    if let Err(error) = outcome {
        for line in error.to_string().lines() {
            println!("cargo::error={line}");
        }
        exit(1);
    }
    cc::Build::new()
        .std("c11")
        .include(&generated)
        .file(generated.join("parser.c"))
        .file("src/scanner.c")
        .warnings(false)
        .compile("tree-sitter-weir");
}
