//! Short lists of numbers, side by side in large pieces instead of an allocation each. The place of a list that is
//! removed is given to the next one of the same length.

use std::collections::HashMap;

/// Numbers in a piece.
const PIECE_LEN: usize = 1 << 15;

/// Where a list stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListRef {
    piece: u32,
    start: u16,
    len: u16,
}

#[derive(Debug, Default)]
pub(crate) struct Lists {
    pieces: Vec<Vec<u32>>,
    free: HashMap<u16, Vec<ListRef>>,
}

impl Lists {
    /// Adds a list.
    ///
    /// # Panics
    /// When the list is longer than a piece.
    pub(crate) fn add(&mut self, list: &[u32]) -> ListRef {
        let len = u16::try_from(list.len()).ok().filter(|_| list.len() <= PIECE_LEN);
        let len = len.expect("lists are short");
        if let Some(place) = self.free.get_mut(&len).and_then(Vec::pop) {
            let piece = &mut self.pieces[place.piece as usize];
            piece[usize::from(place.start)..][..list.len()].copy_from_slice(list);
            return place;
        }
        if self.pieces.last().is_none_or(|piece| piece.len() + list.len() > PIECE_LEN) {
            self.pieces.push(Vec::with_capacity(PIECE_LEN));
        }
        let piece = u32::try_from(self.pieces.len() - 1).expect("below 2^32 pieces");
        let numbers = &mut self.pieces[piece as usize];
        let start = u16::try_from(numbers.len()).expect("pieces are below 2^16");
        numbers.extend_from_slice(list);
        ListRef { piece, start, len }
    }

    pub(crate) fn get(&self, place: ListRef) -> &[u32] {
        &self.pieces[place.piece as usize][usize::from(place.start)..][..usize::from(place.len)]
    }

    pub(crate) fn remove(&mut self, place: ListRef) {
        self.free.entry(place.len).or_default().push(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_come_back_and_places_are_used_again() {
        let mut lists = Lists::default();
        let list = |nr: u32| -> Vec<u32> { (0..nr % 13).map(|i| nr * 100 + i).collect() };
        let places: Vec<ListRef> = (0..20_000).map(|nr| lists.add(&list(nr))).collect();
        assert!(lists.pieces.len() > 2, "several pieces");
        for (nr, place) in (0u32..).zip(&places) {
            assert_eq!(lists.get(*place), list(nr));
        }
        let pieces = lists.pieces.len();
        places.iter().step_by(2).for_each(|place| lists.remove(*place));
        let again: Vec<(u32, ListRef)> =
            (0..20_000).step_by(2).map(|nr| (nr, lists.add(&list(nr)))).collect();
        assert_eq!(lists.pieces.len(), pieces);
        assert!(again.iter().all(|(nr, place)| lists.get(*place) == list(*nr)));
        assert_eq!(lists.get(places[7]), list(7), "others are untouched");
    }
}
