//! Hashes of labels under a key drawn at start, so that senders cannot choose names and values that meet in a table.

use std::hash::{BuildHasher as _, Hasher as _};

use ahash::RandomState;
use swell_model::Labels;

/// Hashes pairs of name and value.
#[derive(Clone, Debug)]
pub(crate) struct PairHasher(RandomState);

impl Default for PairHasher {
    fn default() -> Self {
        // The standard library's is slower on short texts, but has randomness from the system.
        let random = std::hash::RandomState::new();
        let [a, b, c, d] = [0, 1, 2, 3].map(|nr: u8| random.hash_one(nr));
        Self(RandomState::with_seeds(a, b, c, d))
    }
}

impl PairHasher {
    #[inline]
    pub(crate) fn hash(&self, name: &str, value: &str) -> u64 {
        let mut hasher = self.0.build_hasher();
        hasher.write(name.as_bytes());
        hasher.write(value.as_bytes());
        hasher.finish()
    }

    /// The sum over all pairs.
    pub(crate) fn hash_all(&self, labels: &Labels) -> u64 {
        let hashes = labels.iter().map(|(name, value)| self.hash(name, value));
        hashes.fold(0, u64::wrapping_add)
    }
}
