//! The parsers of the library: each file has its signature in the language (`.flow`) beside its Rust.

mod access_log;
mod avro;
mod columns;
mod csv;
mod filling;
mod grok;
mod json;
mod kv;
mod logfmt;
mod nested;
mod pieces;
mod regex;
mod scalar;
pub(crate) mod syslog;
mod tables;
mod views;

use weir_runtime::Registry;

pub(crate) use json::plain_end;

/// Adds every parser that is carried out, and the reader of lookup tables.
pub(crate) fn register(registry: Registry) -> Registry {
    registry
        .table_reader(tables::read)
        .parser("access_log", access_log::make)
        .parser("avro", avro::make)
        .parser("csv", csv::make)
        .parser("grok", grok::make)
        .parser("json", json::make)
        .parser("kv", kv::make)
        .parser("logfmt", logfmt::make)
        .parser("regex", regex::make)
        .parser("syslog", syslog::make)
}

#[cfg(test)]
mod tests;
