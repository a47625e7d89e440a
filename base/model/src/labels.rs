//! A set of labels: sorted by name, shared cheaply, compared by content.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// The label that holds the metric's name.
pub const METRIC_NAME: &str = "__name__";

/// Label names and values of one series, sorted by name in byte order, each name once, no empty value
/// (in Prometheus' model an empty value is the same as an absent label). Cloning copies a pointer.
///
/// All text stands in one string, with the end of each name and value beside it.
#[derive(Clone)]
pub struct Labels(Option<Arc<Packed>>);

struct Packed {
    text: Box<str>,
    /// Ends in `text`: of name 0, value 0, name 1, value 1 …
    ends: Box<[u32]>,
}

/// Room kept for the text of a label while a set is built.
const USUAL_PAIR_BYTES: usize = 24;

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
        let mut text = String::with_capacity(count * USUAL_PAIR_BYTES);
        let mut ends = Vec::with_capacity(2 * count);
        let mut last: Option<&str> = None;
        for (name, value) in pairs {
            assert!(last.is_none_or(|last| last < name), "label names sorted, each once");
            assert!(!value.is_empty(), "an empty value is an absent label");
            last = Some(name);
            for part in [name, value] {
                text.push_str(part);
                ends.push(u32::try_from(text.len()).expect("label text below 4 GiB"));
            }
        }
        Self::packed(text, ends)
    }

    /// All names and values one behind the other.
    fn text(&self) -> &str {
        self.0.as_ref().map_or("", |packed| &packed.text)
    }

    fn ends(&self) -> &[u32] {
        self.0.as_ref().map_or(&[], |packed| &packed.ends)
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
        self.ends().len() / 2
    }

    /// Whether there are no labels.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        let text = self.text();
        let mut start = 0;
        self.ends().as_chunks::<2>().0.iter().map(move |[middle, end]| {
            let (middle, end) = (*middle as usize, *end as usize);
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
        let mut text = String::with_capacity(self.text().len());
        let mut ends = Vec::with_capacity(self.ends().len());
        for (name, value) in self.iter().filter(|(name, _)| keep(name)) {
            for part in [name, value] {
                text.push_str(part);
                ends.push(u32::try_from(text.len()).expect("no more text than before"));
            }
        }
        Self::packed(text, ends)
    }

    fn packed(text: String, ends: Vec<u32>) -> Self {
        if ends.is_empty() {
            return Self::empty();
        }
        Self(Some(Arc::new(Packed { text: text.into(), ends: ends.into() })))
    }

    /// Bytes of text, without structure: what limits count.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        self.text().len()
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
        self.is_same(other) || (self.ends() == other.ends() && self.text() == other.text())
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
        let (text, other_text) = (self.text().as_bytes(), other.text().as_bytes());
        let shared = shared_len(text, other_text);
        let (ends, other_ends) = (self.ends(), other.ends());
        let same = ends
            .iter()
            .zip(other_ends)
            .take_while(|(end, other)| end == other && **end as usize <= shared)
            .count();
        let bounds = |ends: &[u32]| {
            let end = *ends.get(same)? as usize;
            Some((same.checked_sub(1).map_or(0, |before| ends[before] as usize), end))
        };
        match (bounds(ends), bounds(other_ends)) {
            (Some(one), Some(other)) => text[one.0..one.1].cmp(&other_text[other.0..other.1]),
            (one, other) => one.is_some().cmp(&other.is_some()),
        }
    }
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
        self.text().hash(state);
        self.ends().hash(state);
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
            write!(f, "{name:?}")?;
            separator = ", ";
        }
        for (label, value) in rest {
            if is_bare_label_name(label) {
                write!(f, "{separator}{label}={value:?}")?;
            } else {
                write!(f, "{separator}{label:?}={value:?}")?;
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
        fn order_of_long_labels_is_that_of_the_pairs(values in prop::collection::vec("[ab]{15,18}", 2..4), longer in any::<bool>()) {
            let base = "a-value-that-is-shared-by-both";
            let set = |last: &str| Labels::from_pairs([("a", base), ("b", last)]);
            let (one, other) = (set(&values[0]), set(&values[1]));
            let other = if longer { other.to_builder().set("c", "1").build() } else { other };
            prop_assert_eq!(one.cmp(&other), one.iter().cmp(other.iter()));
        }
    }

    #[test]
    fn names_outside_the_classic_set_are_quoted() {
        let labels = Labels::from_pairs([(METRIC_NAME, "my.name"), ("a.b", "x\"y")]);
        assert_eq!(labels.to_string(), r#"{"my.name", "a.b"="x\"y"}"#);
    }
}
