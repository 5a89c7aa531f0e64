//! The text of the library, which editors open as read-only documents.

use std::sync::Arc;

use weir_compiler::Library;

use crate::disk::Disk;
use crate::uris;

/// The scheme of the library's documents for clients that ask the server for their content.
pub(crate) const SCHEME: &str = "weir-library";

/// The documents of the library: files in a folder, or content that the client asks for.
#[derive(Debug)]
pub(crate) struct LibraryDocuments {
    /// The beginning of their URIs, before the name of a file such as `library/kafka.flow`.
    pub(crate) base: Arc<str>,
}

impl LibraryDocuments {
    /// Writes the library into a folder, unless the client can ask for the content of documents.
    pub(crate) fn new(library: &Library, disk: &dyn Disk, client_asks: bool) -> LibraryDocuments {
        let files = library.files();
        let texts: Vec<(&str, &str)> = files.iter().map(|file| (&*file.name, &*file.text)).collect();
        let folder = if client_asks { None } else { disk.materialize(&texts) };
        let base = match folder {
            Some(folder) => format!("{}/", uris::uri(folder.trim_end_matches('/'))),
            None => format!("{SCHEME}:/"),
        };
        LibraryDocuments { base: base.into() }
    }

    /// Returns the name of the library's file with this URI: `library/kafka.flow`.
    pub(crate) fn name<'u>(&self, uri: &'u str) -> Option<&'u str> {
        uri.strip_prefix(&*self.base)
    }
}
