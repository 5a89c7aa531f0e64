//! Diagnostics for syntax errors.

use weir_grammar::{ITEM_WORDS, SyntaxError, SyntaxErrorKind, unit_of};

use crate::diagnostics::{
    ChainedQuestion, Diagnostic, ForeignForm, Limit, MalformedNumber, MalformedString, UnbalancedBracket,
    UnclosedText, Unexpected, UnknownItem,
};
use crate::files::sources::Files;
use crate::spelling::nearest;

/// Returns the diagnostic of a syntax error.
pub(crate) fn diagnostic(error: SyntaxError, files: &Files) -> Diagnostic {
    let span = error.span;
    match error.kind {
        SyntaxErrorKind::Unexpected { found, expected, hint } => {
            Unexpected { found, expected, hint, span }.into()
        }
        SyntaxErrorKind::UnclosedText { edits } => UnclosedText { edits, span }.into(),
        SyntaxErrorKind::UnclosedBracket { opener } => {
            UnbalancedBracket { bracket: opener, span, opener: None, closing: false }.into()
        }
        SyntaxErrorKind::UnmatchedBracket { closer, opener } => {
            UnbalancedBracket { bracket: closer, span, opener, closing: true }.into()
        }
        SyntaxErrorKind::MalformedNumber { reason, unit } => {
            let text = files.text(span).to_owned();
            // Units are short, so only the names in other languages and another case count as similar.
            let near = unit.and_then(|unit| unit_of(files.text(unit))).map(str::to_owned);
            MalformedNumber { text, reason, unit, near, span }.into()
        }
        SyntaxErrorKind::MalformedText { reason, instead } => {
            MalformedString { reason, instead, span }.into()
        }
        SyntaxErrorKind::UnknownItem { word } => {
            let near = nearest(&word, ITEM_WORDS).map(str::to_owned);
            UnknownItem { word, near, span }.into()
        }
        SyntaxErrorKind::Limit { what, limit } => Limit { what: what.to_owned(), limit, span }.into(),
        SyntaxErrorKind::Foreign(foreign) => ForeignForm { foreign: *foreign, span }.into(),
        SyntaxErrorKind::Chained => ChainedQuestion { span }.into(),
    }
}
