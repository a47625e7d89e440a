//! Where things are in an archive:
//!
//! ```text
//! date=2026-11-21/part-20261121T000000Z-20261122T000000Z-000.parquet
//! _swell/series/20261121T000000Z-20261122T000000Z-0123456789abcdef.index
//! _swell/uploads/20261121T000000Z-20261122T000000Z-0123456789abcdef.json
//! ```
//!
//! The folders are a Hive partitioning, which DuckDB, DataFusion, Spark and pyarrow read as a column more. A name that
//! starts with `_` is none of theirs. In format 1 each file held one metric and stood in a folder `metric=…` of its day.

use jiff::Timestamp;
use swell_model::{TimeRange, TimestampMs};

/// Folder of the lists that make uploads visible.
pub(crate) const UPLOADS: &str = "_swell/uploads";
/// Folder of the indices of series.
const SERIES: &str = "_swell/series";
/// Hive's name for "no value": series without a metric name.
const NO_VALUE: &str = "__HIVE_DEFAULT_PARTITION__";

/// A stretch of time that is archived as a whole; the end does not belong to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Window {
    /// First millisecond.
    pub start: TimestampMs,
    /// The millisecond after the last.
    pub end: TimestampMs,
}

impl Window {
    /// The window as a closed range.
    #[must_use]
    pub const fn range(self) -> TimeRange {
        TimeRange { start_incl: self.start, end_incl: TimestampMs(self.end.0.saturating_sub(1)) }
    }
}

/// Name of the `nr`th Parquet file of a window.
pub(crate) fn part(window: Window, nr: usize) -> String {
    let (start, end) = (compact(window.start), compact(window.end));
    format!("date={}/part-{start}-{end}-{nr:03}.parquet", shown(window.start, "%Y-%m-%d"))
}

/// Name of the index of a window's series; `digest` as in [`upload`].
pub(crate) fn series(window: Window, digest: &str) -> String {
    let (start, end) = (compact(window.start), compact(window.end));
    format!("{SERIES}/{start}-{end}-{}.index", &digest[..DIGEST_DIGITS])
}

/// Name of the list of an upload; `digest` is the SHA-256 of what stands in it, in hexadecimal digits.
pub(crate) fn upload(window: Window, digest: &str) -> String {
    let (start, end) = (compact(window.start), compact(window.end));
    format!("{UPLOADS}/{start}-{end}-{}.json", &digest[..DIGEST_DIGITS])
}

/// Digits of the digest that stand in a list's name.
const DIGEST_DIGITS: usize = 32;

/// The digits of the digest in the name of a list; `None` when it is no list's name.
pub(crate) fn digest_of_upload(name: &str) -> Option<&str> {
    let digest = name.strip_suffix(".json")?.rsplit('-').next()?;
    (digest.len() == DIGEST_DIGITS && digest.bytes().all(|byte| byte.is_ascii_hexdigit()))
        .then_some(digest)
}

/// The metric in the name of a folder `metric=…`; `None` when it is no such folder.
pub(crate) fn metric_of_folder(name: &str) -> Option<String> {
    let escaped = name.strip_prefix("metric=")?;
    if escaped == NO_VALUE {
        return Some(String::new());
    }
    let mut bytes = Vec::with_capacity(escaped.len());
    let mut rest = escaped.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        if *byte != b'%' {
            bytes.push(*byte);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

fn compact(at: TimestampMs) -> String {
    shown(at, "%Y%m%dT%H%M%SZ")
}

/// Times that no calendar has are shown as milliseconds.
fn shown(at: TimestampMs, form: &str) -> String {
    Timestamp::from_millisecond(at.0)
        .map_or_else(|_| at.0.to_string(), |time| time.strftime(form).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    #[test]
    fn files_stand_in_the_folder_of_their_day() {
        let window = Window { start: TimestampMs(20_000 * DAY), end: TimestampMs(20_001 * DAY) };
        assert_eq!(
            part(window, 2),
            "date=2024-10-04/part-20241004T000000Z-20241005T000000Z-002.parquet"
        );
    }

    #[test]
    fn folders_of_metrics_are_read_as_hive_escapes_them() {
        for (metric, folder) in [
            ("up", "metric=up"),
            ("job:rate:5m", "metric=job%3Arate%3A5m"),
            ("a/../b c", "metric=a%2F%2E%2E%2Fb%20c"),
            ("λ", "metric=%CE%BB"),
            ("", "metric=__HIVE_DEFAULT_PARTITION__"),
        ] {
            assert_eq!(metric_of_folder(folder).as_deref(), Some(metric));
        }
    }

    #[test]
    fn a_list_is_named_after_its_content() {
        let window = Window { start: TimestampMs(0), end: TimestampMs(DAY) };
        let digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        let name = upload(window, digest);
        assert_eq!(
            name,
            "_swell/uploads/19700101T000000Z-19700102T000000Z-0123456789abcdef0123456789abcdef.json"
        );
        assert_eq!(digest_of_upload(&name), Some(&digest[..32]));
        assert_eq!(digest_of_upload("_swell/uploads/notes.json"), None);
    }
}
