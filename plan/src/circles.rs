//! Finds circles of arrows.

use std::collections::{BTreeMap, BTreeSet};

/// Returns these places and all places that they lead to, directly or over others. `arrows` has the targets of each place.
pub fn reached<P: Ord + Copy>(
    arrows: &BTreeMap<P, BTreeSet<P>>,
    from: impl IntoIterator<Item = P>,
) -> BTreeSet<P> {
    let mut open: Vec<P> = from.into_iter().collect();
    let mut reached = BTreeSet::new();
    while let Some(at) = open.pop() {
        if reached.insert(at) {
            open.extend(arrows.get(&at).into_iter().flatten());
        }
    }
    reached
}

/// Returns the places that lead back to themselves, directly or over others.
pub fn places_in_circles<P: Ord + Copy>(arrows: &BTreeMap<P, BTreeSet<P>>) -> Vec<P> {
    let leads_back = |place: &P| reached(arrows, arrows[place].iter().copied()).contains(place);
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
