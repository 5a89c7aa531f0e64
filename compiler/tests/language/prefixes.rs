//! Incomplete programs, as during typing: if text is missing at the end or in the middle, there are few diagnostics,
//! and none about other parts of the program.

use weir_compiler::{Analysis, Severity};

use crate::fixtures::Fixture;

/// The most errors of a program with one faulty place.
const ERRORS_MAX: usize = 6;

fn errors(analysis: &Analysis) -> Vec<String> {
    let errors = analysis.diagnostics.iter().filter(|diagnostic| diagnostic.severity() == Severity::Error);
    errors.map(|error| format!("{} {}", error.code(), error.describe().message)).collect()
}

/// Returns the places of the tokens of a text: words, numbers and single marks.
fn tokens(text: &str) -> Vec<std::ops::Range<usize>> {
    let mut tokens: Vec<std::ops::Range<usize>> = Vec::new();
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let mut last = ' ';
    for (place, letter) in text.char_indices() {
        let end = place + letter.len_utf8();
        match tokens.last_mut() {
            Some(token) if is_word(last) && is_word(letter) => token.end = end,
            _ if letter.is_whitespace() => {}
            _ => tokens.push(place..end),
        }
        last = letter;
    }
    tokens
}

/// Removes the comment lines, because damage inside of comments tests nothing.
fn without_comments(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.map(|line| format!("{line}\n")).collect()
}

fn survey(kind: &str, damaged: impl Fn(&str, &std::ops::Range<usize>) -> String) -> Vec<String> {
    let mut faults = Vec::new();
    for fixture in Fixture::all("right") {
        let library = fixture.library();
        let text = without_comments(&fixture.text);
        for token in tokens(&text) {
            let damaged = damaged(&text, &token);
            let fixture = Fixture { text: damaged, ..fixture.clone() };
            let analysis = fixture.check_against(&library);
            let found = errors(&analysis);
            if found.len() > ERRORS_MAX {
                let line = text[..token.start].lines().count();
                faults.push(format!(
                    "{}:{line} {kind} `{}`: {}",
                    fixture.name,
                    &text[token.clone()],
                    found.join("\n    ")
                ));
            }
        }
    }
    faults
}

#[test]
fn what_is_left_of_a_program_says_little() {
    let faults = survey("ends at", |text, token| text[..token.end].to_owned());
    assert!(faults.is_empty(), "{}\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn a_program_without_one_token_says_little() {
    let faults = survey("without", |text, token| {
        let rest = text[token.end..].trim_start_matches(' ');
        format!("{}{rest}", &text[..token.start])
    });
    assert!(faults.is_empty(), "{}\n{}", faults.len(), faults.join("\n"));
}

/// Returns whether a line of formatted text begins an item: items begin in the first column.
fn begins_item(line: &str) -> bool {
    line.starts_with(|letter: char| letter.is_ascii_alphabetic())
}

#[test]
fn an_item_that_is_being_typed_leaves_the_others_alone() {
    let faults = survey("being typed up to", |text, token| {
        let mut place = token.end;
        for line in text[token.end..].split_inclusive('\n') {
            if place > token.end && begins_item(line) {
                break;
            }
            place += line.len();
        }
        format!("{}\n{}", &text[..token.end], &text[place..])
    });
    assert!(faults.is_empty(), "{}\n{}", faults.len(), faults.join("\n"));
}
