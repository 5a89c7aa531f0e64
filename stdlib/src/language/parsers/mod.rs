//! The parsers of the library: each file has its signature in the language (`.flow`) beside its Rust.

mod columns;
mod regex;
mod tables;

use weir_runtime::Registry;

/// Adds every parser that is carried out, and the reader of lookup tables.
pub(crate) fn register(registry: Registry) -> Registry {
    registry.table_reader(tables::read).parser("regex", regex::make)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// The parsers that programs can use and that this version does not carry out.
    const WITHOUT_RUST: [&str; 6] = ["access_log", "avro", "csv", "json", "kv", "syslog"];

    #[test]
    fn every_parser_has_its_rust_or_is_known_to_have_none() {
        let texts = crate::library_sources().iter().map(|(_, text)| *text);
        let items =
            texts.flat_map(|text| text.lines().filter_map(|line| line.strip_prefix("extern parser ")));
        let declared: BTreeSet<&str> = items.filter_map(|item| item.split(':').next()).collect();
        let registry = super::register(weir_runtime::Registry::default());
        let carried_out: BTreeSet<&str> = registry.parser_names().collect();
        assert!(carried_out.is_subset(&declared), "each has a signature");
        let without: Vec<&str> = declared.difference(&carried_out).copied().collect();
        assert_eq!(without, WITHOUT_RUST);
    }
}
