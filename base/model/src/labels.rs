//! A set of labels: sorted by name, shared cheaply, compared by content.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::go_literal::quote;

/// The label that holds the metric's name.
pub const METRIC_NAME: &str = "__name__";

/// The label that holds the type of a metric, where types are labels.
pub const METRIC_TYPE: &str = "__type__";

/// The label that holds the unit of a metric, where units are labels.
pub const METRIC_UNIT: &str = "__unit__";

/// Label names and values of one series, sorted by name in byte order, each name once, no empty value
/// (in Prometheus' model an empty value is the same as an absent label). Cloning copies a pointer.
///
/// One allocation: all text, then the end in it of name 0, value 0, name 1, value 1 …, then the length of the text, each
/// a number of `SHORT` or `LONG` bytes of seven bits, lowest first; then that number of bytes. All of it is text.
#[derive(Clone)]
pub struct Labels(Option<Arc<str>>);

/// Bytes of a number where all text is below 2 MiB.
const SHORT: usize = 3;
/// Bytes of a number else.
const LONG: usize = 5;

/// A number of bytes of seven bits.
#[inline]
fn number(bytes: &[u8]) -> usize {
    match bytes {
        [a, b, c] => usize::from(*a) | usize::from(*b) << 7 | usize::from(*c) << 14,
        bytes => bytes.iter().rev().fold(0, |number, byte| number << 7 | usize::from(*byte)),
    }
}

/// The lowest seven bits of a number.
#[inline]
#[expect(clippy::cast_possible_truncation, reason = "that is what is wanted")]
const fn seven_bits(number: usize) -> u8 {
    (number & 0x7f) as u8
}

/// Room kept for the text of a label while a set is built.
const USUAL_PAIR_BYTES: usize = 24;

/// Collects text and ends.
struct Packer {
    text: Vec<u8>,
    ends: Vec<usize>,
}

impl Packer {
    fn new(text_bytes: usize, label_count: usize) -> Self {
        let numbers = (2 * label_count + 1) * SHORT + 1;
        Self {
            text: Vec::with_capacity(text_bytes + numbers),
            ends: Vec::with_capacity(2 * label_count),
        }
    }

    fn push(&mut self, name: &str, value: &str) {
        for part in [name, value] {
            self.text.extend_from_slice(part.as_bytes());
            self.ends.push(self.text.len());
        }
    }

    fn finish(mut self) -> Labels {
        let Some(text_len) = self.ends.last().copied() else { return Labels::empty() };
        let width = if text_len < 1 << (7 * SHORT) { SHORT } else { LONG };
        assert!(text_len < 1 << (7 * LONG), "label text below 32 GiB");
        for end in self.ends.into_iter().chain([text_len]) {
            let bytes: [u8; LONG] = std::array::from_fn(|byte| seven_bits(end >> (7 * byte)));
            self.text.extend_from_slice(&bytes[..width]);
        }
        self.text.push(seven_bits(width));
        let text = std::str::from_utf8(&self.text).expect("texts, and bytes below 128");
        Labels(Some(text.into()))
    }
}

/// Text and ends of a set, taken apart.
#[derive(Clone, Copy)]
struct Parts<'a> {
    text: &'a str,
    ends: &'a [u8],
    /// Bytes of an end.
    width: usize,
}

impl Parts<'_> {
    fn ends(&self) -> impl ExactSizeIterator<Item = usize> + Clone {
        self.ends.chunks_exact(self.width).map(number)
    }
}

impl Labels {
    /// The set without labels.
    #[must_use]
    pub const fn empty() -> Self {
        Self(None)
    }

    /// Builds a set from pairs in any order; of a repeated name the last value counts, empty values drop out.
    pub fn from_pairs<N: AsRef<str>, V: AsRef<str>>(
        pairs: impl IntoIterator<Item = (N, V)>,
    ) -> Self {
        let mut builder = LabelsBuilder::default();
        for (name, value) in pairs {
            builder.set(name.as_ref(), value.as_ref());
        }
        builder.build()
    }

