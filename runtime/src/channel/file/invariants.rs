//! Invariants of an image: asserted before it is written, and checked after it was read.

use std::collections::BTreeSet;

use super::image::{Image, ReaderImage};

impl Image {
    /// Returns the invariant that the image violates, if there is one.
    pub(super) fn contradiction(&self) -> Option<&'static str> {
        let Image { next_sequence, put, held, readers, incarnations, .. } = self;
        if held.events > put.events || held.charged > put.charged {
            return Some("more is held than was put");
        }
        if put.events < *next_sequence {
            return Some("there are fewer events than puts");
        }
        if incarnations.iter().any(|start| start.begins > put.events) {
            return Some("an incarnation begins behind the last event");
        }
        let names: BTreeSet<&str> = readers.iter().map(|reader| reader.name.as_str()).collect();
        if names.len() < readers.len() {
            return Some("two readers have one name");
        }
        readers.iter().find_map(|reader| reader.contradiction(*next_sequence))
    }
}

impl ReaderImage {
    fn contradiction(&self, next_sequence: u64) -> Option<&'static str> {
        let ReaderImage { low, done, .. } = self;
        if low.sequence > next_sequence || done.max().is_some_and(|last| last >= next_sequence) {
            return Some("a reader has more than was put");
        }
        let again = done.min().is_some_and(|first| first < low.sequence);
        again.then_some("a reader has a put twice")
    }
}

#[cfg(test)]
mod tests {
    use super::super::image::{LowWatermark, Totals};
    use super::*;
    use crate::channel::Demand;

    fn example() -> Image {
        let mut reader =
            ReaderImage::new("a", Demand::Required, LowWatermark { sequence: 3, ..LowWatermark::default() });
        reader.done.insert(5);
        let put = Totals { events: 10, charged: 100 };
        let readers = vec![reader, ReaderImage::new("b", Demand::Optional, LowWatermark::default())];
        Image { next_sequence: 7, put, held: put, readers, ..Image::default() }
    }

    #[test]
    fn an_image_that_contradicts_itself_is_named() {
        assert_eq!(example().contradiction(), None);
        type Change = fn(&mut Image);
        let changes: [(Change, &str); 7] = [
            (|image| image.held.events = 11, "more is held than was put"),
            (|image| image.held.charged = 101, "more is held than was put"),
            (|image| image.next_sequence = 11, "there are fewer events than puts"),
            (|image| image.readers[1].name = "a".to_owned(), "two readers have one name"),
            (|image| image.readers[1].low.sequence = 8, "a reader has more than was put"),
            (|image| image.readers[0].done.extend([7]), "a reader has more than was put"),
            (|image| image.readers[0].done.extend([2]), "a reader has a put twice"),
        ];
        for (change, what) in changes {
            let mut image = example();
            change(&mut image);
            assert_eq!(image.contradiction(), Some(what));
        }
    }

    #[test]
    #[should_panic(expected = "more is held than was put")]
    fn an_image_that_contradicts_itself_is_not_written() {
        let held = Totals { events: 11, charged: 100 };
        Image { held, ..example() }.encode();
    }
}
