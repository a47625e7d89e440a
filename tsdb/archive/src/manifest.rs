//! The list of an upload: it makes the files of a window visible, all at once.
//!
//! JSON, whose SHA-256 stands in its name: a list that was cut or changed is noticed. Format version 2; in version 1 each file
//! had one metric, named by `metric` in its entry, and there was no index of series.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use swell_model::{TimeRange, TimestampMs};

use crate::layout::{self, Window};
use crate::part::hex;

/// The version this program writes, and the newest it reads.
const VERSION: u32 = 2;

/// What was uploaded for a window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Manifest {
    version: u32,
    start_ms: i64,
    end_ms: i64,
    /// In the order of their names.
    pub(crate) parts: Vec<Part>,
    /// The index of all series; `None` in version 1.
    #[serde(default)]
    pub(crate) series: Option<SeriesFile>,
    /// Names of the lists that this one stands for: their files are not read any more, and go.
    #[serde(default)]
    pub(crate) replaces: Vec<String>,
}

/// The labels of all series of a window, as `swell-index` writes them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SeriesFile {
    /// From the archive's root.
    pub(crate) path: String,
    /// All of it.
    pub(crate) bytes: Segment,
}

/// One Parquet file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Part {
    /// From the archive's root.
    pub(crate) path: String,
    /// Only in version 1, and not after reading.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metric: Option<String>,
    /// Number of samples by metric; the empty one for series without a name.
    #[serde(default)]
    pub(crate) metrics: BTreeMap<String, u64>,
    /// Names of the labels, the metric's not among them.
    pub(crate) labels: Vec<String>,
    pub(crate) size_bytes: u64,
    /// Of the whole file, in hexadecimal digits.
    pub(crate) sha256: String,
    pub(crate) row_groups: Vec<RowGroup>,
    /// From the last row group to the end of the file.
    pub(crate) footer: Segment,
}

/// One row group.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RowGroup {
    #[serde(rename = "series")]
    pub(crate) series_count: u64,
    #[serde(rename = "samples")]
    pub(crate) sample_count: u64,
    pub(crate) first_ms: i64,
    pub(crate) last_ms: i64,
    pub(crate) bytes: Segment,
}

/// A stretch of a file under a checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Segment {
    pub(crate) offset: u64,
    pub(crate) len: u64,
    pub(crate) crc32: u32,
}

impl Segment {
    /// The stretch of a file from `start` to `end`.
    pub(crate) fn between(file: &Bytes, start: u64, end: u64) -> Self {
        let at = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX).min(file.len());
        let crc32 = crc32fast::hash(&file[at(start)..at(end)]);
        Self { offset: start, len: end - start, crc32 }
    }

    /// The rest of a file from `start`.
    pub(crate) fn of(file: &Bytes, start: u64) -> Self {
        Self::between(file, start, file.len() as u64)
    }

    /// The byte after the last.
    pub(crate) const fn end(&self) -> u64 {
        self.offset.saturating_add(self.len)
    }
}

impl Part {
    /// A file with its row groups and what is behind them.
    pub(crate) fn new(
        path: String,
        (metrics, labels): (BTreeMap<String, u64>, Vec<String>),
        (file, sha256): (&Bytes, String),
        row_groups: Vec<RowGroup>,
    ) -> Self {
        let footer = Segment::of(file, row_groups.last().map_or(4, |it| it.bytes.end()));
        let size_bytes = file.len() as u64;
        Self { path, metric: None, metrics, labels, size_bytes, sha256, row_groups, footer }
    }

    /// The only metric of the file; empty when there are several.
    pub(crate) fn only_metric(&self) -> &str {
        let mut metrics = self.metrics.keys();
        metrics.next().filter(|_| metrics.next().is_none()).map_or("", String::as_str)
    }
}

impl RowGroup {
    pub(crate) fn overlaps(&self, range: TimeRange) -> bool {
        self.first_ms <= range.end_incl.0 && range.start_incl.0 <= self.last_ms
    }
}

/// Why a list cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ManifestError {
    /// The bytes are not those that were written.
    #[error("its SHA-256 is not the one in its name: it was changed or cut")]
    Checksum,
    /// A newer program wrote it.
    #[error("it has format version {version}, this program reads up to {VERSION}: use a newer one")]
    Newer {
        /// As written.
        version: u32,
    },
    /// It is not such a list.
    #[error("it is no list of an upload: {what}")]
    Form {
        /// What the parser says.
        what: String,
    },
}

impl Manifest {
    pub(crate) fn new(
        window: Window,
        parts: Vec<Part>,
        series: SeriesFile,
        replaces: Vec<String>,
    ) -> Self {
        let (start_ms, end_ms, series) = (window.start.0, window.end.0, Some(series));
        Self { version: VERSION, start_ms, end_ms, parts, series, replaces }
    }

    /// Whether it is as this program writes it, and not as an earlier one did.
    pub(crate) const fn is_current(&self) -> bool {
        self.version == VERSION
    }

