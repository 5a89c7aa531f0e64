use weir_grammar::Span;

use super::Description;

/// Files that import each other in a cycle.
#[derive(Debug, Clone, PartialEq)]
pub struct ImportCycle {
    /// The import that closes the cycle.
    pub span: Span,
    /// The files of the cycle, from the imported file along its imports back to the imported file.
    pub files: Vec<String>,
}

impl ImportCycle {
    pub(super) fn describe(&self) -> Description {
        let way = self.files.join(" -> ");
        Description::new(
            "files import each other in a circle",
            self.span,
            "this file imports the one it stands in",
        )
        .help(format!("the circle is {way}"))
        .help("move what both need into a file of its own")
    }
}
