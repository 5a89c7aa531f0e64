//! The names and words that fit at a place of a text, which usually has an error there.
//!
//! A mark, which is a name, takes the place of the word at the position. Often the item can then be parsed, and its tree says
//! what is wanted. If that depends on the events or on a setting, the program is analysed with the mark.

mod arguments;
mod candidate;
mod context;
mod cursor;
mod events;
mod marked;
mod names;
mod order;
mod samples;
mod settings;
mod values;
mod words;

use std::ops::Range;

use crate::analyse::analyse;
use crate::analysis::Analysis;
use crate::completion::context::Wanted;
use crate::completion::cursor::Cursor;
use crate::completion::marked::Marked;
use crate::completion::order::Mixed;
use crate::completion::words::words;
use crate::files::sources::SourceFiles;
use crate::options::Options;
use crate::signatures::Library;

pub use candidate::{Candidate, CandidateKind, Part};

/// The candidates that fit at a place.
#[derive(Debug, Default)]
pub struct Completions {
    /// The part of the text that a candidate replaces, in bytes.
    pub replaced: Range<usize>,
    /// The candidates, the likeliest first.
    pub candidates: Vec<Candidate>,
}

/// A place of a program's text.
#[derive(Debug, Clone, Copy)]
pub struct Place<'p> {
    /// The name of the entry file.
    pub entry: &'p str,
    /// The name of the file.
    pub file: &'p str,
    /// The offset in the file, in bytes.
    pub offset: usize,
}

/// Returns what fits at a place. `known` is the analysis of the program with its current text.
pub fn complete(
    sources: &dyn SourceFiles,
    place: Place<'_>,
    library: &Library,
    options: &Options,
    known: &Analysis,
) -> Completions {
    let Some(file) = known.file_named(place.file) else { return Completions::default() };
    let Some(source) = known.files.get(file) else { return Completions::default() };
    let text = source.text.as_str();
    let cursor = Cursor::at(text, place.offset);
    let Cursor::Word { replaced, in_text, number } = cursor else { return Completions::default() };
    // The mark takes the place of a complete number.
    let start = number.unwrap_or(replaced.start);
    let number = number.is_some();
    let marked = Marked::find(known, file, text, &(start..replaced.end), in_text);
    let Some(marked) = marked else {
        let following = if in_text || number { None } else { words(known, file, text, replaced.start) };
        let item = marked::items_around(known, file, text, &replaced);
        let candidates =
            order::with_words(Vec::new(), following, Mixed::Among, Some((text, item, replaced.clone())));
        return Completions { replaced, candidates };
    };
    let wanted = Wanted::of(&marked.tree, marked.position);
    let again;
    let analysis = match wanted.needs_analysis() {
        true => {
            let changed = Changed { sources, name: place.file, text: &marked.text };
            again = analyse(&changed, place.entry, library, options);
            &again
        }
        false => known,
    };
    let at = context::At { analysis, library, file, tree: &marked.tree, position: marked.position, number };
    let candidates = at.candidates(&wanted);
    let has_words = !in_text && !number && !matches!(wanted, Wanted::Secret);
    let following = if has_words { words(known, file, text, replaced.start) } else { None };
    let following = following.map(|following| words::for_place(following, &at));
    // A new line in a block begins a setting rather than goes on with a value.
    let mixed = if matches!(wanted, Wanted::Setting(_)) { Mixed::Behind } else { Mixed::Among };
    // Where a name fits, every word does.
    let item = (!marked.is_whole).then(|| (text, marked.item.clone(), replaced.clone()));
    let candidates = order::with_words(candidates, following, mixed, item);
    Completions { replaced, candidates }
}

/// The files of a program with another text of one file.
struct Changed<'c> {
    sources: &'c dyn SourceFiles,
    name: &'c str,
    text: &'c str,
}

impl SourceFiles for Changed<'_> {
    fn read(&self, name: &str) -> Result<String, String> {
        if name == self.name { Ok(self.text.to_owned()) } else { self.sources.read(name) }
    }
}
