//! The copy of an item that pest parses, and its repairs: edits that turn a foreign form into the form of this language.
//!
//! After a repair, pest parses the rest of the item as if the right form stood there. The copy converts its places to places
//! of the original item, so that the spans of the tree stay right.

use std::ops::Range;

/// An edit of the copy: the range and the text that replaces it.
pub(crate) type Edit = (Range<usize>, String);

/// The relation between places of a repaired text and places of the original text.
///
/// Each entry is a place in the repaired text and the corresponding place in the original text; between two entries both
/// places advance together.
#[derive(Debug, Clone, Default)]
pub(crate) struct Shifts(Vec<(usize, usize)>);

impl Shifts {
    /// Returns the place in the original text.
    pub(crate) fn original(&self, place: usize) -> usize {
        if self.0.is_empty() {
            return place;
        }
        let next = self.0.partition_point(|(here, _)| *here <= place);
        let original = match next.checked_sub(1).map(|last| self.0[last]) {
            Some((here, original)) => original + (place - here),
            None => place,
        };
        // Inside an inserted text, the place advances no further than to the end of the replaced text.
        self.0.get(next).map_or(original, |(_, end)| original.min(*end))
    }

    /// Returns the place in the repaired text.
    pub(crate) fn repaired(&self, original: usize) -> usize {
        let next = self.0.partition_point(|(_, there)| *there <= original);
        match next.checked_sub(1).map(|last| self.0[last]) {
            Some((here, there)) => here + (original - there),
            None => original,
        }
    }

    /// Notes that this range of the repaired text was replaced by a text of this length.
    fn note(&mut self, range: &Range<usize>, length: usize) {
        let end = self.original(range.end);
        self.0.retain(|(here, _)| *here <= range.start || *here > range.end);
        for (here, _) in &mut self.0 {
            if *here > range.end {
                *here = *here + length - range.len();
            }
        }
        let at = self.0.partition_point(|(here, _)| *here <= range.start);
        self.0.insert(at, (range.start + length, end));
    }
}

/// The text of an item for pest.
#[derive(Debug, Clone)]
pub(crate) struct Copy {
    pub(crate) text: String,
    pub(crate) shifts: Shifts,
}

impl Copy {
    pub(crate) fn new(text: String) -> Copy {
        Copy { text, shifts: Shifts::default() }
    }

    /// Applies edits whose ranges are places of the copy. The ranges must not overlap.
    pub(crate) fn apply(&mut self, edits: &[Edit]) {
        let mut edits: Vec<&Edit> = edits.iter().collect();
        edits.sort_by_key(|(range, _)| std::cmp::Reverse((range.start, range.end)));
        for (range, replacement) in edits {
            if self.text.get(range.clone()).is_some() {
                self.text.replace_range(range.clone(), replacement);
                self.shifts.note(range, replacement.len());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_a_repaired_text_are_places_of_the_original() {
        let mut copy = Copy::new("if a && b && c".to_owned());
        copy.apply(&[(5..7, "and".to_owned()), (10..12, "and".to_owned())]);
        assert_eq!(copy.text, "if a and b and c");
        let place = |text: &Copy, part: &str| text.shifts.original(text.text.find(part).unwrap_or(99));
        assert_eq!((place(&copy, "b"), place(&copy, "c")), (8, 13));
        // An insertion before the other edits.
        copy.apply(&[(0..0, "keep ".to_owned())]);
        assert_eq!(copy.text, "keep if a and b and c");
        assert_eq!((place(&copy, "if"), place(&copy, "b"), place(&copy, "c")), (0, 8, 13));
        assert_eq!((copy.shifts.repaired(8), copy.shifts.repaired(0)), (14, 5));
    }
}
