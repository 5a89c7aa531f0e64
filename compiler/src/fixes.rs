//! Makes the changes that diagnostics offer, in the text of a program.

use std::collections::BTreeMap;
use std::ops::Range;

use weir_grammar::FileId;

use crate::analyse::analyse;
use crate::analysis::Analysis;
use crate::diagnostics::{Diagnostic, Fix, Severity};
use crate::files::sources::{Files, SourceFiles};
use crate::options::Options;
use crate::signatures::Library;

/// How often a program is changed and checked again: a change may uncover a mistake that it hid.
const ROUNDS_MAX: usize = 10;

/// A program after the changes that its diagnostics offered.
#[derive(Debug)]
pub struct Fixed {
    /// The files that have changed, by name, with their new text.
    pub texts: BTreeMap<String, String>,
    /// What was changed, in the order in which it was done.
    pub changes: Vec<Change>,
    /// What there is to say about the program now.
    pub analysis: Analysis,
}

/// A change that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The code of the diagnostic that offered it.
    pub code: &'static str,
    /// What it does.
    pub title: String,
    /// The file of the mistake.
    pub file: String,
    /// The line of the mistake in the text as it was then, from 1.
    pub line: usize,
}

/// Compiles a program, makes every change that its diagnostics offer, and begins again until there
/// is nothing left to change.
///
/// Only files that `sources` gives are changed, never the library or values from outside. A change that would
/// bring a mistake of syntax into the program is not made.
pub fn fix(sources: &dyn SourceFiles, entry: &str, library: &Library, options: &Options) -> Fixed {
    let analysis = analyse(sources, entry, library, options);
    let mut fixed = Fixed { texts: BTreeMap::new(), changes: Vec::new(), analysis };
    for _ in 0..ROUNDS_MAX {
        let files = &fixed.analysis.files;
        let offers: Vec<Offer> = fixed.analysis.diagnostics.iter().filter_map(offer).collect();
        let changed = Changed { sources, texts: &fixed.texts };
        let own: Vec<&Offer> =
            offers.iter().filter(|offer| offer.is_possible(files, library, &changed)).collect();
        // All at once; where that would break something, the first one that does not.
        let attempts = std::iter::once(apart(&own)).chain(own.iter().map(|offer| vec![*offer]));
        let made = attempts.filter(|offers| !offers.is_empty()).find_map(|offers| {
            let texts = applied(&offers, files, &fixed.texts);
            let analysis = analyse(&Changed { sources, texts: &texts }, entry, library, options);
            let broken = syntax_errors(&analysis) > syntax_errors(&fixed.analysis);
            (!broken).then(|| (offers.iter().map(|offer| offer.change(files)).collect(), texts, analysis))
        });
        let Some((changes, texts, analysis)): Option<(Vec<Change>, _, _)> = made else { break };
        fixed.changes.extend(changes);
        fixed.texts = texts;
        fixed.analysis = analysis;
    }
    fixed
}

/// The files with the changes made so far.
struct Changed<'s> {
    sources: &'s dyn SourceFiles,
    texts: &'s BTreeMap<String, String>,
}

impl SourceFiles for Changed<'_> {
    fn read(&self, name: &str) -> Result<String, String> {
        match self.texts.get(name) {
            Some(text) => Ok(text.clone()),
            None => self.sources.read(name),
        }
    }
}

/// What a diagnostic offers to change.
struct Offer {
    code: &'static str,
    place: (FileId, u32),
    fix: Fix,
}

fn offer(diagnostic: &Diagnostic) -> Option<Offer> {
    let description = diagnostic.describe();
    let span = description.labels.first()?.span;
    Some(Offer { code: diagnostic.code(), place: (span.file, span.start), fix: description.fix? })
}

impl Offer {
    /// Whether all that it changes is the program's own text.
    fn is_possible(&self, files: &Files, library: &Library, sources: &dyn SourceFiles) -> bool {
        self.fix.edits.iter().all(|edit| {
            let Some(file) = files.get(edit.span.file) else { return false };
            library.files.get(edit.span.file).is_none()
                && file.text.get(range(edit.span)).is_some()
                && sources.read(&file.name).is_ok_and(|text| text == file.text)
        })
    }

    fn change(&self, files: &Files) -> Change {
        let (file, place) = self.place;
        let (file, line) =
            files.get(file).map_or((String::new(), 0), |file| (file.name.clone(), file.line(place)));
        Change { code: self.code, title: self.fix.title.clone(), file, line: line + 1 }
    }
}

/// Those that don't change the same text; who comes first is served.
fn apart<'o>(offers: &[&'o Offer]) -> Vec<&'o Offer> {
    let mut taken: Vec<(FileId, Range<usize>)> = Vec::new();
    let mut apart = Vec::new();
    for offer in offers {
        let places: Vec<_> = offer.fix.edits.iter().map(|edit| (edit.span.file, range(edit.span))).collect();
        let meets = |(file, place): &(FileId, Range<usize>)| {
            // Two insertions at one place have no order, so an equal beginning counts as well.
            taken.iter().any(|(other, taken)| {
                file == other
                    && (place.start == taken.start || (place.start < taken.end && taken.start < place.end))
            })
        };
        if !places.iter().any(meets) {
            taken.extend(places);
            apart.push(*offer);
        }
    }
    apart
}

/// The changed files, with these changes made as well.
fn applied(offers: &[&Offer], files: &Files, texts: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut texts = texts.clone();
    let mut edits: Vec<_> = offers.iter().flat_map(|offer| &offer.fix.edits).collect();
    // From the end of each file, so that the places of those before stay as they are.
    edits.sort_by_key(|edit| std::cmp::Reverse(edit.span));
    for edit in edits {
        let Some(file) = files.get(edit.span.file) else { continue };
        let text = texts.entry(file.name.clone()).or_insert_with(|| file.text.clone());
        text.replace_range(range(edit.span), &edit.replacement);
    }
    texts
}

fn range(span: weir_grammar::Span) -> Range<usize> {
    span.start as usize..span.end as usize
}

fn syntax_errors(analysis: &Analysis) -> usize {
    let errors = analysis.diagnostics.iter().filter(|diagnostic| diagnostic.severity() == Severity::Error);
    errors.filter(|error| error.code().starts_with("E01")).count()
}
