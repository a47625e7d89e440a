//! Hashes of labels under a key drawn at start, so that senders cannot choose names and values that meet in a table.

use std::hash::{BuildHasher as _, Hasher as _};
use std::sync::LazyLock;

use ahash::RandomState;
use swell_model::Labels;

fn random_state() -> RandomState {
    // The standard library's is slower on short texts, but has randomness from the system.
    let random = std::hash::RandomState::new();
    let [a, b, c, d] = [0, 1, 2, 3].map(|nr: u8| random.hash_one(nr));
    RandomState::with_seeds(a, b, c, d)
}

/// Hashes pairs of name and value.
#[derive(Clone, Debug)]
pub(crate) struct PairHasher(RandomState);

impl Default for PairHasher {
    fn default() -> Self {
        Self(random_state())
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

/// Keys of this process for [`Identity`].
static IDENTITY_KEYS: LazyLock<[RandomState; 2]> =
    LazyLock::new(|| [random_state(), random_state()]);

/// A hash of a text as part of an [`Identity`].
#[must_use]
pub(crate) fn identity_of_text(text: &str) -> u128 {
    let [high, low] = IDENTITY_KEYS.each_ref().map(|key| {
        let mut hasher = key.build_hasher();
        hasher.write(text.as_bytes());
        hasher.finish()
    });
    u128::from(high) << 64 | u128::from(low)
}

/// Tells label sets apart, in whichever index they stand: 128 bits under a key of this process. Among a billion label
/// sets the chance that any two share one is below 10^-20, and who does not know the key cannot choose two that do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Identity(u128);

impl Identity {
    /// Of a label set.
    #[must_use]
    pub fn of(labels: &Labels) -> Self {
        Self::of_pairs(labels.iter())
    }

    /// Of names and values.
    pub(crate) fn of_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut identity = Self::default();
        for (name, value) in pairs {
            identity.add(identity_of_text(name), identity_of_text(value));
        }
        identity
    }

    /// Adds a label, given by the hashes of its texts. Pairs are mixed before they are added up, so that values which
    /// change places make another set.
    #[inline]
    pub(crate) fn add(&mut self, name: u128, value: u128) {
        const ODD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
        let mut mixed = (name ^ value.rotate_left(59)).wrapping_mul(ODD);
        mixed ^= mixed >> 67;
        mixed = mixed.wrapping_mul(ODD);
        self.0 = self.0.wrapping_add(mixed ^ mixed >> 61);
    }
}
