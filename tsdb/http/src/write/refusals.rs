//! What of a request is not stored, for the answer to its sender and for our own counters.

use std::fmt::Write as _;

use swell_model::DropReason;

/// Why something is not stored. The names are labels of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Why {
    /// A newer sample is stored.
    OutOfOrder,
    /// Another value is stored for the same time.
    Duplicate,
    /// Before what the storage takes at all.
    TooOld,
    /// Too far ahead of the clock.
    TooNew,
    /// Labels break a rule.
    Labels,
    /// References into the symbol table lead nowhere.
    Symbols,
    /// A series has nothing to store.
    Nothing,
    /// A native histogram breaks a rule.
    Histogram,
    /// A limit on labels.
    Limit,
    /// A limit on the number of series.
    SeriesLimit,
    /// An exemplar is out of order, or its labels are broken.
    Exemplar,
}

impl Why {
    const COUNT: usize = 11;

    /// All of them.
    pub(crate) const ALL: [Self; Self::COUNT] = [
        Self::OutOfOrder,
        Self::Duplicate,
        Self::TooOld,
        Self::TooNew,
        Self::Labels,
        Self::Symbols,
        Self::Nothing,
        Self::Histogram,
        Self::Limit,
        Self::SeriesLimit,
        Self::Exemplar,
    ];

    /// The value of the metric's label.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::OutOfOrder => "out_of_order",
            Self::Duplicate => "duplicate",
            Self::TooOld => "too_old",
            Self::TooNew => "too_new",
            Self::Labels => "labels",
            Self::Symbols => "symbols",
            Self::Nothing => "nothing",
            Self::Histogram => "histogram",
            Self::Limit => "limit",
            Self::SeriesLimit => "series_limit",
            Self::Exemplar => "exemplar",
        }
    }

    /// In the words that clients of Prometheus know.
    const fn words(self) -> &'static str {
        match self {
            Self::OutOfOrder => "out of order sample",
            Self::Duplicate => "duplicate sample for timestamp",
            Self::TooOld => "out of bounds: too old sample",
            Self::TooNew => "out of bounds: sample too far in the future",
            Self::Labels => "invalid labels",
            Self::Symbols => "references into the symbol table are broken",
            Self::Nothing => "a series must contain at least one sample or histogram",
            Self::Histogram => "invalid native histogram",
            Self::Limit => "limit on labels exceeded",
            Self::SeriesLimit => "limit on series exceeded",
            Self::Exemplar => "exemplar not stored",
        }
    }
}

impl From<DropReason> for Why {
    fn from(reason: DropReason) -> Self {
        match reason {
            DropReason::OutOfOrder => Self::OutOfOrder,
            DropReason::Conflict => Self::Duplicate,
            DropReason::TooOld => Self::TooOld,
            DropReason::TooNew => Self::TooNew,
        }
    }
}

/// Refusals of one request, counted, each kind with its first example.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Refusals([Refused; Why::COUNT]);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Refused {
    count: usize,
    example: String,
}

impl Refusals {
    /// Counts `count` entries. `example` is asked for once a kind.
    pub(crate) fn add(&mut self, why: Why, count: usize, example: impl FnOnce() -> String) {
        let refused = &mut self.0[why as usize];
        if count > 0 && refused.example.is_empty() {
            refused.example = example();
        }
        refused.count += count;
    }

    /// Those of a kind.
    pub(crate) fn count(&self, why: Why) -> usize {
        self.0[why as usize].count
    }

    /// All of them.
    pub(crate) fn total(&self) -> usize {
        self.0.iter().map(|refused| refused.count).sum()
    }

    /// Without those of a kind.
    pub(crate) fn without(mut self, why: Why) -> Self {
        self.0[why as usize] = Refused::default();
        self
    }

    /// What the sender is told; `rest` says what became of the others.
    pub(crate) fn text(&self, rest: &str) -> String {
        let mut out = format!("{} entries refused, {rest}", self.total());
        let refused = Why::ALL.iter().map(|why| (why, &self.0[*why as usize]));
        for (why, refused) in refused.filter(|(_, refused)| refused.count > 0) {
            let (words, count, example) = (why.words(), refused.count, &refused.example);
            write!(out, "; {words} ({count} of them, the first: {example})")
                .expect("writing to a string cannot fail");
        }
        out.push('\n');
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_counts_and_shows_the_first_of_each_kind() {
        let mut refusals = Refusals::default();
        refusals.add(Why::OutOfOrder, 2, || "a at 1".to_owned());
        refusals.add(Why::OutOfOrder, 1, || panic!("one example is enough"));
        refusals.add(Why::Labels, 1, || "{}: it has no metric name".to_owned());
        refusals.add(Why::Exemplar, 0, || panic!("there is none"));
        assert_eq!(
            refusals.text("the rest is stored"),
            "4 entries refused, the rest is stored; out of order sample (3 of them, the first: a at 1); invalid \
             labels (1 of them, the first: {}: it has no metric name)\n"
        );
        assert_eq!((refusals.count(Why::OutOfOrder), refusals.total()), (3, 4));
        assert_eq!(refusals.without(Why::Labels).total(), 3);
    }

    #[test]
    fn every_kind_has_a_place() {
        for (idx, why) in Why::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, idx);
        }
    }
}
