//! Positions in every encoding, with characters of every width and lines of every kind.

use gen_lsp_types::Position;
use serde_json::{Value, json};

use super::client::{Client, MemoryDisk, capabilities, uri};
use crate::positions::{Encoding, Lines};

#[test]
fn every_offset_maps_back() {
    let texts = ["", "a", "\n", "ä\r\n🦀b\r\rc\n", "🦀🦀", "\u{feff}a\n\n\nß"];
    for text in texts {
        let lines = Lines::of(text);
        for encoding in [Encoding::Utf8, Encoding::Utf16, Encoding::Utf32] {
            for offset in (0..=text.len()).filter(|offset| text.is_char_boundary(*offset)) {
                // The places between the characters of a line end are in no line.
                if text[offset..].starts_with('\n') && text[..offset].ends_with('\r') {
                    continue;
                }
                let position = lines.position(text, offset, encoding);
                assert_eq!(lines.offset(text, position, encoding), offset, "{text:?} {encoding:?}");
            }
        }
    }
}

#[test]
fn lines_follow_changes_of_the_text() {
    let mut random = fastrand::Rng::with_seed(7);
    let letters = ['a', 'ä', '🦀', '\n', '\r', '\r'];
    let some = |most: usize, random: &mut fastrand::Rng| -> String {
        (0..random.usize(..=most)).map(|_| letters[random.usize(..letters.len())]).collect()
    };
    let mut text = String::new();
    let mut lines = Lines::of(&text);
    for _ in 0..20_000 {
        let offsets: Vec<usize> = (0..=text.len()).filter(|at| text.is_char_boundary(*at)).collect();
        let (one, other) = (offsets[random.usize(..offsets.len())], offsets[random.usize(..offsets.len())]);
        let (start, end) = (one.min(other), one.max(other));
        let before = text.clone();
        let written = some(if text.len() < 60 { 12 } else { 2 }, &mut random);
        text.replace_range(start..end, &written);
        lines.replaced(&text, start, end, written.len());
        assert_eq!(lines.starts(), Lines::of(&text).starts(), "{before:?} {start}..{end} {written:?}");
    }
}

#[test]
fn a_line_end_of_two_characters_is_in_no_line() {
    let text = "ab\r\nc";
    let lines = Lines::of(text);
    assert_eq!(lines.position(text, 3, Encoding::Utf16), Position { line: 0, character: 2 });
    assert_eq!(lines.position(text, 4, Encoding::Utf16), Position { line: 1, character: 0 });
}

#[test]
fn positions_within_a_character_are_moved_to_its_start() {
    let text = "a🦀b";
    let lines = Lines::of(text);
    let at = |character, encoding| lines.offset(text, Position { line: 0, character }, encoding);
    assert_eq!((at(2, Encoding::Utf16), at(3, Encoding::Utf16)), (1, 5));
    assert_eq!((at(3, Encoding::Utf8), at(5, Encoding::Utf8)), (1, 5));
    assert_eq!((at(2, Encoding::Utf32), at(99, Encoding::Utf32)), (5, 6));
    assert_eq!(lines.count(), 1);
}

#[test]
fn edits_and_diagnostics_count_as_the_client_does() {
    for (encoding, start) in [("utf-8", 8), ("utf-16", 6), ("utf-32", 5)] {
        let mut client = Client::start_with(MemoryDisk::default(), capabilities(encoding), Value::Null);
        assert_eq!(client.initialized["capabilities"]["positionEncoding"], encoding);
        client.open("/code/a.flow", "// 🦀 \nlet a = 1\n");
        client.diagnostics("/code/a.flow");
        // The comment ends, and an unknown item follows on the next line.
        let at = json!({ "line": 0, "character": start });
        let changes = json!([{ "range": { "start": at, "end": at }, "text": "\nnonsense 🦀" }]);
        let document = json!({ "uri": uri("/code/a.flow"), "version": 2 });
        client
            .notify("textDocument/didChange", json!({ "textDocument": document, "contentChanges": changes }));
        let diagnostics = client.diagnostics("/code/a.flow");
        let range = json!({ "start": { "line": 1, "character": 0 }, "end": { "line": 1, "character": 8 } });
        assert_eq!(diagnostics[0]["range"], range, "{encoding}");
    }
}