    /// Builds a set from pairs already sorted by name, each once, without empty values.
    ///
    /// # Panics
    /// When the order is broken or the text exceeds 4 GiB: callers check input first.
    pub fn from_sorted<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let pairs = pairs.into_iter();
        let count = pairs.size_hint().0;
        let mut packer = Packer::new(count * USUAL_PAIR_BYTES, count);
        let mut last: Option<&str> = None;
        for (name, value) in pairs {
            assert!(last.is_none_or(|last| last < name), "label names sorted, each once");
            assert!(!value.is_empty(), "an empty value is an absent label");
            last = Some(name);
            packer.push(name, value);
        }
        packer.finish()
    }

    #[inline]
    fn parts(&self) -> Parts<'_> {
        let Some(packed) = &self.0 else { return Parts { text: "", ends: &[], width: SHORT } };
        let width = usize::from(packed.as_bytes()[packed.len() - 1]);
        let numbers_end = packed.len() - 1 - width;
        let text_len = number(&packed.as_bytes()[numbers_end..packed.len() - 1]);
        let ends = &packed.as_bytes()[text_len..numbers_end];
        Parts { text: &packed[..text_len], ends, width }
    }

    fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (None, None) => true,
            _ => false,
        }
    }

    /// Number of labels, the metric's name included.
    #[must_use]
    pub fn len(&self) -> usize {
        let Parts { ends, width, .. } = self.parts();
        ends.len() / (2 * width)
    }

    /// Whether there are no labels.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        let Parts { text, ends, width } = self.parts();
        let mut start = 0;
        ends.chunks_exact(2 * width).map(move |pair| {
            let (middle, end) = pair.split_at(width);
            let (middle, end) = (number(middle), number(end));
            let pair = (&text[start..middle], &text[middle..end]);
            start = end;
            pair
        })
    }

    /// The value of `name`, if set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(candidate, _)| *candidate == name).map(|(_, value)| value)
    }

    /// The metric's name, if set.
    #[must_use]
    pub fn metric_name(&self) -> Option<&str> {
        self.get(METRIC_NAME)
    }

    /// A builder that starts from these labels.
    #[must_use]
    pub fn to_builder(&self) -> LabelsBuilder {
        LabelsBuilder {
            pairs: self.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        }
    }

    /// These labels without those whose name fails `keep`.
    #[must_use]
    pub fn filtered(&self, mut keep: impl FnMut(&str) -> bool) -> Self {
        let mut packer = Packer::new(self.text_bytes(), self.len());
        for (name, value) in self.iter().filter(|(name, _)| keep(name)) {
            packer.push(name, value);
        }
        packer.finish()
    }

    /// Bytes of text, without structure: what limits count.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        self.parts().text.len()
    }
}

/// Collects labels in any order.
#[derive(Clone, Debug, Default)]
pub struct LabelsBuilder {
    /// Sorted by name.
    pairs: Vec<(String, String)>,
}

