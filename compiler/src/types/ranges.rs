//! The ranges of integers that the checker knows, so that arithmetic within them needs no handler.

use weir_grammar::tree;
use weir_plan::{Arithmetic, Value};

/// The integers from `least` to `most`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct IntRange {
    /// The least value.
    pub least: i64,
    /// The greatest value.
    pub most: i64,
}

impl IntRange {
    /// Every integer.
    pub(crate) const ALL: IntRange = IntRange { least: i64::MIN, most: i64::MAX };

    /// Returns the range of a constant; every integer if the constant is none.
    pub(crate) fn of(value: &Value) -> IntRange {
        match value {
            Value::Int(value) => IntRange { least: *value, most: *value },
            _ => IntRange::ALL,
        }
    }

    /// Returns the integers of a range in a program; `None` if its bounds are no integers, or if it is empty.
    pub(crate) fn of_text(range: &tree::Range) -> Option<IntRange> {
        let bound = |bound: &tree::Expression| match bound.kind {
            tree::ExpressionKind::Number(tree::Number::Int(value)) => Some(value),
            _ => None,
        };
        let least = i64::try_from(bound(&range.least)?).ok()?;
        let most = match &range.greatest {
            Some(greatest) => bound(greatest)? - i128::from(!range.inclusive),
            None => i128::from(i64::MAX),
        };
        let most = i64::try_from(most).ok()?;
        (least <= most).then_some(IntRange { least, most })
    }

    /// Returns the range of the values of both.
    pub(crate) fn or(self, other: IntRange) -> IntRange {
        IntRange { least: self.least.min(other.least), most: self.most.max(other.most) }
    }

    /// Returns whether the range has a value.
    pub(crate) fn contains(self, value: i64) -> bool {
        (self.least..=self.most).contains(&value)
    }

    /// Returns whether every value has a negative.
    pub(crate) fn has_negatives(self) -> bool {
        self.least != i64::MIN
    }

    /// Returns the range of the negatives.
    pub(crate) fn negated(self) -> IntRange {
        IntRange { least: self.most.saturating_neg(), most: self.least.saturating_neg() }
    }

    /// Returns the range of `self operator other`, and whether a result may lie outside of all integers, which is
    /// then left out. The range of
    /// `/`, whose result is no integer, is every integer.
    pub(crate) fn computed(self, operator: Arithmetic, other: IntRange) -> (IntRange, bool) {
        let [least, most] = [self.least, self.most].map(i128::from);
        let [other_least, other_most] = [other.least, other.most].map(i128::from);
        let (least, most) = match operator {
            Arithmetic::Add => (least + other_least, most + other_most),
            Arithmetic::Subtract => (least - other_most, most - other_least),
            Arithmetic::Multiply => {
                let products =
                    [least * other_least, least * other_most, most * other_least, most * other_most];
                (products.into_iter().min().unwrap_or(least), products.into_iter().max().unwrap_or(most))
            }
            Arithmetic::Remainder => {
                // The remainder is less than the divisor, at most as far from zero as the dividend, and has its sign.
                let limit = other_least.abs().max(other_most.abs()) - 1;
                (least.clamp(-limit.max(0), 0), most.clamp(0, limit.max(0)))
            }
            Arithmetic::Divide => return (IntRange::ALL, false),
        };
        // The results beyond all integers fail, so the others are left.
        let limited = |bound: i128| bound.clamp(i128::from(i64::MIN), i128::from(i64::MAX)) as i64;
        let range = IntRange { least: limited(least), most: limited(most) };
        (range, [least, most] != [range.least, range.most].map(i128::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(least: i64, most: i64) -> IntRange {
        IntRange { least, most }
    }

    #[test]
    fn computed_ranges_contain_every_result() {
        use Arithmetic::{Add, Multiply, Remainder, Subtract};
        let some = [-7, -2, -1, 0, 1, 3, 6];
        let ranges = some.iter().flat_map(|least| some.iter().map(|most| range(*least, *most)));
        let ranges: Vec<IntRange> = ranges.filter(|range| range.least <= range.most).collect();
        for (left, right) in ranges.iter().flat_map(|left| ranges.iter().map(move |right| (*left, *right))) {
            for (operator, compute) in [
                (Add, i64::checked_add as fn(i64, i64) -> Option<i64>),
                (Subtract, i64::checked_sub),
                (Multiply, i64::checked_mul),
                (Remainder, i64::checked_rem),
            ] {
                let (result, overflows) = left.computed(operator, right);
                assert!(!overflows);
                for one in left.least..=left.most {
                    for other in right.least..=right.most {
                        let computed = compute(one, other);
                        assert!(
                            computed.is_none_or(|value| result.contains(value)),
                            "{one} {operator:?} {other}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn results_beyond_all_integers_are_known() {
        use Arithmetic::{Add, Multiply, Remainder};
        assert_eq!(range(0, 10).computed(Add, range(1, 1)), (range(1, 11), false));
        assert_eq!(IntRange::ALL.computed(Add, range(1, 1)), (range(i64::MIN + 1, i64::MAX), true));
        assert_eq!(IntRange::ALL.computed(Multiply, IntRange::ALL), (IntRange::ALL, true));
        assert_eq!(IntRange::ALL.computed(Remainder, range(10, 10)), (range(-9, 9), false));
        assert_eq!(range(0, 5).computed(Remainder, range(10, 10)), (range(0, 5), false));
        assert_eq!(range(-3, 5).negated(), range(-5, 3));
        assert!(!IntRange::ALL.has_negatives());
    }
}
