//! The canonical form of a program's text.

use crate::diagnostics::Diagnostic;
use crate::files::sources::Files;
use crate::files::syntax;

/// A text that is no program.
#[derive(Debug)]
pub struct Unreadable {
    /// Its mistakes of syntax.
    pub diagnostics: Vec<Diagnostic>,
    /// The file that they lie in.
    pub files: Files,
}

/// The canonical form of a file. Nothing but its syntax is looked at.
///
/// # Errors
/// What is wrong with its syntax.
pub fn format(name: &str, text: &str) -> Result<String, Unreadable> {
    let mut files = Files::default();
    let file = files.add(name, text);
    weir_grammar::format(file, text).map_err(|errors| {
        let diagnostics = errors.into_iter().map(|error| syntax::diagnostic(error, &files)).collect();
        Unreadable { diagnostics, files }
    })
}
