//! Uploads of a day become one, through failures anywhere; those of earlier formats are read, and written anew; labels are
//! answered from indices.

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::{MemorySource, archive_in, day, files, same, sample_series};
use sha2::{Digest as _, Sha256};
use swell_archive::{Archive, UploadConfig, UploadError, Uploader};
use swell_model::{
    DurationMs, FloatColumn, Labels, Matcher, SeriesData, SeriesSource as _, TimeRange, TimestampMs,
};

const ALL_FILES: [&str; 3] = ["parquet", "json", "index"];

fn uploader(archive: &Arc<Archive>, hours: i64) -> Uploader {
    let config = UploadConfig { after: DurationMs(1), span: DurationMs(hours * 3_600_000) };
    Uploader::new(archive.clone(), config)
}

/// The first day in four windows and half of the second in two.
fn upload(folder: &Path) -> (MemorySource, TimeRange) {
    let source = MemorySource(sample_series());
    let archive = archive_in(folder);
    let noon = TimestampMs(day(1).0 + 12 * 3_600_000);
    let local = TimeRange { start_incl: day(0), end_incl: TimestampMs(noon.0 - 1) };
    let report = uploader(&archive, 6).run(&source, local, noon, day(5)).expect("uploaded");
    assert_eq!(report.window_count, 6);
    (source, local)
}

fn read(archive: &Archive) -> Vec<SeriesData> {
    archive.read(&[], TimeRange::ALL, false).expect("readable")
}

#[test]
fn a_day_in_pieces_becomes_one_upload() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, local) = upload(folder.path());
    // Knows the pieces, and no later list.
    let stale = archive_in(folder.path());
    stale.refresh().expect("listed");
    let for_names = archive_in(folder.path());
    for_names.refresh().expect("listed");
    let for_values = archive_in(folder.path());
    for_values.refresh().expect("listed");
    let archive = archive_in(folder.path());
    let report = uploader(&archive, 6).merge().expect("merged");
    assert_eq!((report.source_count, report.merged_count), (4, 1));
    assert!(report.bytes_after < report.bytes_before);
    same(read(&archive), source.within(local));
    assert_eq!(archive.windows().len(), 3);
    same(read(&stale), source.within(local));
    // Questions about labels come upon the removed indices, and list again.
    let matchers = [Matcher::equal("job", "node")];
    let values = for_values.label_values("instance", &matchers, local).expect("listed again");
    assert_eq!(values.expect("few"), ["a", "b"]);
    let names = for_names.label_names(&matchers, local).expect("listed again");
    assert_eq!(names, source.label_names(&matchers, local).expect("in memory"));
    let names = files(folder.path(), &ALL_FILES);
    assert_eq!(names.len(), 9, "a file, an index and a list of each: {names:?}");
    let fresh = archive_in(folder.path());
    fresh.refresh().expect("listed");
    same(read(&fresh), source.within(local));

    let idle = uploader(&archive, 6).merge().expect("nothing to do");
    assert_eq!(idle.merged_count, 0);
    // A merged day is not archived again.
    let again = uploader(&archive, 6).run(&source, local, day(1), day(5)).expect("uploaded");
    assert_eq!(again.window_count, 0);
}

#[test]
fn a_merge_cut_short_loses_and_doubles_nothing() {
    let template = tempfile::tempdir().expect("a folder");
    let (source, local) = upload(template.path());
    let mut cut = 0;
    loop {
        let folder = tempfile::tempdir().expect("a folder");
        copy(template.path(), folder.path());
        let (archive, fault) = common::failing_archive(folder.path(), cut);
        let outcome = uploader(&archive, 6).merge();
        let reader = archive_in(folder.path());
        reader.refresh().expect("listed");
        same(read(&reader), source.within(local));
        same(read(&archive), source.within(local));
        fault.heal();
        uploader(&archive, 6).merge().expect("the store works again");
        same(read(&archive), source.within(local));
        assert_eq!(files(folder.path(), &ALL_FILES).len(), 9, "cut after {cut} writes");
        if outcome.is_ok() {
            break;
        }
        cut += 1;
    }
    assert!(cut >= 3 + 4 * 3, "{cut} writes and deletions");
}

/// Two days in two windows each.
fn upload_halves(folder: &Path) -> (MemorySource, TimeRange) {
    let source = MemorySource(sample_series());
    let local = TimeRange { start_incl: day(0), end_incl: TimestampMs(day(2).0 - 1) };
    let report = uploader(&archive_in(folder), 12).run(&source, local, day(2), day(5));
    assert_eq!(report.expect("uploaded").window_count, 4);
    (source, local)
}

#[test]
fn a_damaged_upload_keeps_no_other_from_being_merged() {
    type Harm = fn(&Path);
    let changed: Harm = |path| {
        let mut bytes = fs::read(path).expect("readable");
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(path, bytes).expect("written");
    };
    // The store gives no such bytes, as if it were down.
    let cut: Harm = |path| fs::write(path, &fs::read(path).expect("readable")[..9]).expect("cut");
    let gone: Harm = |path| fs::remove_file(path).expect("removed");
    for harm in [changed, cut, gone] {
        let folder = tempfile::tempdir().expect("a folder");
        let (source, _) = upload_halves(folder.path());
        harm(&files(folder.path(), &["parquet"])[0]);
        let archive = archive_in(folder.path());
        let error = uploader(&archive, 12).merge().expect_err("the first day is damaged");
        assert_eq!((error.failed_count, error.report.merged_count), (1, 1), "{error:?}");
        assert_eq!(archive.windows().len(), 3, "the second day is merged, the first stays");
        let second = TimeRange { start_incl: day(1), end_incl: TimestampMs(day(2).0 - 1) };
        same(archive.read(&[], second, false).expect("readable"), source.within(second));
    }
}

