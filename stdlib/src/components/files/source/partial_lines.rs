//! Keeps the last lines of files in memory as long as they have no line end.
//!
//! When such a file grows, the line is read again from it. But the file may be removed or truncated before that: then
//! the kept line is emitted. All lines of a source share one budget; a line that exceeds it is not kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The most bytes that all kept lines of a source take.
const ALL_BYTES_MAX: usize = 16 << 20;

/// The budget for the kept lines of one source: it counts their bytes. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct PartialLines(Arc<AtomicUsize>);

/// A last line without a line end. Dropping the last clone returns its bytes to the budget.
#[derive(Debug, Clone)]
pub(super) struct PartialLine(Arc<KeptBytes>);

#[derive(Debug)]
struct KeptBytes {
    text: Box<[u8]>,
    budget: PartialLines,
}

impl PartialLines {
    /// Keeps the line, unless it is empty or exceeds the budget.
    pub(super) fn keep(&self, text: Vec<u8>) -> Option<PartialLine> {
        if text.is_empty() {
            return None;
        }
        let before = self.0.fetch_add(text.len(), Ordering::Relaxed);
        // Dropping it returns the bytes to the budget, also if it is refused below.
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
    fn kept_lines_never_exceed_the_budget() {
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
