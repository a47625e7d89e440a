//! Stretches of objects that were read lately: dashboards ask for the same hours again and again.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;

/// Object and offset.
type Key = (String, u64);

/// Keeps what was used last, up to a number of bytes.
#[derive(Debug)]
pub(crate) struct SegmentCache {
    bytes_max: usize,
    bytes: usize,
    segments: HashMap<Key, Bytes>,
    /// Used last at the back.
    order: VecDeque<Key>,
}

impl SegmentCache {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, bytes: 0, segments: HashMap::new(), order: VecDeque::new() }
    }

    pub(crate) fn get(&mut self, object: &str, offset: u64) -> Option<Bytes> {
        let key = (object.to_owned(), offset);
        let found = self.segments.get(&key)?.clone();
        self.order.retain(|other| *other != key);
        self.order.push_back(key);
        Some(found)
    }

    pub(crate) fn put(&mut self, object: &str, offset: u64, segment: Bytes) {
        let key = (object.to_owned(), offset);
        if segment.len() > self.bytes_max || self.segments.contains_key(&key) {
            return;
        }
        self.bytes += segment.len();
        self.segments.insert(key.clone(), segment);
        self.order.push_back(key);
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.order.pop_front()
        {
            self.bytes -= self.segments.remove(&oldest).map_or(0, |segment| segment.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_used_goes_first() {
        let mut cache = SegmentCache::new(10);
        for offset in [0, 4] {
            cache.put("a", offset, Bytes::from_static(b"1234"));
        }
        assert!(cache.get("a", 0).is_some());
        cache.put("b", 0, Bytes::from_static(b"5678"));
        assert!(cache.get("a", 4).is_none(), "used longest ago");
        assert!(cache.get("a", 0).is_some() && cache.get("b", 0).is_some());
        cache.put("c", 0, Bytes::from_static(b"more than ten bytes"));
        assert!(cache.get("c", 0).is_none() && cache.bytes == 8);
    }
}
