//! The choice of the partitions that are forgotten when there are too many.

/// The most partitions that a component remembers. The bound is larger than the number of files that a source has at
/// a time, since a file whose partition is forgotten is read again after a restart.
pub const PARTITIONS_MAX: usize = 1 << 20;

/// Returns the partitions to forget when `known` partitions are remembered, most often none. `moved` gives candidates
/// with the time at which each moved last; the candidates that have not moved for longest are chosen.
pub fn partitions_to_forget<K: Ord>(known: usize, moved: impl IntoIterator<Item = (u64, K)>) -> Vec<K> {
    if known <= PARTITIONS_MAX {
        return Vec::new();
    }
    // Forgetting an eighth at once makes this search rare.
    let excess = known - PARTITIONS_MAX / 8 * 7;
    let mut oldest: Vec<(u64, K)> = moved.into_iter().collect();
    if oldest.len() > excess {
        oldest.select_nth_unstable(excess);
        oldest.truncate(excess);
    }
    oldest.into_iter().map(|(_, partition)| partition).collect()
}
