//! The order of candidates: names and keywords together.

use std::ops::Range;

use weir_grammar::{Continuation, FileId, parse};

use crate::completion::candidate::{Candidate, CandidateKind};

/// The longest item in which candidates are tried.
const TRIED_BYTES_MAX: usize = 4_096;

/// Keywords by their frequency; others follow.
const FREQUENT: [&str; 18] = [
    "null", "true", "source", "sink", "flow", "schema", "channel", "param", "let", "keep", "set", "parse",
    "drop", "copy", "match", "if", "reject", "not",
];

/// How keywords are mixed with names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mixed {
    /// The likely ones behind the first names.
    Among,
    /// All behind the names.
    Behind,
}

/// Adds keywords to names. `item` is the text of the file, the place of the item, and the replaced word.
pub(super) fn with_words(
    mut candidates: Vec<Candidate>,
    following: Option<Continuation>,
    mixed: Mixed,
    item: Option<(&str, Range<usize>, Range<usize>)>,
) -> Vec<Candidate> {
    let Some(following) = following else { return candidates };
    let mut words = following.words.clone();
    words.retain(|word| !candidates.iter().any(|known| known.name == *word));
    words.sort_by_key(|word| FREQUENT.iter().position(|frequent| frequent == word).unwrap_or(FREQUENT.len()));
    // A word after which the rest of the item can be parsed is likely.
    let fits = |word: &str| match &item {
        Some((text, item, replaced)) if item.len() <= TRIED_BYTES_MAX => {
            let tried =
                format!("{}{word}{}", &text[item.start..replaced.start], &text[replaced.end..item.end]);
            parse(FileId(0), &tried).errors.is_empty()
        }
        _ => false,
    };
    let (likely, others): (Vec<String>, Vec<String>) = words.into_iter().partition(|word| fits(word));
    let keyword = |word: String| Candidate::new(word, CandidateKind::Keyword);
    let place = if mixed == Mixed::Among { candidates.len().min(2) } else { candidates.len() };
    candidates.splice(place..place, likely.into_iter().map(keyword));
    // The words behind the first names come before the long list of functions.
    let first_function = candidates.iter().position(|known| known.kind == CandidateKind::Function);
    let place = match following.values || mixed == Mixed::Behind {
        true => first_function.filter(|first| *first > 0).unwrap_or(candidates.len()),
        false => candidates.len().min(4),
    };
    candidates.splice(place..place, others.into_iter().map(keyword));
    candidates
}
