//! Last lines that have no end yet, kept in memory for as long as they wait.
//!
//! They are read again from their file when it grows. But a file may go, or be truncated, before that: then
//! what is kept here is handed on. All of them together have a bound; what does not fit is not kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most bytes that all kept lines of a source take.
const ALL_BYTES_MAX: usize = 16 << 20;

/// The room for the kept lines of one source. Clones are the same.
#[derive(Debug, Clone, Default)]
pub(super) struct PartialLines(Arc<AtomicUsize>);

/// The end of a text. Dropping the last clone makes room.
#[derive(Debug, Clone)]
pub(super) struct PartialLine(Arc<KeptBytes>);

#[derive(Debug)]
struct KeptBytes {
    text: Box<[u8]>,
    budget: PartialLines,
}

impl PartialLines {
    /// Keeps this, if it is something and there is room.
    pub(super) fn keep(&self, text: Vec<u8>) -> Option<PartialLine> {
        if text.is_empty() {
            return None;
        }
        let before = self.0.fetch_add(text.len(), Ordering::Relaxed);
        // From here on, dropping it makes room.
        let kept = KeptBytes { text: text.into(), budget: self.clone() };
        (before + kept.text.len() <= ALL_BYTES_MAX).then(|| PartialLine(Arc::new(kept)))
    }
}

impl PartialLine {
    pub(super) fn text(&self) -> &[u8] {
        &self.0.text
    }
}

impl Drop for KeptBytes {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.text.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_kept_than_there_is_room_for() {
        let rests = PartialLines::default();
        let first = rests.keep(vec![b'x'; ALL_BYTES_MAX - 1]).unwrap();
        assert!(rests.keep(b"ab".to_vec()).is_none());
        assert!(rests.keep(b"a".to_vec()).is_some());
        let again = first.clone();
        drop(first);
        assert!(rests.keep(b"ab".to_vec()).is_none());
        drop(again);
        assert_eq!(rests.keep(b"ab".to_vec()).unwrap().text(), b"ab");
    }
}
