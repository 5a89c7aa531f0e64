//! Spelling: the search for similar names, and the styles of names.

use weir_grammar::tree::Role;

/// Returns the candidate that is most similar to a name, if the name is probably a misspelling of it.
pub(crate) fn nearest<'c>(name: &str, candidates: impl IntoIterator<Item = &'c str>) -> Option<&'c str> {
    let letters = name.chars().count();
    let ranked = candidates.into_iter().filter(|candidate| *candidate != name).filter_map(|candidate| {
        let distance = strsim::damerau_levenshtein(&name.to_lowercase(), &candidate.to_lowercase());
        let allowed = match letters.max(candidate.chars().count()) {
            0..=2 => 0,
            3..=5 => 1,
            6..=9 => 2,
            _ => 3,
        };
        (distance <= allowed).then_some((distance, candidate))
    });
    ranked.min().map(|(_, candidate)| candidate)
}

/// Returns the literal that a word of another language means.
pub(crate) fn literal_elsewhere(word: &str) -> Option<&'static str> {
    Some(match word.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" => "true",
        "false" | "no" | "off" => "false",
        "null" | "none" | "nil" | "undefined" => "null",
        _ => return None,
    })
}

/// Returns whether a name is in the style of items and fields: `snake_case`.
pub(crate) fn is_snake_case(name: &str) -> bool {
    !name.chars().any(|letter| letter.is_ascii_uppercase())
}

/// Returns whether a name is in the style of types: `UpperCase`.
pub(crate) fn is_upper_case(name: &str) -> bool {
    name.starts_with(|letter: char| letter.is_ascii_uppercase()) && !name.contains('_')
}

/// Returns a name in the style of types.
pub(crate) fn to_upper_case(name: &str) -> String {
    let words = name.split('_').filter(|word| !word.is_empty());
    let words = words.map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    words.collect()
}

/// Returns a name in the style of items and fields.
pub(crate) fn to_snake_case(name: &str) -> String {
    let mut snake = String::new();
    let mut last_is_lower = false;
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && last_is_lower {
            snake.push('_');
        }
        last_is_lower = letter.is_ascii_lowercase() || letter.is_ascii_digit();
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// Returns a role with its article.
pub(crate) fn role_in_words(role: Role) -> &'static str {
    match role {
        Role::Source => "the source",
        Role::Channel => "the channel",
        Role::Sink => "the sink",
    }
}

/// Returns a step's text on one line, truncated for reports.
pub(crate) fn label(text: &str) -> String {
    const LETTERS_MAX: usize = 60;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LETTERS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Returns an amount of bytes for people, rounded up to one digit behind the point: `12.5MiB`.
pub(crate) fn bytes_in_words(bytes: u64) -> String {
    const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let Some((name, unit)) = UNITS.into_iter().find(|(_, unit)| bytes >= *unit) else {
        return format!("{bytes}B");
    };
    let tenths = (u128::from(bytes) * 10).div_ceil(u128::from(unit));
    match tenths % 10 {
        0 => format!("{}{name}", tenths / 10),
        tenth => format!("{}.{tenth}{name}", tenths / 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_near_names_are_offered() {
        let candidates = ["capacity", "byte_capacity", "keep_alive"];
        assert_eq!(nearest("capcity", candidates), Some("capacity"));
        assert_eq!(nearest("Capacity", candidates), Some("capacity"));
        assert_eq!(nearest("size", candidates), None);
        assert_eq!(nearest("a", ["b"]), None);
    }

    #[test]
    fn snake_case_keeps_acronyms_together() {
        assert_eq!(to_snake_case("myHDFSSink"), "my_hdfssink");
        assert_eq!(to_snake_case("Clicks"), "clicks");
    }
}
