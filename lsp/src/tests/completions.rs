//! Completion, judged at many places of right programs: a token is removed and asked for.

use std::collections::BTreeMap;
use std::fmt::Write;

use weir_compiler::analysis::DefinitionKind;
use weir_compiler::{Analysis, Options, Place, analyse, complete};
use weir_grammar::{FileId, Span, TokenKind, tokens};

use super::client::{flow_files, library};

/// The number of judged places.
const PLACES: usize = 1_500;

/// A token of a program, and what it is.
struct Removed {
    what: &'static str,
    program: usize,
    range: std::ops::Range<usize>,
}

/// The number of places of a kind, how many of them offer the token, and how many among the first five.
#[derive(Default, Clone, Copy)]
struct Count {
    all: usize,
    offered: usize,
    first: usize,
}

struct Program {
    name: String,
    text: String,
    analysis: Analysis,
    file: FileId,
}

fn programs(library: &weir_compiler::Library) -> Vec<Program> {
    let folders = ["examples", "tests/language/right"];
    let paths = folders.iter().flat_map(|folder| flow_files(folder));
    let mut programs = Vec::new();
    for path in paths.filter(|path| !path.components().any(|part| part.as_os_str() == "imported")) {
        let (name, text) = (path.to_string_lossy().into_owned(), std::fs::read_to_string(&path).unwrap());
        let analysis = analyse(&(name.as_str(), text.as_str()), &name, library, &Options::default());
        let Some(file) = analysis.file_named(&name) else { continue };
        if text.len() < 8_000 && !analysis.has_errors() {
            programs.push(Program { name, text, analysis, file });
        }
    }
    programs
}

/// Returns what a token is; `None` for tokens that nobody can know, such as a new name.
fn kind(program: &Program, kind: TokenKind, span: Span) -> Option<&'static str> {
    let word = span.slice(&program.text);
    if !matches!(kind, TokenKind::Word | TokenKind::Header) {
        return None;
    }
    if program.analysis.definitions_of(program.file).any(|definition| definition.span == span) {
        return None;
    }
    let definitions = program.analysis.definitions_at(program.file, span.start + 1);
    let used = definitions.first().map(|definition| definition.kind);
    Some(match used {
        Some(DefinitionKind::Component(_)) => "component",
        Some(DefinitionKind::Kind(_)) => "kind",
        Some(DefinitionKind::Setting) => "setting",
        Some(DefinitionKind::Field | DefinitionKind::Column) => "field or header",
        Some(DefinitionKind::Function) => "function",
        Some(DefinitionKind::Interceptor | DefinitionKind::Parser | DefinitionKind::Quality) => "step's name",
        Some(DefinitionKind::Schema) => "schema",
        Some(
            DefinitionKind::Param | DefinitionKind::Let | DefinitionKind::Local | DefinitionKind::Parameter,
        ) => "value",
        Some(_) => return None,
        None if kind == TokenKind::Header => "field or header",
        None if weir_grammar::is_keyword(word) => "keyword",
        None if word.starts_with(|letter: char| letter.is_ascii_uppercase()) => "type",
        // Names of rules and of a record's entries are new.
        None if program.text[span.end as usize..].starts_with(':') => return None,
        None => "variant or other",
    })
}

fn places(programs: &[Program]) -> Vec<Removed> {
    let mut all = Vec::new();
    for (index, program) in programs.iter().enumerate() {
        for token in tokens(&program.text) {
            let span =
                Span { file: program.file, start: token.range.start as u32, end: token.range.end as u32 };
            if let Some(what) = kind(program, token.kind, span) {
                all.push(Removed { what, program: index, range: token.range });
            }
        }
    }
    fastrand::Rng::with_seed(7).shuffle(&mut all);
    all.truncate(PLACES);
    all
}

#[test]
fn a_removed_token_is_offered() {
    let library = library();
    let programs = programs(&library);
    let places = places(&programs);
    let mut counts: BTreeMap<&str, Count> = BTreeMap::new();
    let mut misses = String::new();
    for Removed { what, program, range } in &places {
        let Program { name, text, .. } = &programs[*program];
        let token = text[range.clone()].trim_matches('`');
        let removed = format!("{}{}", &text[..range.start], &text[range.end..]);
        let analysis = analyse(&(name.as_str(), removed.as_str()), name, &library, &Options::default());
        let place = Place { entry: name, file: name, offset: range.start };
        let found =
            complete(&(name.as_str(), removed.as_str()), place, &library, &Options::default(), &analysis);
        let rank = found.candidates.iter().position(|candidate| candidate.name == token);
        for what in [*what, "all"] {
            let count = counts.entry(what).or_default();
            count.all += 1;
            count.offered += usize::from(rank.is_some());
            count.first += usize::from(rank.is_some_and(|rank| rank < 5));
        }
        if rank.is_none_or(|rank| rank >= 5) {
            let line = text[..range.start].rfind('\n').map_or(0, |end| end + 1);
            let line = text[line..].lines().next().unwrap_or_default().trim();
            let _written = writeln!(misses, "{what} {token} {rank:?} of {}: {line}", found.candidates.len());
        }
    }
    let mut table = String::from("what | places | offered | among the first five\n");
    for (what, Count { all, offered, first }) in &counts {
        let _written = writeln!(table, "{what} | {all} | {offered} | {first}");
    }
    let all = counts["all"];
    assert_eq!(all.all, PLACES);
    assert!(all.offered * 100 >= all.all * 95 && all.first * 100 >= all.all * 85, "{table}\n{misses}");
    // The table is in docs/editor.md.
    eprintln!("{table}");
}
