//! Applies the fixes of diagnostics to the text of a program.

use std::collections::BTreeMap;
use std::ops::Range;

use weir_grammar::FileId;

use crate::analyse::analyse;
use crate::analysis::Analysis;
use crate::diagnostics::{Diagnostic, Fix, Severity};
use crate::files::sources::{Files, SourceFiles};
use crate::options::Options;
use crate::signatures::Library;

/// The most rounds of fixes and checks: a fix may uncover a further mistake.
const ROUNDS_MAX: usize = 10;

/// A program after the application of fixes.
#[derive(Debug)]
pub struct Fixed {
    /// The new texts of the changed files, by file name.
    pub texts: BTreeMap<String, String>,
    /// The applied changes, in the order of their application.
    pub changes: Vec<Change>,
    /// The analysis of the changed program.
    pub analysis: Analysis,
}

/// An applied change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The code of the diagnostic with the fix.
    pub code: &'static str,
    /// The effect of the change, in words.
    pub title: String,
    /// The file of the mistake.
    pub file: String,
    /// The line of the mistake in the text before the change, from 1.
    pub line: usize,
}

/// Compiles a program and applies the fixes of its diagnostics, again and again until no fix is left.
///
/// Changes only files from `sources`, never the library or values from outside. A fix that would add a syntax
/// error to the program is not applied.
pub fn fix(sources: &dyn SourceFiles, entry: &str, library: &Library, options: &Options) -> Fixed {
    apply(sources, entry, library, options, &|_| true)
}

/// Does the same as [`fix`], but applies only [certain](Fix::certain) fixes.
pub fn fix_certain(sources: &dyn SourceFiles, entry: &str, library: &Library, options: &Options) -> Fixed {
    apply(sources, entry, library, options, &|fix| fix.certain)
}

fn apply(
    sources: &dyn SourceFiles,
    entry: &str,
    library: &Library,
    options: &Options,
    wanted: &dyn Fn(&Fix) -> bool,
) -> Fixed {
    let analysis = analyse(sources, entry, library, options);
    let mut fixed = Fixed { texts: BTreeMap::new(), changes: Vec::new(), analysis };
    for _ in 0..ROUNDS_MAX {
        let files = &fixed.analysis.files;
        let offers: Vec<Offer> = fixed.analysis.diagnostics.iter().filter_map(offer).collect();
        let changed = Changed { sources, texts: &fixed.texts };
        let own = offers.iter().filter(|offer| wanted(&offer.fix));
        let own: Vec<&Offer> = own.filter(|offer| offer.is_possible(files, library, &changed)).collect();
        // Tries all fixes at once; if they would add a syntax error, tries them one by one.
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

/// The files with all changes so far.
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

/// The fix of a diagnostic, with the code and the place of the diagnostic.
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
    /// Returns whether all edits of the fix are in the program's own text.
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

/// Returns the offers without those whose edits overlap an earlier offer.
fn apart<'o>(offers: &[&'o Offer]) -> Vec<&'o Offer> {
    let mut taken: Vec<(FileId, Range<usize>)> = Vec::new();
    let mut apart = Vec::new();
    for offer in offers {
        let places: Vec<_> = offer.fix.edits.iter().map(|edit| (edit.span.file, range(edit.span))).collect();
        let meets = |(file, place): &(FileId, Range<usize>)| {
            // Two insertions at one place have no order, so edits with the same start overlap as well.
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

/// Returns the changed files after the application of further offers.
fn applied(offers: &[&Offer], files: &Files, texts: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut texts = texts.clone();
    let mut edits: Vec<_> = offers.iter().flat_map(|offer| &offer.fix.edits).collect();
    // Edits are applied from the end of each file, so that the spans of the remaining edits stay valid.
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
