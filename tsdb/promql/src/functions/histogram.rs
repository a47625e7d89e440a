//! Functions of histograms, native ones and classic ones (series with `le` labels).

use rustc_hash::FxHashMap;
use swell_model::{KahanSum, Labels, METRIC_NAME, NativeHistogram, TimestampMs};
use swell_promql_syntax::{Span, format_float_short};

use super::quantile::{
    ClassicBucket, Forced, classic_fraction, classic_quantile, named, native_fraction,
    native_quantile, warn_if_no_quantile,
};
use super::{EvalError, Evaluator, Grid, Node, text_arg};
use crate::annotations::Annotations;
use crate::eval::{Column, Series, merge_same_labels};

/// The function of this name that gives one figure of a native histogram.
pub(super) fn figure_function(name: &str) -> Option<fn(&NativeHistogram) -> f64> {
    Some(match name {
        "histogram_avg" => |histogram| histogram.sum / histogram.count,
        "histogram_count" => |histogram| histogram.count,
        "histogram_sum" => |histogram| histogram.sum,
        "histogram_stddev" => |histogram| variance(histogram).sqrt(),
        "histogram_stdvar" => variance,
        _ => return None,
    })
}

/// Variance of the observations, each taken at the middle of its bucket.
fn variance(histogram: &NativeHistogram) -> f64 {
    let mean = histogram.sum / histogram.count;
    let mut squares = KahanSum::default();
    for bucket in histogram.buckets().into_iter().filter(|bucket| bucket.count != 0.0) {
        let middle = if histogram.uses_custom_buckets() {
            f64::midpoint(bucket.upper, bucket.lower)
        } else if bucket.lower <= 0.0 && bucket.upper >= 0.0 {
            0.0
        } else {
            let size = (bucket.upper * bucket.lower).sqrt();
            if bucket.upper < 0.0 { -size } else { size }
        };
        let delta = middle - mean;
        squares.add(bucket.count * delta * delta);
    }
    (squares.raw() + squares.lost()) / histogram.count
}

/// Maps native histograms to a figure; floats drop out.
pub(super) fn figure(
    ev: &mut Evaluator<'_>,
    node: &Node,
    arg: &Node,
    grid: &Grid,
    figure: fn(&NativeHistogram) -> f64,
) -> Result<Vec<Series>, EvalError> {
    let mut series = ev.vector(arg, grid)?;
    for one in &mut series {
        let mut column = Column::absent(grid.count);
        for step in 0..grid.count {
            if let Some(histogram) = one.column.histogram(step) {
                column.set_float(step, figure(histogram));
            }
        }
        one.column = column;
    }
    series.retain(|one| !one.column.is_empty());
    ev.nameless(series, node)
}

/// The series of a vector, classic buckets gathered to histograms.
struct Histograms {
    series: Vec<Series>,
    /// Labels without `le`, and the buckets' bounds with the index of their series.
    classic: Vec<(Labels, Vec<(f64, usize)>)>,
    /// The classic histogram with the same labels as a series, by the series' index.
    twins: Vec<Option<usize>>,
}

impl Histograms {
    /// Groups series once for all steps; says which are no bucket where they hold floats.
    fn of(ev: &mut Evaluator<'_>, arg: &Node, grid: &Grid) -> Result<Self, EvalError> {
        let series = ev.vector(arg, grid)?;
        let mut classic: Vec<(Labels, Vec<(f64, usize)>)> = Vec::new();
        let mut place: FxHashMap<Labels, usize> = FxHashMap::default();
        for (idx, one) in series.iter().enumerate() {
            if !(0..grid.count).any(|step| one.column.float(step).is_some()) {
                continue;
            }
            let bound = one.labels.get("le").unwrap_or("");
            let Some(upper) = swell_promql_syntax::parse_number(bound) else {
                let name = one.labels.get(METRIC_NAME).unwrap_or("");
                let text =
                    format!("bucket label \"le\" is missing or has a malformed value of {bound:?}");
                ev.annotations.warn(arg.outer, named(&text, name));
                continue;
            };
            let labels = one.labels.filtered(|name| name != "le");
            let at = *place.entry(labels.clone()).or_insert_with(|| {
                classic.push((labels, Vec::new()));
                classic.len() - 1
            });
            classic[at].1.push((upper, idx));
        }
        let twins = series.iter().map(|one| place.get(&one.labels).copied()).collect();
        Ok(Self { series, classic, twins })
    }

