//! A storage that gives aggregates in place of samples gets the same answers.

use proptest::prelude::*;
use swell_model::{
    Aggregate, Coarse, DurationMs, Figures, FloatColumn, Labels, LabelsIter, Matcher, SampleValue,
    SelectError, SelectHints, SeriesData, SeriesIter, SeriesSource, TimeRange, TimestampMs,
    WindowGrid, changes, is_stale_nan, stale_nan,
};
use swell_promql::testing::{FOLDED_FUNCTIONS, LoadedSample, LoadedSeries, memory_storage};
use swell_promql::{Budget, EvalParams, Features, evaluate};
use swell_promql_syntax::parse;

/// Folds runs of at most this many samples wherever no window ends among them, and leaves some samples between.
struct Folding<'a>(&'a dyn SeriesSource, usize);

impl Folding<'_> {
    fn fold(&self, mut data: SeriesData, grid: WindowGrid, figures: Figures) -> SeriesData {
        let (times, values) = (&data.floats.timestamps, &data.floats.values);
        let (mut kept_times, mut kept_values) = (Vec::new(), Vec::new());
        let mut from = 0;
        while from < times.len() {
            let longest = times.len().min(from + self.1);
            let is_whole = |to: &usize| {
                let is_of_one_value = || {
                    let is_sample = |value: &&f64| !is_stale_nan(**value);
                    let samples: Vec<f64> =
                        values[from..*to].iter().filter(is_sample).copied().collect();
                    !changes(&samples)
                };
                !grid.cuts(TimestampMs(times[from]), TimestampMs(times[*to - 1]))
                    && (figures != Figures::Changes || is_of_one_value())
            };
            let to = (from + 1..=longest).rev().find(is_whole).expect("one sample is whole");
            let is_left = (from / self.1).is_multiple_of(3);
            match Aggregate::of_run(&times[from..to], &values[from..to]) {
                Some(aggregate) if !is_left => data.aggregates.push(aggregate),
                _ => {
                    kept_times.extend_from_slice(&times[from..to]);
                    kept_values.extend_from_slice(&values[from..to]);
                }
            }
            from = to;
        }
        data.floats =
            FloatColumn { timestamps: kept_times.into(), values: kept_values.into(), starts: None };
        data
    }
}

impl SeriesSource for Folding<'_> {
    fn select<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<SeriesIter<'a>, SelectError> {
        let Coarse::Folded(grid, figures) = hints.coarse else {
            return self.0.select(matchers, hints);
        };
        let series = self.0.select(matchers, hints)?;
        Ok(Box::new(series.map(move |data| data.map(|data| self.fold(data, grid, figures)))))
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<LabelsIter, SelectError> {
        self.0.label_names(matchers, range)
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<LabelsIter, SelectError> {
        self.0.label_values(name, matchers, range)
    }
}

fn any_value() -> impl Strategy<Value = Option<f64>> {
    prop_oneof![
        10 => (0i32..40).prop_map(|v| Some(f64::from(v))),
        // What comes again stays the same for a while.
        4 => Just(Some(7.25)),
        3 => (-4000i32..4000).prop_map(|v| Some(f64::from(v) / 16.0)),
        2 => Just(None),
        1 => Just(Some(f64::NAN)),
        1 => Just(Some(f64::INFINITY)),
        1 => Just(Some(stale_nan())),
        1 => Just(Some(-0.0)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn windows_of_aggregates_are_windows_of_samples(
        values in prop::collection::vec(any_value(), 1..120),
        jitter in 1i64..900,
        function in prop::sample::select([&FOLDED_FUNCTIONS[..], &["stddev_over_time"]].concat()),
        start in 0i64..1_200_000,
        step in 1i64..400_000,
        range in 1i64..900_000,
        offset in prop_oneof![Just(""), Just(" offset 1m"), Just(" @ 500")],
        run in 1usize..30,
    ) {
        let storage = memory_storage().expect("memory is always there");
        let samples = (0i64..).zip(&values).filter_map(|(idx, value)| {
            let timestamp = TimestampMs(idx * 15_000 + idx * jitter % 1000);
            Some(LoadedSample { timestamp, value: SampleValue::Float((*value)?), start_ms: 0 })
        });
        let labels = Labels::from_pairs([("__name__", "a_total")]);
        let series = LoadedSeries { labels, samples: samples.collect() };
        prop_assume!(series.samples.iter().any(|it| !matches!(it.value, SampleValue::Float(v) if is_stale_nan(v))));
        storage.append(&[series]).expect("memory takes everything");
        let expr = parse(&format!("{function}(a_total[{range}ms]{offset})")).expect("parses");
        let start = TimestampMs(start);
        let end = start + DurationMs(step * 7);
        // Start timestamps tell resets as well: with them samples are read.
        let features = Features { start_timestamps: false, ..Features::all() };
        for params in [EvalParams::instant(start), EvalParams::range(start, end, DurationMs(step))] {
            let params = EvalParams { features, ..params };
            let plain = evaluate(&expr, storage.source(), &params, &Budget::default()).expect("evaluates");
            let folding = Folding(storage.source(), run);
            let folded = evaluate(&expr, &folding, &params, &Budget::default()).expect("evaluates");
            prop_assert_eq!(format!("{:?}", folded.value), format!("{:?}", plain.value));
            prop_assert_eq!(folded.infos, plain.infos);
        }
    }
}
