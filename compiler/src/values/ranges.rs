//! The ranges of settings.

use std::cmp::Ordering;

use weir_grammar::tree::{Expression, ExpressionKind, Range};
use weir_plan::Value;

use crate::files::sources::Files;
use crate::values::literals::number_value;
use crate::values::operators::compare;

/// Returns whether a value is in a range.
pub(crate) fn is_within(range: &Range, value: &Value) -> bool {
    let bound = |bound: &Expression| match &bound.kind {
        ExpressionKind::Number(number) => Some(number_value(*number)),
        _ => None,
    };
    let too_small = bound(&range.least).and_then(|least| compare(value, &least)) == Some(Ordering::Less);
    let greatest = range.greatest.as_ref().and_then(bound).and_then(|greatest| compare(value, &greatest));
    let too_large = match greatest {
        Some(Ordering::Greater) => true,
        Some(Ordering::Equal) => !range.inclusive,
        _ => false,
    };
    !too_small && !too_large
}

/// Formats a range for messages, with its bounds as the library writes them.
pub(crate) fn range_in_words(range: &Range, files: &Files) -> String {
    let text = |bound: &Expression| files.text(bound.span);
    match (&range.greatest, range.inclusive) {
        (None, _) => format!("at least {}", text(&range.least)),
        (Some(greatest), true) => format!("from {} to {}", text(&range.least), text(greatest)),
        (Some(greatest), false) => format!("at least {} and below {}", text(&range.least), text(greatest)),
    }
}
