//! Makes what the build of librdkafka looks for when it has Kerberos: the header, and a library that its test program is linked
//! with. This library is empty: the functions are in the crate.

use std::path::{Path, PathBuf};
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=include/sasl/sasl.h");
    let output = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let (headers, library) = (output.join("include/sasl"), output.join("lib"));
    fs::create_dir_all(&headers)?;
    fs::create_dir_all(&library)?;
    fs::copy(Path::new("include/sasl/sasl.h"), headers.join("sasl.h"))?;
    let empty = output.join("empty.c");
    fs::write(&empty, "typedef int weir_sasl_empty;\n")?;
    cc::Build::new().file(&empty).out_dir(&library).cargo_metadata(false).compile("sasl2");
    // The variable DEP_SASL2_ROOT of the build of librdkafka.
    println!("cargo:root={}", output.display());
    Ok(())
}
