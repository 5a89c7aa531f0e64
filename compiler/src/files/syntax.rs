//! Diagnostics for syntax errors.

use weir_grammar::{ITEM_WORDS, SyntaxError, SyntaxErrorKind, UNITS};

use crate::diagnostics::{
    ChainedQuestion, Diagnostic, Limit, MalformedNumber, MalformedString, UnbalancedBracket, UnclosedText,
    Unexpected, UnknownItem,
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
        SyntaxErrorKind::UnclosedText => UnclosedText { span }.into(),
        SyntaxErrorKind::UnclosedBracket { opener } => {
            UnbalancedBracket { bracket: opener, span, opener: None, closing: false }.into()
        }
        SyntaxErrorKind::UnmatchedBracket { closer, opener } => {
            UnbalancedBracket { bracket: closer, span, opener, closing: true }.into()
        }
        SyntaxErrorKind::MalformedNumber { reason, unit } => {
            let text = files.text(span).to_owned();
            let units = UNITS.iter().flat_map(|(_, names)| names.iter().copied());
            let near = unit.and_then(|unit| near_unit(files.text(unit), units)).map(str::to_owned);
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
        SyntaxErrorKind::Chained => ChainedQuestion { span }.into(),
    }
}

/// Returns the similar unit: units are short, so only the names in other systems and another case count as similar.
fn near_unit<'u>(unit: &str, units: impl Iterator<Item = &'u str>) -> Option<&'u str> {
    let known = match unit {
        "sec" | "secs" | "second" | "seconds" => "s",
        "m" | "mins" | "minute" | "minutes" => "min",
        "hr" | "hrs" | "hour" | "hours" => "h",
        "day" | "days" => "d",
        "msec" | "millis" | "milliseconds" => "ms",
        "K" | "k" | "kib" => "KiB",
        "M" => "MiB",
        "G" => "GiB",
        "T" => "TiB",
        "bytes" | "byte" => "B",
        _ => return units.into_iter().find(|known| known.eq_ignore_ascii_case(unit)),
    };
    Some(known)
}
