//! Checks number literals of settings: their units, and durations below zero.

use weir_grammar::tree::{Expression, Number};
use weir_plan::Value;

use crate::checker::{Checker, Expectation};
use crate::diagnostics::{MissingUnit, OutOfRange};
use crate::types::Type;
use crate::values::literals::{exact_number, number_value};
use crate::values::ranges::range_in_words;

impl Checker<'_> {
    /// Checks a number against a type.
    pub(super) fn number(
        &mut self,
        number: Number,
        wanted: &Type,
        given: &Expression,
        expected: &Expectation<'_>,
    ) -> Option<Value> {
        match (exact_number(number), wanted) {
            (Some(exact), Type::Int | Type::Group) if matches!(number, Number::Int(_)) => {
                return self.number_of(exact, wanted, given.span, expected.declared());
            }
            (Some(exact), Type::Float | Type::Decimal(..)) => {
                return self.number_of(exact, wanted, given.span, expected.declared());
            }
            _ => {}
        }
        match (number, wanted) {
            (Number::Duration(_) | Number::NegativeDuration(_), Type::Duration)
            | (Number::Size(_), Type::Size)
            | (Number::EventRate(_), Type::EventRate)
            | (Number::ByteRate(_), Type::ByteRate)
            | (Number::Percent(_), Type::Percent) => return Some(number_value(number)),
            _ => {}
        }
        let units: &[&str] = match (number, wanted) {
            (Number::Int(_) | Number::Point { .. }, Type::Duration) => &["s", "ms"],
            (Number::Int(_) | Number::Point { .. }, Type::Size) => &["B", "KiB", "MiB"],
            (Number::Int(_) | Number::Point { .. }, Type::EventRate) => &["/s"],
            (Number::Int(_) | Number::Point { .. }, Type::ByteRate) => &["KiB/s", "MiB/s"],
            (Number::Int(_) | Number::Point { .. }, Type::Percent) => &["%"],
            _ => return self.wrong(given, expected),
        };
        let shown = self.files.text(given.span).to_owned();
        let mut offers: Vec<String> = units.iter().map(|unit| format!("{shown}{unit}")).collect();
        if let (Number::Point { .. }, Type::Percent, Some(share)) = (number, wanted, exact_number(number)) {
            // A number between 0 and 1 was most likely meant as a percentage.
            offers.insert(0, format!("{}%", (share.to_float() * 1e8).round() / 1e6));
        }
        self.report(MissingUnit {
            expected: expected.value_type.to_string(),
            number: shown,
            offers,
            span: given.span,
            declared: expected.declared(),
        });
        None
    }

    /// Reports a duration below zero where only an event may have one, and returns whether it is one.
    pub(super) fn is_below_zero(
        &mut self,
        value: &Value,
        given: &Expression,
        expected: &Expectation<'_>,
    ) -> bool {
        let is_below = matches!(value, Value::NegativeDuration(_)) && !expected.negatives;
        if is_below {
            let range = expected.setting.and_then(|setting| setting.range.as_ref());
            self.report(OutOfRange {
                name: expected.setting.map_or("duration".to_owned(), |setting| setting.name.text.to_string()),
                value: value.to_string(),
                range: range.map_or("0s or more".to_owned(), |range| range_in_words(range, self.files)),
                span: given.span,
                declared: range.map_or(given.span, |range| range.span),
            });
        }
        is_below
    }
}