    /// Every file of the upload, its list not among them.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &str> {
        let series = self.series.iter().map(|file| file.path.as_str());
        self.parts.iter().map(|part| part.path.as_str()).chain(series)
    }

    pub(crate) fn window(&self) -> Window {
        Window { start: TimestampMs(self.start_ms), end: TimestampMs(self.end_ms) }
    }

    pub(crate) fn sample_count(&self) -> u64 {
        self.row_groups().map(|group| group.sample_count).sum()
    }

    pub(crate) fn size_bytes(&self) -> u64 {
        self.parts.iter().map(|part| part.size_bytes).sum()
    }

    /// Samples of the metric that has most.
    pub(crate) fn metric_samples_max(&self) -> u64 {
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        for (metric, count) in self.parts.iter().flat_map(|part| &part.metrics) {
            let sum = counts.entry(metric).or_default();
            *sum = sum.saturating_add(*count);
        }
        counts.into_values().max().unwrap_or(0)
    }

    pub(crate) fn row_groups(&self) -> impl Iterator<Item = &RowGroup> {
        self.parts.iter().flat_map(|part| &part.row_groups)
    }

    pub(crate) fn metrics(&self) -> BTreeSet<&str> {
        self.parts.iter().flat_map(|part| part.metrics.keys().map(String::as_str)).collect()
    }

    /// Name and content of the list.
    ///
    /// # Panics
    /// Never: all that it holds can be written as JSON.
    pub(crate) fn encode(&self) -> (String, Bytes) {
        let text = serde_json::to_vec(self).expect("integers and strings are JSON");
        let digest = hex(&Sha256::digest(&text));
        (layout::upload(self.window(), &digest), text.into())
    }

    /// Checks the content of a list against its name.
    pub(crate) fn decode(name: &str, content: &[u8]) -> Result<Self, ManifestError> {
        let digest = hex(&Sha256::digest(content));
        if !layout::digest_of_upload(name).is_some_and(|wanted| digest.starts_with(wanted)) {
            return Err(ManifestError::Checksum);
        }
        let form = |error: serde_json::Error| ManifestError::Form { what: error.to_string() };
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let Version { version } = serde_json::from_slice(content).map_err(form)?;
        if version > VERSION {
            return Err(ManifestError::Newer { version });
        }
        let mut manifest: Self = serde_json::from_slice(content).map_err(form)?;
        for part in &mut manifest.parts {
            let sample_count = part.row_groups.iter().map(|group| group.sample_count).sum();
            part.metrics.extend(part.metric.take().map(|metric| (metric, sample_count)));
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let window = Window { start: TimestampMs(0), end: TimestampMs(7_200_000) };
        let segment = Segment { offset: 4, len: 10, crc32: 7 };
        let part = Part {
            path: "date=1970-01-01/metric=up/part.parquet".to_owned(),
            metric: None,
            metrics: BTreeMap::from([("up".to_owned(), 2)]),
            labels: vec!["job".to_owned()],
            size_bytes: 20,
            sha256: "00".repeat(32),
            row_groups: vec![RowGroup {
                series_count: 1,
                sample_count: 2,
                first_ms: 0,
                last_ms: 1,
                bytes: segment,
            }],
            footer: Segment { offset: 14, len: 6, crc32: 8 },
        };
        let path = "_swell/series/a.index".to_owned();
        let series = SeriesFile { path, bytes: Segment { offset: 0, len: 3, crc32: 9 } };
        Manifest::new(window, vec![part], series, vec!["_swell/uploads/a.json".to_owned()])
    }

    #[test]
    fn a_list_comes_back_and_a_changed_one_does_not() {
        let (name, content) = manifest().encode();
        assert_eq!(Manifest::decode(&name, &content), Ok(manifest()));
        for at in 0..content.len() {
            let mut changed = content.to_vec();
            changed[at] ^= 1;
            assert_eq!(Manifest::decode(&name, &changed), Err(ManifestError::Checksum), "{at}");
            assert_eq!(Manifest::decode(&name, &content[..at]), Err(ManifestError::Checksum));
        }
    }

    #[test]
    fn a_list_of_version_1_is_read() {
        let list = br#"{"version":1,"start_ms":0,"end_ms":7200000,"parts":[{"path":"date=1970-01-01/metric=up/part.parquet",
            "metric":"up","labels":["job"],"size_bytes":20,"sha256":"00","row_groups":[],"footer":{"offset":14,"len":6,"crc32":8}}]}"#;
        let digest = hex(&Sha256::digest(list));
        let window = Window { start: TimestampMs(0), end: TimestampMs(7_200_000) };
        let read = Manifest::decode(&layout::upload(window, &digest), list).expect("readable");
        assert_eq!(read.parts[0].only_metric(), "up");
        assert!(read.series.is_none() && read.replaces.is_empty() && !read.is_current());
    }

    #[test]
    fn a_newer_list_is_told_apart_from_damage() {
        let newer = Manifest { version: VERSION + 1, ..manifest() };
        let (name, content) = newer.encode();
        let refused = Manifest::decode(&name, &content);
        assert_eq!(refused, Err(ManifestError::Newer { version: VERSION + 1 }));
    }
}
