//! Random edits: no text makes the server fail, its state is that of a fresh start, and every position maps back.

use std::collections::BTreeMap;

use gen_lsp_types::{
    ClientCapabilities, Position, Range, TextDocumentContentChangeEvent, TextDocumentContentChangePartial,
};
use weir_compiler::{Options, Place, analyse, complete};

use super::client::{MemoryDisk, flow_files, library};
use crate::capabilities::Client;
use crate::documents::Documents;
use crate::positions::{Encoding, Lines};
use crate::session::Session;

/// The edits of one run of the tests. `WEIR_EDITS` tries another number.
const EDITS: usize = 20_000;

/// The edits between two checks of a program.
const EDITS_PER_CHECK: usize = 10;

/// The texts that an edit may insert: tokens that open, close and join, and characters of every width.
const PIECES: [&str; 24] = [
    "",
    "",
    "",
    " ",
    "\n",
    "\r\n",
    "{",
    "}",
    "(",
    ")",
    "[",
    "\"",
    "->",
    ":",
    "@",
    "// ",
    "else ",
    "set a = ",
    "\"{",
    "🦀",
    "ä",
    "\r",
    "sink x = stdout {}\n",
    "1min",
];

fn random_position(random: &mut fastrand::Rng, lines: &Lines, text: &str) -> Position {
    let line = random.usize(0..lines.count());
    let units = Encoding::Utf16.length(lines.text(text, line));
    Position { line: line as u32, character: random.usize(0..=units + 1) as u32 }
}

fn change(random: &mut fastrand::Rng, lines: &Lines, text: &str) -> TextDocumentContentChangeEvent {
    let start = random_position(random, lines, text);
    let end = match random.u8(0..4) {
        0 => start,
        1 => Position { character: start.character + random.u32(0..8), ..start },
        2 => Position { line: start.line + 1, character: random.u32(0..4) },
        _ => Position { character: start.character + 1, ..start },
    };
    let text = PIECES[random.usize(0..PIECES.len())].to_owned();
    TextDocumentContentChangePartial::new(Range { start, end }, None, text).into()
}

#[test]
fn after_random_edits_the_state_is_that_of_a_fresh_start() {
    let edits = std::env::var("WEIR_EDITS").ok().and_then(|edits| edits.parse().ok()).unwrap_or(EDITS);
    let seed = std::env::var("WEIR_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let mut random = fastrand::Rng::with_seed(seed);
    let texts: Vec<String> = flow_files("tests/language/right")
        .iter()
        .map(|path| std::fs::read_to_string(path).unwrap())
        .filter(|text| text.len() < 6_000)
        .collect();
    let disk = MemoryDisk::default();
    let client = Client::new(&ClientCapabilities::default());
    let mut session = Session::new(client, library(), &disk, BTreeMap::new());
    let (name, uri) = ("/code/a.flow", "file:///code/a.flow");
    let mut done = 0;
    while done < edits {
        let text = &texts[random.usize(0..texts.len())];
        session.documents.open(name.to_owned(), uri.to_owned(), 1, text.clone());
        session.programs.add(name);
        // A few edits break a program, and many leave nothing of it.
        for version in 0..50 {
            let document = session.documents.get(name).unwrap();
            let changed = change(&mut random, &document.lines, &document.text);
            assert!(session.documents.change(name, version, vec![changed], Encoding::Utf16));
            session.programs.changed(name);
            done += 1;
            if done % EDITS_PER_CHECK == 0 {
                check(&mut session, name, &mut random, done % (EDITS_PER_CHECK * 10) == 0);
            }
        }
    }
}

/// Checks the program, and compares it with that of a fresh start if `complete` is true.
fn check(session: &mut Session<'_>, name: &str, random: &mut fastrand::Rng, completely: bool) {
    session.refresh(name);
    let document = session.documents.get(name).unwrap();
    let text = document.text.clone();
    assert_eq!(document.lines.starts(), Lines::of(&text).starts());
    if !completely {
        return;
    }
    let view = session.view_in(name, name).unwrap();
    assert_eq!(view.text(), text);
    let fresh = analyse(&(name, text.as_str()), name, &session.library, &Options::default());
    assert_eq!(view.analysis.diagnostics, fresh.diagnostics);
    assert!(view.analysis.all_uses().eq(fresh.all_uses()));
    for (span, _) in view.analysis.all_uses().filter(|(span, _)| span.file == view.file) {
        let range = view.places.range(span);
        assert_eq!(view.places.span(view.file, range), span, "{}", view.analysis.files.text(span));
    }
    let offset = random.usize(0..=text.len());
    let options = session.options();
    let place = Place { entry: name, file: name, offset };
    let found = complete(&session.texts(), place, &session.library, &options, &view.analysis);
    assert!(text.get(found.replaced.clone()).is_some(), "{found:?}");
}

#[test]
fn documents_keep_their_lines() {
    let mut documents = Documents::default();
    documents.open("a".to_owned(), "file:///a".to_owned(), 1, "x\n".repeat(3));
    let range = Range { start: Position { line: 1, character: 0 }, end: Position { line: 2, character: 0 } };
    let change = TextDocumentContentChangePartial::new(range, None, "🦀".to_owned());
    assert!(documents.change("a", 2, vec![change.into()], Encoding::Utf16));
    assert_eq!(documents.get("a").unwrap().text, "x\n🦀x\n");
    assert!(!documents.change("b", 2, Vec::new(), Encoding::Utf16));
}
