//! The functions of the library: each file has signatures in the language (`.flow`) and the Rust of the functions.

mod arguments;
mod text;

use weir_runtime::Registry;

/// Registers every function that has Rust.
pub(crate) fn register(registry: Registry) -> Registry {
    text::register(registry)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// The functions that have a signature and no Rust in this version.
    #[rustfmt::skip]
    const WITHOUT_RUST: &[&str] = &[
        "abs", "base64_decode", "base64_encode", "bool_at", "bytes", "capture", "ceil", "count", "day",
        "decimal", "duration", "first", "float", "float_at", "floor", "format_time", "from_unix_milliseconds",
        "hex_decode", "hex_encode", "hmac_sha256", "hostname", "hour", "in_network", "index_of", "int",
        "int_at", "ip", "is_private", "join", "json", "json_at", "json_text", "last", "mask_ip", "max",
        "milliseconds", "min", "minute", "month", "names", "now", "pad_start", "random", "redact", "replace",
        "replace_bytes", "replace_regex", "round", "seconds", "sha256", "slice", "split", "substring",
        "text", "text_at", "time", "to_float", "to_int", "truncate_time", "unix_milliseconds", "url_decode",
        "url_encode", "utf8", "uuid", "weekday", "xxh3", "year",
    ];

    /// Returns the names in `extern fn NAME` of all files of the library.
    fn declared() -> BTreeSet<&'static str> {
        let texts = crate::library_sources().iter().map(|(_, text)| *text);
        let items = texts.flat_map(|text| text.lines().filter_map(|line| line.strip_prefix("extern fn ")));
        items.filter_map(|item| item.split(['(', '<']).next()).collect()
    }

    #[test]
    fn every_function_has_its_rust_or_is_known_to_have_none() {
        let registry = super::register(weir_runtime::Registry::default());
        let carried_out: BTreeSet<&str> = registry.function_names().collect();
        assert!(carried_out.is_subset(&declared()), "each has a signature");
        let without: Vec<&str> = declared().difference(&carried_out).copied().collect();
        assert_eq!(without, WITHOUT_RUST);
    }
}
