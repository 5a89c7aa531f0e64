//! The formatter: the canonical form of a program's text.

use crate::diagnostics::Diagnostic;
use crate::files::sources::Files;
use crate::files::syntax;

/// The error for a text with syntax errors.
#[derive(Debug)]
pub struct Unreadable {
    /// The syntax errors.
    pub diagnostics: Vec<Diagnostic>,
    /// The file with the errors.
    pub files: Files,
}

/// Returns the canonical form of a file. Checks only the syntax.
///
/// # Errors
/// Returns the syntax errors of the file.
pub fn format(name: &str, text: &str) -> Result<String, Unreadable> {
    let mut files = Files::default();
    let file = files.add(name, text);
    weir_grammar::format(file, text).map_err(|errors| {
        let diagnostics = errors.into_iter().map(|error| syntax::diagnostic(error, &files)).collect();
        Unreadable { diagnostics, files }
    })
}
