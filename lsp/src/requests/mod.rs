//! The answers to requests, a file for each kind.

pub(crate) mod definition;
pub(crate) mod diagnostics;
pub(crate) mod formatting;
pub(crate) mod hover;
pub(crate) mod library_content;
