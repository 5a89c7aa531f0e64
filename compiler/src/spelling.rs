//! Names that are near each other, and how names are written.

use weir_grammar::tree::Role;

/// The candidate that is nearest to a name, if one is so near that it was most likely meant.
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

/// Whether a name is written as things are: `snake_case`.
pub(crate) fn is_snake_case(name: &str) -> bool {
    !name.chars().any(|letter| letter.is_ascii_uppercase())
}

/// Whether a name is written as types are: `UpperCase`.
pub(crate) fn is_upper_case(name: &str) -> bool {
    name.starts_with(|letter: char| letter.is_ascii_uppercase()) && !name.contains('_')
}

/// A name as types are written.
pub(crate) fn to_upper_case(name: &str) -> String {
    let words = name.split('_').filter(|word| !word.is_empty());
    let words = words.map(|word| {
        let mut letters = word.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        first.into_iter().chain(letters).collect::<String>()
    });
    words.collect()
}

/// A name as things are written.
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

/// A role with its article.
pub(crate) fn role_in_words(role: Role) -> &'static str {
    match role {
        Role::Source => "the source",
        Role::Channel => "the channel",
        Role::Sink => "the sink",
    }
}

/// A step's text on one line, not too long for a report.
pub(crate) fn label(text: &str) -> String {
    const LETTERS_MAX: usize = 60;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(LETTERS_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
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
