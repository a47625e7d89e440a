//! Sealed segments by number. Numbers rise and are not given out again, so that a reference to one that is gone finds
//! nothing.

use std::collections::VecDeque;
use std::sync::Arc;

use super::Segment;

/// A column in a segment. Eight bytes, since each series has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ChunkRef {
    segment: u32,
    /// Number of the member, twice; plus one when the member behind it has the start timestamps.
    member: u32,
}

impl ChunkRef {
    /// No column.
    pub(crate) const NONE: Self = Self { segment: u32::MAX, member: 0 };

    pub(crate) fn new(segment: u32, member: u32, has_starts: bool) -> Self {
        let member = member.checked_mul(2).expect("below 2^31 series in a segment");
        Self { segment, member: member + u32::from(has_starts) }
    }

    /// Number of the segment, and what stands for the member in it.
    pub(crate) const fn numbers(self) -> (u32, u32) {
        (self.segment, self.member)
    }

    /// From what [`ChunkRef::numbers`] gave.
    pub(crate) const fn of_numbers(segment: u32, member: u32) -> Self {
        Self { segment, member }
    }

    pub(crate) const fn member(self) -> u32 {
        self.member / 2
    }

    /// The member that has the start timestamps of these samples.
    pub(crate) const fn starts_member(self) -> Option<u32> {
        if self.member % 2 == 1 { Some(self.member / 2 + 1) } else { None }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Segments {
    first_id: u32,
    all: VecDeque<Option<Arc<Segment>>>,
}

impl Segments {
    /// No segments; the first one gets this number.
    pub(crate) fn starting_at(first_id: u32) -> Self {
        Self { first_id, all: VecDeque::new() }
    }

    pub(crate) const fn first_id(&self) -> u32 {
        self.first_id
    }

    /// All, from the first number on; `None` for those that are gone.
    pub(crate) const fn slots(&self) -> &VecDeque<Option<Arc<Segment>>> {
        &self.all
    }

    /// Whether there is a number for one more.
    pub(crate) fn has_next(&self) -> bool {
        let len = u32::try_from(self.all.len()).ok();
        len.and_then(|len| self.first_id.checked_add(len)).is_some_and(|id| id != u32::MAX)
    }

    /// Adds a segment, or one that is gone.
    pub(crate) fn push_slot(&mut self, segment: Option<Segment>) {
        self.all.push_back(segment.map(Arc::new));
    }
    /// The number of the segment that is pushed next.
    pub(crate) fn next_id(&self) -> u32 {
        let len = u32::try_from(self.all.len()).expect("below 2^32 segments");
        let id = self.first_id.checked_add(len).filter(|id| *id != u32::MAX);
        id.expect("below 2^32 segments until a restart")
    }

    pub(crate) fn push(&mut self, segment: Segment) {
        self.all.push_back(Some(Arc::new(segment)));
    }

    pub(crate) fn get(&self, chunk: ChunkRef) -> Option<&Arc<Segment>> {
        let at = chunk.segment.checked_sub(self.first_id)?;
        self.all.get(at as usize)?.as_ref()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u32, &Arc<Segment>)> {
        let numbered = (self.first_id..).zip(&self.all);
        numbered.filter_map(|(id, segment)| Some((id, segment.as_ref()?)))
    }

    pub(crate) fn replace(&mut self, id: u32, was: &Arc<Segment>, with: Segment) {
        let at = id.checked_sub(self.first_id).and_then(|at| self.all.get_mut(at as usize));
        if let Some(Some(segment)) = at
            && Arc::ptr_eq(segment, was)
        {
            *segment = Arc::new(with);
        }
    }

    /// Forgets segments whose rows all are before `floor_ms`.
    pub(crate) fn truncate(&mut self, floor_ms: i64) {
        for slot in &mut self.all {
            if slot.as_ref().is_some_and(|segment| segment.last_ms < floor_ms) {
                *slot = None;
            }
        }
        while self.all.front().is_some_and(Option::is_none) {
            self.all.pop_front();
            self.first_id += 1;
        }
    }
}
