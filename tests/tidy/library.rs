//! Checks that the library's signatures have doc comments, which the compiler and the reference show.

use crate::Fault;

/// The first words of items that need a doc comment.
const ITEMS: [&str; 3] = ["extern", "enum", "record"];

pub(crate) fn check(path: &str, text: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    if !text.starts_with("//! ") {
        faults.push(Fault::new(path, 1, "no `//!` comment that describes the file"));
    }
    let mut before = "";
    for (line, number) in text.lines().zip(1..) {
        let word = line.split(' ').next().unwrap_or_default();
        if ITEMS.contains(&word) && !before.starts_with("///") {
            let item = line.split([':', '{']).next().unwrap_or(line).trim();
            faults.push(Fault::new(path, number, format!("`{item}` has no doc comment")));
        }
        before = line;
    }
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_item_has_a_doc_comment() {
        let fine = "//! Files.\n\n/// Reads files.\nextern source files: replayable {\n}\n";
        assert_eq!(check("a.flow", fine), []);
        let bare = "//! Files.\n\nextern source files: replayable {\n}\nenum A { a }\n";
        let expected = [
            Fault::new("a.flow", 3, "`extern source files` has no doc comment"),
            Fault::new("a.flow", 5, "`enum A` has no doc comment"),
        ];
        assert_eq!(check("a.flow", bare), expected);
    }

    #[test]
    fn each_file_has_a_doc_comment() {
        assert_eq!(
            check("a.flow", ""),
            [Fault::new("a.flow", 1, "no `//!` comment that describes the file")]
        );
    }
}
