//! The functions of the library: each file has signatures in the language (`.flow`) and the Rust of the functions.

mod arguments;
mod encoding;
mod hash;
mod ip;
mod json;
mod lists;
mod numbers;
mod patterns;
mod random;
mod results;
mod searching;
mod splitting;
mod text;
mod time;
mod values;

use weir_runtime::Registry;

/// Registers every function.
pub(crate) fn register(registry: Registry) -> Registry {
    let register: [fn(Registry) -> Registry; 12] = [
        text::register,
        searching::register,
        splitting::register,
        patterns::register,
        values::register,
        encoding::register,
        hash::register,
        ip::register,
        json::register,
        lists::register,
        numbers::register,
        random::register,
    ];
    time::register(register.into_iter().fold(registry, |registry, register| register(registry)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    /// Returns the names in `extern fn NAME` of all files of the library.
    fn declared() -> BTreeSet<&'static str> {
        let texts = crate::library_sources().iter().map(|(_, text)| *text);
        let items = texts.flat_map(|text| text.lines().filter_map(|line| line.strip_prefix("extern fn ")));
        items.filter_map(|item| item.split(['(', '<']).next()).collect()
    }

    #[test]
    fn every_function_has_its_rust_and_its_signature() {
        let registry = super::register(weir_runtime::Registry::default());
        let mut carried_out: BTreeSet<&str> = registry.function_names().collect();
        // An operator of the language.
        carried_out.remove(weir_runtime::expressions::JSON_ITEM);
        assert_eq!(carried_out, declared());
    }
}
