//! Writes the generated parser into `src/`, for editors that compile it themselves:
//! `cargo run --example generate`.

use std::fs;
use std::io;
use std::path::Path;

fn main() -> io::Result<()> {
    let generated = Path::new(env!("OUT_DIR"));
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    fs::create_dir_all(sources.join("tree_sitter"))?;
    for name in ["parser.c", "grammar.json", "node-types.json"] {
        fs::copy(generated.join(name), sources.join(name))?;
    }
    for name in ["alloc.h", "array.h", "parser.h"] {
        fs::copy(generated.join("tree_sitter").join(name), sources.join("tree_sitter").join(name))?;
    }
    println!("{}", sources.join("parser.c").display());
    Ok(())
}
