//! The codes of diagnostics: their families, their titles, and the search for a similar code.

use super::{REGISTRY, page};

/// The families of codes: the prefix of the codes, and the subject of the family.
pub const FAMILIES: [(&str, &str); 10] = [
    ("E01", "Syntax"),
    ("E02", "Names"),
    ("E03", "Types"),
    ("E04", "Values"),
    ("E05", "Events"),
    ("E06", "The graph"),
    ("E07", "Delivery"),
    ("E08", "Resources"),
    ("E09", "Security"),
    ("E00", "This version, and what surrounds the program"),
];

/// Returns the title of a code: the heading of its page without the code.
pub fn title(code: &str) -> Option<&'static str> {
    page(code)?.lines().next()?.split_once(": ").map(|(_, title)| title)
}

/// Returns the code that the text probably means, if one is similar: `E0230` and `203` are similar to `E0203`.
pub fn nearest_code(text: &str) -> Option<&'static str> {
    let text = text.to_uppercase();
    let digits = text.trim_start_matches(['E', 'W', '0']);
    let codes = || REGISTRY.iter().map(|(code, ..)| *code);
    // People leave out the letter and leading zeros.
    let same_number = |code: &&str| !digits.is_empty() && code.trim_start_matches(['E', '0']) == digits;
    codes().find(same_number).or_else(|| {
        let near = codes().map(|code| (strsim::damerau_levenshtein(&text, code), code));
        near.filter(|(distance, _)| *distance == 1).min().map(|(_, code)| code)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_family() {
        for (code, ..) in REGISTRY {
            assert!(FAMILIES.iter().any(|(family, _)| code.starts_with(family)), "{code}");
        }
    }

    #[test]
    fn codes_are_found_by_what_people_type() {
        for text in ["203", "e203", "0203", "E0230", "e02033", "W0203"] {
            assert_eq!(nearest_code(text), Some("E0203"), "{text}");
        }
        for text in ["", "E", "hello", "E9999"] {
            assert_eq!(nearest_code(text), None, "{text}");
        }
    }
}
