//! Where a queue goes on in the log.

use crate::place::Place;
use crate::place_file::Found;

/// Where it was before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// Where its file says.
    Known,
    /// Nowhere: it is new.
    Nowhere,
    /// The file is damaged.
    Damaged,
}

/// A place for each shard, of which there are as many as before within the bounds. A new queue begins with what is stored from
/// `end` on, and so does one whose file is damaged.
pub(super) fn begin(found: Found, end: Place, (min, max): (usize, usize)) -> (Before, Vec<Place>) {
    let places = match found {
        Found::Nothing => return (Before::Nowhere, vec![end; min]),
        Found::Damaged => return (Before::Damaged, vec![end; min]),
        Found::Places(places) => places,
    };
    let count = places.len().clamp(min, max);
    let oldest = places.iter().min().copied().unwrap_or(end);
    // Another number of shards has other series in each.
    let places = if count == places.len() { places } else { vec![oldest; count] };
    // After a power cut the log may be shorter than what was read of it.
    (Before::Known, places.into_iter().map(|place| place.min(end)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn place(segment: u64) -> Place {
        Place { segment, record: 0, sample: 0 }
    }

    #[test]
    fn it_goes_on_where_it_was_and_never_behind_the_end() {
        let begun = |found, bounds| begin(found, place(5), bounds);
        assert_eq!(begun(Found::Nothing, (2, 4)), (Before::Nowhere, vec![place(5); 2]));
        assert_eq!(begun(Found::Damaged, (1, 4)), (Before::Damaged, vec![place(5)]));
        let found = || Found::Places(vec![place(3), place(9), place(4)]);
        let known = |places| (Before::Known, places);
        assert_eq!(begun(found(), (1, 4)), known(vec![place(3), place(5), place(4)]));
        assert_eq!(begun(found(), (1, 2)), known(vec![place(3); 2]), "the oldest for all");
        assert_eq!(begun(found(), (4, 9)), known(vec![place(3); 4]));
    }
}