    /// The buckets of a classic histogram at a step.
    fn buckets(&self, histogram: usize, step: usize) -> Vec<ClassicBucket> {
        let bounds = self.classic[histogram].1.iter();
        bounds
            .filter_map(|(upper, idx)| {
                let count = self.series[*idx].column.float(step)?;
                Some(ClassicBucket { upper: *upper, count })
            })
            .collect()
    }

    /// Whether a step has both a native histogram and classic buckets of the same labels.
    fn conflicts(&self, series: usize, step: usize) -> bool {
        self.twins[series].is_some_and(|twin| !self.buckets(twin, step).is_empty())
    }

    /// Maps native histograms and classic ones to a float each.
    fn map(
        &self,
        ev: &mut Evaluator<'_>,
        arg: &Node,
        grid: &Grid,
        mut native: impl FnMut(&mut Annotations, usize, &NativeHistogram, &str) -> f64,
        mut classic: impl FnMut(usize, &mut Vec<ClassicBucket>, &str) -> f64,
    ) -> Vec<Series> {
        // Where names are dropped at once, what is remarked of values knows of none, as in Prometheus.
        let keeps_names = ev.params.features.delayed_name_removal;
        let mut result = Vec::new();
        let mut blocked: FxHashMap<(usize, usize), ()> = FxHashMap::default();
        for (idx, one) in self.series.iter().enumerate() {
            if !one.column.has_histograms() {
                continue;
            }
            let name = one.labels.get(METRIC_NAME).unwrap_or("");
            let mut column = Column::absent(grid.count);
            for step in 0..grid.count {
                let Some(histogram) = one.column.histogram(step) else { continue };
                if self.conflicts(idx, step) {
                    let text = "vector contains a mix of classic and native histograms";
                    ev.annotations.warn(arg.outer, named(text, name));
                    if let Some(twin) = self.twins[idx] {
                        blocked.insert((twin, step), ());
                    }
                    continue;
                }
                let known = if keeps_names { name } else { "" };
                column.set_float(step, native(&mut ev.annotations, step, histogram, known));
            }
            push(ev, &mut result, one.labels.clone(), column);
        }
        for (idx, (labels, _)) in self.classic.iter().enumerate() {
            let name = labels.get(METRIC_NAME).filter(|_| keeps_names).unwrap_or("").to_owned();
            let mut column = Column::absent(grid.count);
            for step in 0..grid.count {
                let mut buckets = self.buckets(idx, step);
                if buckets.is_empty() || blocked.contains_key(&(idx, step)) {
                    continue;
                }
                column.set_float(step, classic(step, &mut buckets, &name));
            }
            push(ev, &mut result, labels.clone(), column);
        }
        result
    }
}

fn push(ev: &Evaluator<'_>, result: &mut Vec<Series>, labels: Labels, column: Column) {
    if column.is_empty() {
        return;
    }
    let mut series = Series { labels, drop_name: false, column };
    ev.mark_nameless(&mut series);
    result.push(series);
}

/// Gathers, per metric, where counts had to be forced to rise.
#[derive(Default)]
struct ForcedNotes(std::collections::BTreeMap<String, ForcedNote>);

struct ForcedNote {
    forced: Forced,
    samples: usize,
    first_ms: i64,
    last_ms: i64,
}

impl ForcedNotes {
    fn add(&mut self, metric_name: &str, forced: Forced, at_ms: i64) {
        let note = self.0.entry(metric_name.to_owned()).or_insert(ForcedNote {
            forced,
            samples: 0,
            first_ms: at_ms,
            last_ms: at_ms,
        });
        note.samples += 1;
        note.forced.bucket_min = note.forced.bucket_min.min(forced.bucket_min);
        note.forced.bucket_max = note.forced.bucket_max.max(forced.bucket_max);
        note.forced.difference_max = note.forced.difference_max.max(forced.difference_max);
        note.first_ms = note.first_ms.min(at_ms);
        note.last_ms = note.last_ms.max(at_ms);
    }

    fn annotate(self, annotations: &mut Annotations, span: Span) {
        for (name, note) in self.0 {
            let text = named(
                "input to histogram_quantile needed to be fixed for monotonicity (see https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)",
                &name,
            );
            let ForcedNote { forced, samples, first_ms, last_ms } = note;
            let text = format!(
                "{text}, from buckets {} to {}, with a max diff of {:.2}, over {samples} samples from {} to {}",
                format_float_short(forced.bucket_min),
                format_float_short(forced.bucket_max),
                forced.difference_max,
                TimestampMs(first_ms).as_seconds(),
                TimestampMs(last_ms).as_seconds(),
            );
            annotations.info(span, text);
        }
    }
}

