//! The codes: their families, their titles, and the one that was most likely meant.

use super::{REGISTRY, page};

/// The families: how their codes begin, and what they are about.
pub const FAMILIES: [(&str, &str); 9] = [
    ("E01", "Syntax"),
    ("E02", "Names"),
    ("E03", "Types"),
    ("E04", "Values"),
    ("E05", "Events"),
    ("E06", "The graph"),
    ("E07", "Delivery"),
    ("E08", "Resources"),
    ("E09", "Security"),
];

/// What a code is about, in a few words: its page's heading without the code.
pub fn title(code: &str) -> Option<&'static str> {
    page(code)?.lines().next()?.split_once(": ").map(|(_, title)| title)
}

/// The code that was most likely meant, if one is near: `E0230` is near `E0203`, and so is `203`.
pub fn nearest_code(text: &str) -> Option<&'static str> {
    let text = text.to_uppercase();
    let digits = text.trim_start_matches(['E', 'W', '0']);
    let codes = || REGISTRY.iter().map(|(code, ..)| *code);
    // Leading zeros and the letter are what is left out.
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
