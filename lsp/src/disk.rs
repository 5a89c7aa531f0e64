//! Access to the files that the editor has not opened.

use weir_compiler::SourceFiles;

/// The files of the machine, as the server needs them. Names are absolute paths with `/`.
pub trait Disk: SourceFiles {
    /// Returns the names of the `.flow` files in a folder and its subfolders, sorted; at most `most` of them.
    fn programs(&self, folder: &str, most: usize) -> Vec<String>;

    /// Returns the names of the files and subfolders of a folder, sorted; the names of folders end with `/`.
    fn entries(&self, folder: &str) -> Vec<String>;

    /// Writes texts as read-only files into a folder that only this version of Weir uses, unless they are there already.
    /// Returns the name of the folder; `None` if the folder can't be written.
    fn materialize(&self, texts: &[(&str, &str)]) -> Option<String>;
}