/// `histogram_quantile(q, v)`.
pub(super) fn quantile(
    ev: &mut Evaluator<'_>,
    node: &Node,
    args: &[Node],
    grid: &Grid,
) -> Result<Vec<Series>, EvalError> {
    let wanted = ev.scalar(&args[0], grid)?;
    let spans = Spans { quantile: args[0].outer, native: args[0].outer, vector: args[1].outer };
    for value in &wanted {
        warn_if_no_quantile(&mut ev.annotations, spans.quantile, *value);
    }
    let histograms = Histograms::of(ev, &args[1], grid)?;
    let result = quantile_series(ev, &args[1], grid, &histograms, &wanted, &spans);
    merge_same_labels(result, node)
}

/// Where the arguments stand that remarks refer to.
struct Spans {
    quantile: Span,
    native: Span,
    vector: Span,
}

fn quantile_series(
    ev: &mut Evaluator<'_>,
    arg: &Node,
    grid: &Grid,
    histograms: &Histograms,
    wanted: &[f64],
    spans: &Spans,
) -> Vec<Series> {
    let mut forced = ForcedNotes::default();
    let result = histograms.map(
        ev,
        arg,
        grid,
        |annotations, step, histogram, name| {
            native_quantile(wanted[step], histogram, annotations, name, spans.native)
        },
        |step, buckets, name| {
            let (value, changed) = classic_quantile(wanted[step], buckets);
            if let Some(changed) = changed {
                forced.add(name, changed, grid.at(step));
            }
            value
        },
    );
    forced.annotate(&mut ev.annotations, spans.vector);
    result
}

/// `histogram_quantiles(v, label, q…)`: one series per quantile.
pub(super) fn quantiles(
    ev: &mut Evaluator<'_>,
    node: &Node,
    args: &[Node],
    grid: &Grid,
) -> Result<Vec<Series>, EvalError> {
    let label = text_arg(args, 1)?;
    let histograms = Histograms::of(ev, &args[0], grid)?;
    let mut result = Vec::new();
    for arg in &args[2..] {
        let wanted = ev.scalar(arg, grid)?;
        let spans = Spans { quantile: arg.outer, native: args[0].outer, vector: args[0].outer };
        for value in &wanted {
            warn_if_no_quantile(&mut ev.annotations, spans.quantile, *value);
        }
        for one in quantile_series(ev, &args[0], grid, &histograms, &wanted, &spans) {
            // A quantile that differs between steps names a series of its own for each of its values.
            ev.budget.check_cancelled()?;
            let mut by_value: Vec<(u64, Series)> = Vec::new();
            for (step, wanted) in wanted.iter().enumerate() {
                let Some(value) = one.column.float(step) else { continue };
                let bits = wanted.to_bits();
                let at = by_value.iter().position(|(key, _)| *key == bits).unwrap_or_else(|| {
                    let mut builder = one.labels.to_builder();
                    builder.set(label, &open_metrics_float(*wanted));
                    let column = Column::absent(grid.count);
                    by_value.push((
                        bits,
                        Series { labels: builder.build(), drop_name: one.drop_name, column },
                    ));
                    by_value.len() - 1
                });
                ev.budget.check_columns(result.len() + by_value.len(), grid.count)?;
                by_value[at].1.column.set_float(step, value);
            }
            result.extend(by_value.into_iter().map(|(_, series)| series));
        }
    }
    merge_same_labels(result, node)
}

/// Prints a float as OpenMetrics does: whole numbers with `.0`.
fn open_metrics_float(value: f64) -> String {
    let text = format_float_short(value);
    let whole = value.is_finite() && !text.contains(['.', 'e']);
    if whole { format!("{text}.0") } else { text }
}

/// `histogram_fraction(lower, upper, v)`.
pub(super) fn fraction(
    ev: &mut Evaluator<'_>,
    node: &Node,
    args: &[Node],
    grid: &Grid,
) -> Result<Vec<Series>, EvalError> {
    let lower = ev.scalar(&args[0], grid)?;
    let upper = ev.scalar(&args[1], grid)?;
    let histograms = Histograms::of(ev, &args[2], grid)?;
    let span = args[0].outer;
    let result = histograms.map(
        ev,
        &args[2],
        grid,
        |annotations, step, histogram, name| {
            native_fraction(lower[step], upper[step], histogram, annotations, name, span)
        },
        |step, buckets, _| classic_fraction(lower[step], upper[step], buckets),
    );
    merge_same_labels(result, node)
}
