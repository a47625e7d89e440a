//! From points to the bytes of a request.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use rustc_hash::FxHashMap;
use swell_model::{Exemplar, Labels, METRIC_NAME, MetricMetadata};
use swell_wire::remote_write::{
    Message, RequestV1, RequestV2, Sample, SentHistogram, SeriesContent,
};

use crate::point::{Counts, Point, Series, SeriesLabels, Value};

/// Endings of a family's series, which are not part of its name.
const FAMILY_SUFFIXES: [&str; 8] =
    ["_bucket", "_count", "_sum", "_total", "_created", "_info", "_gcount", "_gsum"];

/// What is known of metric families, by name.
pub(crate) type Families = BTreeMap<String, MetricMetadata>;

/// How points become a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Encoding<'a> {
    /// Which message.
    pub(crate) message: Message,
    /// Older points are left out, in milliseconds.
    pub(crate) oldest_ms: Option<i64>,
    /// What 2.0 says of metrics.
    pub(crate) families: &'a Families,
}

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Encoded {
    /// The message, packed by snappy; empty when there is nothing to send.
    pub(crate) body: Bytes,
    /// What it holds.
    pub(crate) counts: Counts,
    /// What was too old.
    pub(crate) too_old: Counts,
    /// Exemplars without a sample beside them, for which 2.0 has no place.
    pub(crate) lone_exemplars: u64,
    /// The newest time in it, in milliseconds.
    pub(crate) newest_ms: Option<i64>,
}

/// What a group's points have.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Floats,
    Histograms,
    Exemplars,
}

/// Points of one series that stand together in a request: of one kind, since receivers take floats before histograms
/// whatever their times.
#[derive(Clone, Copy)]
struct Group {
    idx: u32,
    kind: Kind,
}

/// Makes a request of points, in their order by series.
pub(crate) fn encode(points: &[Point], encoding: &Encoding<'_>) -> Encoded {
    let mut encoded = Encoded::default();
    let kept =
        |point: &&Point| encoding.oldest_ms.is_none_or(|oldest| point.timestamp_ms >= oldest);
    let mut groups: FxHashMap<*const Series, Group> = FxHashMap::default();
    let mut grouped: Vec<(u32, &Point)> = Vec::with_capacity(points.len());
    let mut group_count = 0;
    for point in points {
        if !kept(&point) {
            encoded.too_old.add(point);
            continue;
        }
        let kind = match point.value {
            Value::Float(_) => Kind::Floats,
            Value::Histogram(_) => Kind::Histograms,
            Value::Absent => Kind::Exemplars,
        };
        let known = groups.get(&Arc::as_ptr(&point.series)).copied();
        let fits = known.filter(|group| group.kind == kind || kind == Kind::Exemplars);
        if fits.is_none() && kind == Kind::Exemplars && encoding.message == Message::V2 {
            encoded.lone_exemplars += point.exemplars.as_ref().map_or(0, |some| some.len() as u64);
            continue;
        }
        let group = fits.unwrap_or_else(|| {
            group_count += 1;
            Group { idx: group_count - 1, kind }
        });
        groups.insert(Arc::as_ptr(&point.series), group);
        grouped.push((group.idx, point));
        encoded.counts.add(point);
        encoded.newest_ms = encoded.newest_ms.max(Some(point.timestamp_ms));
    }
    if grouped.is_empty() {
        return encoded;
    }
    // Stable, so that points of a series keep their order; nothing to do where each series has one point.
    if !grouped.is_sorted_by_key(|(group, _)| *group) {
        grouped.sort_by_key(|(group, _)| *group);
    }
    let message = match encoding.message {
        Message::V1 => message_v1(&grouped),
        Message::V2 => message_v2(&grouped, encoding.families),
    };
    let packed = snap::raw::Encoder::new().compress_vec(&message);
    let packed = packed.expect("a request is far below the four gigabytes that snappy takes");
    encoded.body = packed.into();
    encoded
}

/// Points of one group, by kind.
#[derive(Default)]
struct Parts<'p> {
    samples: Vec<Sample>,
    histograms: Vec<SentHistogram<'p>>,
    exemplars: Vec<&'p Exemplar>,
}

impl<'p> Parts<'p> {
    fn collect(&mut self, points: &[(u32, &'p Point)]) {
        self.samples.clear();
        self.histograms.clear();
        self.exemplars.clear();
        for (_, point) in points {
            let (timestamp_ms, start_ms) = (point.timestamp_ms, point.start_ms);
            match &point.value {
                Value::Float(value) => {
                    self.samples.push(Sample { timestamp_ms, value: *value, start_ms });
                }
                Value::Histogram(value) => {
                    self.histograms.push(SentHistogram { timestamp_ms, start_ms, value });
                }
                Value::Absent => {}
            }
            self.exemplars.extend(point.exemplars.iter().flatten());
        }
    }

    fn content(&self) -> SeriesContent<'_, 'p> {
        SeriesContent {
            samples: &self.samples,
            histograms: &self.histograms,
            exemplars: &self.exemplars,
        }
    }
}

fn message_v1(grouped: &[(u32, &Point)]) -> Vec<u8> {
    let (mut request, mut parts) = (RequestV1::default(), Parts::default());
    for group in grouped.chunk_by(|a, b| a.0 == b.0) {
        let SeriesLabels::V1(labels) = &group[0].1.series.labels else {
            unreachable!("the series of a queue are made for its message")
        };
        parts.collect(group);
        request.put_series(labels, &parts.content());
    }
    request.finish()
}

fn message_v2(grouped: &[(u32, &Point)], families: &Families) -> Vec<u8> {
    let (mut request, mut parts) = (RequestV2::default(), Parts::default());
    for group in grouped.chunk_by(|a, b| a.0 == b.0) {
        let SeriesLabels::V2(labels) = &group[0].1.series.labels else {
            unreachable!("the series of a queue are made for its message")
        };
        parts.collect(group);
        request.put_series(labels, &parts.content(), family_of(labels, families));
    }
    request.finish()
}

/// What is known of a series' family: under its own name, or under that without the ending of a classic histogram,
/// summary or counter.
fn family_of<'f>(labels: &Labels, families: &'f Families) -> Option<&'f MetricMetadata> {
    if families.is_empty() {
        return None;
    }
    let name = labels.get(METRIC_NAME)?;
    families.get(name).or_else(|| {
        let stems = FAMILY_SUFFIXES.iter().filter_map(|suffix| name.strip_suffix(suffix));
        stems.filter_map(|stem| families.get(stem)).next()
    })
}

#[cfg(test)]
mod tests;
