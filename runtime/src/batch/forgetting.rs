//! Which partitions of sources are forgotten when there are too many.

/// The most partitions that anyone remembers. More than any source has files at a time, since a file that is still
/// there and forgotten is read again after a restart.
pub const PARTITIONS_MAX: usize = 1 << 20;

/// Those that have to be forgotten where so many are known: of these, each with the time at which it moved last, the
/// ones that have not moved for longest. Most often none.
pub fn to_forget<K: Ord>(known: usize, moved: impl IntoIterator<Item = (u64, K)>) -> Vec<K> {
    if known <= PARTITIONS_MAX {
        return Vec::new();
    }
    // Many at once, so that it is seldom gone through all of them; and no more, though many moved together.
    let excess = known - PARTITIONS_MAX / 8 * 7;
    let mut oldest: Vec<(u64, K)> = moved.into_iter().collect();
    if oldest.len() > excess {
        oldest.select_nth_unstable(excess);
        oldest.truncate(excess);
    }
    oldest.into_iter().map(|(_, partition)| partition).collect()
}
