//! Finds circles of arrows.

use std::collections::{BTreeMap, BTreeSet};

/// Returns the places that lead back to themselves, directly or over others. `arrows` has the targets of each place.
pub fn places_in_circles<P: Ord + Copy>(arrows: &BTreeMap<P, BTreeSet<P>>) -> Vec<P> {
    let leads_back = |place: &P| {
        let mut reached = BTreeSet::new();
        let mut open: Vec<P> = vec![*place];
        while let Some(at) = open.pop() {
            for next in arrows.get(&at).into_iter().flatten() {
                if reached.insert(*next) {
                    open.push(*next);
                }
            }
        }
        reached.contains(place)
    };
    arrows.keys().copied().filter(leads_back).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn circles_over_several_places_are_found() {
        let arrows = [(1, vec![2]), (2, vec![3]), (3, vec![1, 4]), (4, vec![5]), (6, vec![6])];
        let arrows = arrows.into_iter().map(|(from, to)| (from, to.into_iter().collect())).collect();
        assert_eq!(places_in_circles(&arrows), [1, 2, 3, 6]);
    }
}