#[test]
fn a_merge_with_fewer_samples_than_the_lists_tell_replaces_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let (source, local) = upload_halves(folder.path());
    let list = files(folder.path(), &["json"]).remove(0);
    let mut content: serde_json::Value =
        serde_json::from_slice(&fs::read(&list).expect("readable")).expect("JSON");
    let samples = &mut content["parts"][0]["row_groups"][0]["samples"];
    *samples = (samples.as_u64().expect("a number") + 1).into();
    let text = serde_json::to_vec(&content).expect("JSON");
    let digest: String = Sha256::digest(&text).iter().map(|byte| format!("{byte:02x}")).collect();
    let name = list.file_name().expect("a name").to_string_lossy().into_owned();
    let (window, _) = name.rsplit_once('-').expect("a digest");
    fs::write(list.with_file_name(format!("{window}-{}.json", &digest[..32])), text).expect("made");
    fs::remove_file(&list).expect("removed");

    let archive = archive_in(folder.path());
    let error = uploader(&archive, 12).merge().expect_err("a sample is missing");
    assert!(matches!(*error.first, UploadError::Count { .. }), "{error:?}");
    assert_eq!((error.failed_count, error.report.merged_count), (1, 1));
    let fresh = archive_in(folder.path());
    fresh.refresh().expect("listed");
    assert_eq!(fresh.windows().len(), 3, "both halves of the first day are still there");
    same(read(&fresh), source.within(local));
}

fn copy(from: &Path, to: &Path) {
    for path in files(from, &ALL_FILES) {
        let target = to.join(path.strip_prefix(from).expect("inside"));
        fs::create_dir_all(target.parent().expect("a folder")).expect("made");
        fs::copy(&path, target).expect("copied");
    }
}

#[test]
fn an_archive_of_version_1_is_read_and_written_anew() {
    let folder = tempfile::tempdir().expect("a folder");
    copy(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/v1")), folder.path());
    let mut series = sample_series();
    for it in &mut series {
        // Version 1 had no starts.
        (it.floats.starts, it.histograms.starts) = (None, None);
    }
    let source = MemorySource(series);
    let local = TimeRange { start_incl: day(0), end_incl: TimestampMs(day(2).0 - 1) };
    let archive = archive_in(folder.path());
    archive.refresh().expect("listed");
    same(read(&archive), source.within(local));
    let one = [Matcher::equal("__name__", "up"), Matcher::equal("instance", "a")];
    assert_eq!(archive.read(&one, local, false).expect("readable").len(), 1);
    let values = archive.label_values("instance", &[], TimeRange::ALL).expect("readable");
    assert_eq!(values.expect("few files"), ["a", "b"]);

    let report = uploader(&archive, 24).merge().expect("merged");
    assert_eq!((report.source_count, report.merged_count), (3, 2), "two halves and a day");
    same(read(&archive), source.within(local));
    let left = files(folder.path(), &ALL_FILES);
    assert_eq!(left.len(), 6, "{left:?}");
    assert!(left.iter().all(|path| !path.display().to_string().contains("metric=")), "{left:?}");
}

#[test]
fn labels_are_answered_without_reading_samples() {
    let folder = tempfile::tempdir().expect("a folder");
    let times: Arc<[i64]> = (0..100).map(|nr| day(0).0 + nr * 60_000).collect();
    let one = |nr: usize| SeriesData {
        labels: Labels::from_pairs([
            ("__name__", format!("metric_{nr}")),
            ("pod", format!("pod-{}", nr % 7)),
            (if nr.is_multiple_of(2) { "even" } else { "odd" }, "yes".to_owned()),
        ]),
        floats: FloatColumn {
            timestamps: times.clone(),
            values: times.iter().map(|at| *at as f64).collect(),
            starts: None,
        },
        ..SeriesData::default()
    };
    let mut series: Vec<SeriesData> = (0..700).map(one).collect();
    series.sort_by(|a, b| a.labels.cmp(&b.labels));
    let source = MemorySource(series);
    let (archive, fault) = common::failing_archive(folder.path(), usize::MAX);
    let local = TimeRange { start_incl: day(0), end_incl: TimestampMs(day(1).0 - 1) };
    uploader(&archive, 24).run(&source, local, day(1), day(5)).expect("uploaded");
    assert_eq!(files(folder.path(), &["parquet"]).len(), 1, "small metrics share a file");

    let before = fault.read_count();
    let values = |name: &str, matchers: &[Matcher]| {
        archive.label_values(name, matchers, TimeRange::ALL).expect("readable").expect("small")
    };
    assert_eq!(values("pod", &[]).len(), 7);
    assert_eq!(values("pod", &[Matcher::equal("__name__", "metric_12")]), ["pod-5"]);
    let even = Matcher::equal("even", "yes");
    assert_eq!(values("__name__", &[even.clone(), Matcher::equal("pod", "pod-3")]).len(), 50);
    let names = archive.label_names(&[even], TimeRange::ALL).expect("readable");
    assert_eq!(names, ["__name__", "even", "pod"]);
    assert_eq!(fault.read_count() - before, 1, "the index, once");
}
