//! Series of the storage here and of another place, as one.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use swell_model::{
    Coarse, Labels, Matcher, SelectError, SelectHints, SeriesData, SeriesIter, SeriesSource,
    join_samples,
};

/// A selection here, joined with its series of elsewhere: those of here, each with its samples of there, then the series that
/// are only there. Where both have a sample at a time that of here counts. Elsewhere there are samples of its series where
/// there may be no more than aggregates here; of a series that only is here aggregates may be all there is.
pub(crate) fn joined<'a>(
    elsewhere: Vec<SeriesData>,
    here: &'a dyn SeriesSource,
    matchers: &[Matcher],
    hints: &SelectHints,
) -> Result<SeriesIter<'a>, SelectError> {
    if elsewhere.is_empty() {
        return here.select(matchers, hints);
    }
    let limit = if hints.limit == 0 { usize::MAX } else { hints.limit };
    let told: Arc<HashSet<Labels>> =
        Arc::new(elsewhere.iter().map(|series| series.labels.clone()).collect());
    let all = SelectHints { limit: 0, ..*hints };
    let samples = here.select(matchers, &SelectHints { coarse: Coarse::Refused, ..all })?;
    let in_both = kept(samples, &told, true);
    let only_here = kept(here.select(matchers, &all)?, &told, false);
    let here: SeriesIter<'a> = Box::new(in_both.chain(only_here));
    Ok(Box::new(Joined::new(elsewhere, here).take(limit)))
}

/// The series that elsewhere has told of, or those that it has not; errors in any case.
fn kept<'a>(
    series: SeriesIter<'a>,
    told: &Arc<HashSet<Labels>>,
    are_told: bool,
) -> impl Iterator<Item = Result<SeriesData, SelectError>> + Send + 'a {
    let told = Arc::clone(told);
    series.filter(move |it| it.as_ref().map_or(true, |it| told.contains(&it.labels) == are_told))
}

struct Joined<'a> {
    elsewhere: HashMap<Labels, SeriesData>,
    here: Option<SeriesIter<'a>>,
}

impl<'a> Joined<'a> {
    fn new(elsewhere: Vec<SeriesData>, here: SeriesIter<'a>) -> Self {
        let elsewhere = elsewhere.into_iter().map(|it| (it.labels.clone(), it)).collect();
        Self { elsewhere, here: Some(here) }
    }
}

impl Iterator for Joined<'_> {
    type Item = Result<SeriesData, SelectError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(here) = &mut self.here {
            match here.next() {
                Some(Ok(series)) => {
                    return Some(Ok(match self.elsewhere.remove(&series.labels) {
                        Some(other) => join_samples(other, series),
                        None => series,
                    }));
                }
                Some(Err(error)) => return Some(Err(error)),
                None => self.here = None,
            }
        }
        let labels = self.elsewhere.keys().next()?.clone();
        self.elsewhere.remove(&labels).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use swell_model::{Aggregate, FloatColumn, LabelsIter, TimeRange, TimestampMs};

    use super::*;

    /// Two series, each of an aggregate and a sample behind it; without aggregates where these are refused.
    struct Downsampled;

    fn labels(name: &str) -> Labels {
        Labels::from_pairs([("__name__", name)])
    }

    fn floats(at_ms: i64, value: f64) -> FloatColumn {
        FloatColumn { timestamps: [at_ms].into(), values: [value].into(), starts: None }
    }

    impl SeriesSource for Downsampled {
        fn select<'a>(
            &'a self,
            _: &[Matcher],
            hints: &SelectHints,
        ) -> Result<SeriesIter<'a>, SelectError> {
            let has_aggregates = !matches!(hints.coarse, Coarse::Refused);
            Ok(Box::new(["both", "here"].into_iter().map(move |name| {
                let aggregates = vec![Aggregate::of_sample(100, 1.0); usize::from(has_aggregates)];
                let (labels, floats) = (labels(name), floats(1000, 2.0));
                Ok(SeriesData { labels, floats, aggregates, ..SeriesData::default() })
            })))
        }

        fn label_names(&self, _: &[Matcher], _: TimeRange) -> Result<LabelsIter, SelectError> {
            Ok(Vec::new())
        }

        fn label_values(
            &self,
            _: &str,
            _: &[Matcher],
            _: TimeRange,
        ) -> Result<LabelsIter, SelectError> {
            Ok(Vec::new())
        }
    }

    #[test]
    fn samples_of_elsewhere_take_the_place_of_aggregates_of_their_series_alone() {
        let told = |name: &str| SeriesData {
            labels: labels(name),
            floats: floats(50, 3.0),
            ..SeriesData::default()
        };
        let range = TimeRange { start_incl: TimestampMs(0), end_incl: TimestampMs(2000) };
        let hints = SelectHints { coarse: Coarse::Newest, ..SelectHints::range(range) };
        let shown =
            |elsewhere: Vec<SeriesData>, hints: &SelectHints| -> Vec<(String, usize, usize)> {
                let found = joined(elsewhere, &Downsampled, &[], hints).expect("selected");
                let of = |series: SeriesData| {
                    let name = series.labels.metric_name().unwrap_or_default().to_owned();
                    (name, series.floats.values.len(), series.aggregates.len())
                };
                let mut found: Vec<_> = found.map(|series| of(series.expect("read"))).collect();
                found.sort();
                found
            };
        let row = |name: &str, samples, aggregates| (name.to_owned(), samples, aggregates);
        assert_eq!(shown(Vec::new(), &hints), [row("both", 1, 1), row("here", 1, 1)]);
        assert_eq!(
            shown(vec![told("both"), told("there")], &hints),
            [row("both", 2, 0), row("here", 1, 1), row("there", 1, 0)]
        );
        let one = SelectHints { limit: 1, ..hints };
        assert_eq!(shown(vec![told("both")], &one).len(), 1);
    }
}
