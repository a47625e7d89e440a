//! OpenMetrics text with a time in each line, written and read.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::{Context, bail};
use swell_cli::CliError;
use swell_exposition::{Entry, Format, Parser};
use swell_model::{
    FloatColumn, Labels, METRIC_NAME, Matcher, SelectError, SelectHints, SeriesData, SeriesIter,
    SeriesSource, TimeRange, TimestampMs, is_stale_nan,
};
use swell_wire::write_sample;

use super::progress::Progress;

/// What was written, and what the format has no form for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) sample_count: u64,
    pub(super) bytes: u64,
    pub(super) histograms_left_out: u64,
    pub(super) markers_left_out: u64,
}

/// Writes all series that one of the selectors matches, metric by metric, and the end mark.
pub(super) fn write(
    source: &dyn SeriesSource,
    selectors: &[Vec<Matcher>],
    range: TimeRange,
    out: &mut dyn Write,
    progress: &mut Progress,
) -> anyhow::Result<Written> {
    let mut done = Written::default();
    let mut metrics = std::collections::BTreeSet::new();
    for matchers in selectors {
        metrics.extend(source.label_values(METRIC_NAME, matchers, range)?);
    }
    let mut line = String::new();
    for metric in metrics {
        let mut series: BTreeMap<Labels, SeriesData> = BTreeMap::new();
        for matchers in selectors {
            let mut wanted = matchers.clone();
            wanted.push(Matcher::equal(METRIC_NAME, metric.as_str()));
            for found in source.select(&wanted, &SelectHints::range(range))? {
                let found = found?;
                series.insert(found.labels.clone(), found);
            }
        }
        for (labels, data) in series {
            done.histograms_left_out += data.histograms.timestamps.len() as u64;
            for (at, value) in data.floats.timestamps.iter().zip(data.floats.values.iter()) {
                if is_stale_nan(*value) {
                    done.markers_left_out += 1;
                    continue;
                }
                line.clear();
                write_sample(&mut line, &labels, *value, None).context("write a line")?;
                line.pop();
                push_seconds(&mut line, *at);
                out.write_all(line.as_bytes()).map_err(CliError::Write)?;
                done.sample_count += 1;
                done.bytes += line.len() as u64;
            }
            progress.tell(|| format!("{metric}: {} samples", done.sample_count));
        }
    }
    out.write_all(b"# EOF\n").map_err(CliError::Write)?;
    done.bytes += 6;
    Ok(done)
}

/// Milliseconds as decimal seconds, exactly.
fn push_seconds(line: &mut String, at_ms: i64) {
    let (sign, ms) =
        if at_ms < 0 { ("-", at_ms.unsigned_abs()) } else { ("", at_ms.unsigned_abs()) };
    line.push_str(&format!(" {sign}{}.{:03}\n", ms / 1000, ms % 1000));
}

/// A text in memory as a source of series: all its samples, by series.
pub(super) struct TextSource {
    series: Vec<SeriesData>,
    range: Option<TimeRange>,
    sample_count: u64,
}

impl TextSource {
    /// Reads a whole file; each sample needs a time, and a fault names its line.
    pub(super) fn read(path: &Path, progress: &mut Progress) -> anyhow::Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("read {}", path.display()))?;
        let mut series: HashMap<Labels, BTreeMap<i64, f64>> = HashMap::new();
        let mut sample_count = 0_u64;
        for entry in Parser::new(&bytes, Format::OpenMetrics) {
            let entry = entry.map_err(|fault| anyhow::anyhow!("{}: {fault}", path.display()))?;
            let Entry::Sample(sample) = entry else { continue };
            let labels = sample
                .series
                .to_labels()
                .with_context(|| format!("{}: a series", path.display()))?;
            let Some(at) = sample.timestamp else {
                bail!("{}: {labels} has a sample without a time", path.display());
            };
            sample_count += 1;
            series.entry(labels).or_default().insert(at.0, sample.value);
            progress.tell(|| format!("{sample_count} samples read"));
        }
        let mut all: Vec<SeriesData> = series
            .into_iter()
            .map(|(labels, samples)| {
                let (times, values): (Vec<i64>, Vec<f64>) = samples.into_iter().unzip();
                let floats =
                    FloatColumn { timestamps: times.into(), values: values.into(), starts: None };
                SeriesData { labels, floats, ..SeriesData::default() }
            })
            .collect();
        all.sort_unstable_by(|a, b| a.labels.cmp(&b.labels));
        let firsts = all.iter().filter_map(|it| it.floats.timestamps.first().copied());
        let lasts = all.iter().filter_map(|it| it.floats.timestamps.last().copied());
        let range = firsts.min().zip(lasts.max()).map(|(first, last)| TimeRange {
            start_incl: TimestampMs(first),
            end_incl: TimestampMs(last),
        });
        Ok(Self { series: all, range, sample_count })
    }

    pub(super) fn range(&self) -> Option<TimeRange> {
        self.range
    }

    pub(super) fn sample_count(&self) -> u64 {
        self.sample_count
    }

    fn matching(&self, matchers: &[Matcher]) -> impl Iterator<Item = &SeriesData> {
        self.series.iter().filter(move |series| {
            matchers.iter().all(|it| it.matches(series.labels.get(&it.name).unwrap_or("")))
        })
    }
}

fn clipped(series: &SeriesData, range: TimeRange) -> Option<SeriesData> {
    let times = &series.floats.timestamps;
    let from = times.partition_point(|at| *at < range.start_incl.0);
    let to = times.partition_point(|at| *at <= range.end_incl.0);
    (from < to).then(|| SeriesData {
        labels: series.labels.clone(),
        floats: FloatColumn {
            timestamps: times[from..to].into(),
            values: series.floats.values[from..to].into(),
            starts: None,
        },
        ..SeriesData::default()
    })
}

impl SeriesSource for TextSource {
    fn select<'a>(
        &'a self,
        matchers: &[Matcher],
        hints: &SelectHints,
    ) -> Result<SeriesIter<'a>, SelectError> {
        let found: Vec<SeriesData> =
            self.matching(matchers).filter_map(|series| clipped(series, hints.range)).collect();
        Ok(Box::new(found.into_iter().map(Ok)))
    }

    fn label_names(
        &self,
        matchers: &[Matcher],
        _range: TimeRange,
    ) -> Result<Vec<String>, SelectError> {
        let names: std::collections::BTreeSet<&str> = self
            .matching(matchers)
            .flat_map(|series| series.labels.iter().map(|(name, _)| name))
            .collect();
        Ok(names.into_iter().map(str::to_owned).collect())
    }

    fn label_values(
        &self,
        name: &str,
        matchers: &[Matcher],
        _range: TimeRange,
    ) -> Result<Vec<String>, SelectError> {
        let values: std::collections::BTreeSet<&str> =
            self.matching(matchers).filter_map(|series| series.labels.get(name)).collect();
        Ok(values.into_iter().map(str::to_owned).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_seconds() {
        for (ms, expected) in [
            (0, " 0.000\n"),
            (1_763_683_200_007, " 1763683200.007\n"),
            (-1500, " -1.500\n"),
            (-7, " -0.007\n"),
        ] {
            let mut line = String::new();
            push_seconds(&mut line, ms);
            assert_eq!(line, expected);
        }
    }
}