impl LabelsBuilder {
    /// Sets a label; an empty value removes it.
    pub fn set(&mut self, name: &str, value: &str) -> &mut Self {
        match self.pairs.binary_search_by(|(candidate, _)| candidate.as_str().cmp(name)) {
            Ok(idx) if value.is_empty() => drop(self.pairs.remove(idx)),
            Ok(idx) => value.clone_into(&mut self.pairs[idx].1),
            Err(_) if value.is_empty() => {}
            Err(idx) => self.pairs.insert(idx, (name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Removes a label.
    pub fn remove(&mut self, name: &str) -> &mut Self {
        self.set(name, "")
    }

    /// The value of `name` so far.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let idx =
            self.pairs.binary_search_by(|(candidate, _)| candidate.as_str().cmp(name)).ok()?;
        Some(&self.pairs[idx].1)
    }

    /// Names and values so far, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The finished set.
    #[must_use]
    pub fn build(&self) -> Labels {
        Labels::from_sorted(self.iter())
    }
}

impl Default for Labels {
    fn default() -> Self {
        Self::empty()
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || self.0 == other.0
    }
}

impl Eq for Labels {}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Labels {
    /// Byte order over the (name, value) pairs; a set that is a prefix of another comes first.
    fn cmp(&self, other: &Self) -> Ordering {
        if self.is_same(other) {
            return Ordering::Equal;
        }
        // Names and values before the first byte that differs are equal where they end at the same places.
        let (one, other) = (self.parts(), other.parts());
        let (start, ends) = first_difference(&one, &other);
        match ends {
            (Some(end), Some(other_end)) => {
                one.text.as_bytes()[start..end].cmp(&other.text.as_bytes()[start..other_end])
            }
            (end, other_end) => end.is_some().cmp(&other_end.is_some()),
        }
    }
}

/// Where the first name or value begins that may differ, and where it ends in each; `None` behind the last label.
fn first_difference(one: &Parts<'_>, other: &Parts<'_>) -> (usize, (Option<usize>, Option<usize>)) {
    let shared = shared_len(one.text.as_bytes(), other.text.as_bytes());
    let (mut ends, mut other_ends) = (one.ends(), other.ends());
    let mut start = 0;
    loop {
        let (end, other_end) = (ends.next(), other_ends.next());
        match (end, other_end) {
            (Some(end), Some(other_end)) if end == other_end && end <= shared => start = end,
            ends => return (start, ends),
        }
    }
}

/// The order of label sets by index: what a stable sort gives. Where many share their first labels, as series of one
/// metric do, most are told apart by the first bytes that differ.
#[must_use]
pub fn label_order(all: &[&Labels]) -> Vec<u32> {
    let parts: Vec<Parts<'_>> = all.iter().map(|labels| labels.parts()).collect();
    let Some(first) = parts.first() else { return Vec::new() };
    // Up to here all are the same: whole names and values before `start`, and `common` bytes of the next one.
    let (mut start, mut common) = (usize::MAX, 0);
    for one in &parts[1..] {
        let (differs, ends) = first_difference(first, one);
        let shared = match ends {
            (Some(end), Some(other_end)) => shared_len(
                &first.text.as_bytes()[differs..end],
                &one.text.as_bytes()[differs..other_end],
            ),
            _ => 0,
        };
        if differs < start {
            (start, common) = (differs, shared);
        } else if differs == start {
            common = common.min(shared);
        }
    }
    let key = |one: &Parts<'_>| {
        let end = one.ends().find(|end| *end > start).unwrap_or(start);
        let text = one.text.as_bytes().get(start..end).unwrap_or_default();
        let text = text.get(common..).unwrap_or_default();
        let mut key = [0; 16];
        let len = text.len().min(key.len());
        key[..len].copy_from_slice(&text[..len]);
        u128::from_be_bytes(key)
    };
    let mut keyed: Vec<(u128, u32)> = parts.iter().map(key).zip(0..).collect();
    keyed.sort_unstable_by(|(one_key, one), (other_key, other)| {
        let by_labels = || all[*one as usize].cmp(all[*other as usize]);
        one_key.cmp(other_key).then_with(by_labels).then(one.cmp(other))
    });
    keyed.into_iter().map(|(_, idx)| idx).collect()
}

/// Bytes at the start that are the same in both.
fn shared_len(a: &[u8], b: &[u8]) -> usize {
    const STEP: usize = 16;
    let steps = a.chunks_exact(STEP).zip(b.chunks_exact(STEP)).take_while(|(a, b)| a == b).count();
    let from = steps * STEP;
    from + a[from..].iter().zip(&b[from..]).take_while(|(a, b)| a == b).count()
}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for Labels {
    /// Prints as Prometheus does: `name{a="b", c="d"}`; a name that is no classic identifier is quoted inside the braces.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.metric_name();
        let bare_name = name.filter(|name| is_bare_metric_name(name));
        f.write_str(bare_name.unwrap_or(""))?;
        let quoted_name = if bare_name.is_none() { name } else { None };
        let rest = self.iter().filter(|(label, _)| *label != METRIC_NAME);
        if bare_name.is_some() && rest.clone().next().is_none() {
            return Ok(());
        }
        f.write_str("{")?;
        let mut separator = "";
        if let Some(name) = quoted_name {
            f.write_str(&quote(name))?;
            separator = ", ";
        }
        for (label, value) in rest {
            if is_bare_label_name(label) {
                write!(f, "{separator}{label}={}", quote(value))?;
            } else {
                write!(f, "{separator}{}={}", quote(label), quote(value))?;
            }
            separator = ", ";
        }
        f.write_str("}")
    }
}

/// Whether a metric name can stand without quotes: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
fn is_bare_metric_name(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
}

/// Whether a label name can stand without quotes: a metric name without colons.
fn is_bare_label_name(name: &str) -> bool {
    is_bare_metric_name(name) && !name.contains(':')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn pairs_are_sorted_and_empty_values_dropped() {
        let labels =
            Labels::from_pairs([("b", "2"), ("a", "1"), ("c", ""), ("b", "3"), (METRIC_NAME, "m")]);
        assert_eq!(labels.to_string(), r#"m{a="1", b="3"}"#);
        assert_eq!(labels.get("c"), None);
        assert_eq!(labels.len(), 3);
    }

    #[test]
    fn order_is_by_pairs_and_prefix_first() {
        let short = Labels::from_pairs([("a", "1")]);
        let long = Labels::from_pairs([("a", "1"), ("b", "0")]);
        let other = Labels::from_pairs([("a", "2")]);
        assert!(short < long && long < other);
        assert_ne!(Labels::from_pairs([("ab", "c")]), Labels::from_pairs([("a", "bc")]));
    }

    proptest! {
        #[test]
        fn order_is_that_of_the_pairs(
            one in prop::collection::btree_map("[ab]{1,3}", "[ab]{1,3}", 0..4),
            other in prop::collection::btree_map("[ab]{1,3}", "[ab]{1,3}", 0..4),
        ) {
            let (one, other) = (Labels::from_pairs(one), Labels::from_pairs(other));
            prop_assert_eq!(one.cmp(&other), one.iter().cmp(other.iter()));
            prop_assert_eq!(one == other, one.iter().eq(other.iter()));
        }

        #[test]
        fn the_order_of_many_is_that_of_a_sort(
            sets in prop::collection::vec(prop::collection::btree_map("[ab]{1,2}", "[ab\u{0}]{1,3}", 0..4), 0..30),
            start in prop::option::of("a{0,40}"),
        ) {
            let sets: Vec<Labels> = sets.into_iter().map(|mut set| {
                if let Some(start) = &start {
                    set.values_mut().for_each(|value| value.insert_str(0, start));
                }
                Labels::from_pairs(set)
            }).collect();
            let all: Vec<&Labels> = sets.iter().collect();
            let mut expected: Vec<u32> = (0..).take(all.len()).collect();
            expected.sort_by_key(|idx| all[*idx as usize]);
            prop_assert_eq!(label_order(&all), expected);
        }

        #[test]
        fn order_of_long_labels_is_that_of_the_pairs(values in prop::collection::vec("[ab]{15,18}", 2..4), longer in any::<bool>()) {
            let base = "a-value-that-is-shared-by-both";
            let set = |last: &str| Labels::from_pairs([("a", base), ("b", last)]);
            let (one, other) = (set(&values[0]), set(&values[1]));
            let other = if longer { other.to_builder().set("c", "1").build() } else { other };
            prop_assert_eq!(one.cmp(&other), one.iter().cmp(other.iter()));
        }
    }

    #[test]
    fn long_texts_are_kept() {
        let long = "x".repeat(3 << 20);
        let labels = Labels::from_pairs([("a", long.as_str()), ("b", "1"), ("c", &long)]);
        assert_eq!(labels.text_bytes(), 2 * long.len() + 4);
        assert!(labels.iter().eq([("a", long.as_str()), ("b", "1"), ("c", &long)]));
        assert!(labels.filtered(|name| name == "b") > labels);
    }

    #[test]
    fn names_outside_the_classic_set_are_quoted() {
        let labels = Labels::from_pairs([(METRIC_NAME, "my.name"), ("a.b", "x\"y")]);
        assert_eq!(labels.to_string(), r#"{"my.name", "a.b"="x\"y"}"#);
    }
}
