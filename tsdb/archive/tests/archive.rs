//! What goes into an archive comes back, bit for bit; half uploads, damage and failing stores.

mod common;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::{MemorySource, archive_in, day, files, same, sample_series};
use swell_archive::{Archive, ReadError, Store, UploadConfig, UploadError, Uploader};
use swell_env::{Clock, ManualClock, Monotonic};
use swell_model::{
    DurationMs, MatchOp, Matcher, SelectHints, SeriesSource, TimeRange, TimestampMs,
};

const DAY: DurationMs = DurationMs(86_400_000);
const AFTER: DurationMs = DurationMs(3_600_000);

fn uploader(archive: &Arc<Archive>) -> Uploader {
    Uploader::new(archive.clone(), UploadConfig { after: AFTER, span: DAY })
}

#[test]
fn sealed_days_go_out_and_come_back_bit_for_bit() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = MemorySource(sample_series());
    let archive = archive_in(folder.path());
    let local = TimeRange { start_incl: day(0), end_incl: TimestampMs(day(3).0 - 1) };
    let mut uploader = uploader(&archive);
    let report =
        uploader.run(&source, local, day(3), TimestampMs(day(2).0 + AFTER.0)).expect("uploaded");
    assert_eq!(report.window_count, 2, "the third day is not over for long enough");
    assert_eq!(report.hold_from, day(2), "and must stay");

    let archived = TimeRange { start_incl: day(0), end_incl: TimestampMs(day(2).0 - 1) };
    same(archive.read(&[], archived, false).expect("readable"), source.within(archived));
    // Another process sees the same.
    let again = archive_in(folder.path());
    again.refresh().expect("listed");
    same(again.read(&[], TimeRange::ALL, false).expect("readable"), source.within(archived));
    assert_eq!(again.totals().0, report.sample_count);

    // Asked again there is nothing to do, and later the third day.
    let idle = uploader.run(&source, local, day(3), TimestampMs(day(2).0 + AFTER.0));
    assert_eq!(idle.expect("uploaded").window_count, 0);
    let last = uploader.run(&source, local, day(3), day(4)).expect("uploaded");
    assert_eq!(last.window_count, 1);
    same(archive.read(&[], TimeRange::ALL, false).expect("readable"), source.within(local));
}

#[test]
fn a_window_that_was_empty_goes_out_once_it_has_samples() {
    let folder = tempfile::tempdir().expect("a folder");
    let archive = archive_in(folder.path());
    let local = TimeRange { start_incl: day(0), end_incl: TimestampMs(day(3).0 - 1) };
    let second = TimeRange { start_incl: day(1), end_incl: TimestampMs(day(2).0 - 1) };
    let whole = MemorySource(sample_series());
    let outside = |range| MemorySource(whole.within(range));
    let first = outside(TimeRange { start_incl: day(0), end_incl: TimestampMs(day(1).0 - 1) });
    let mut uploader = uploader(&archive);
    let report = uploader.run(&first, local, day(3), day(4)).expect("uploaded");
    assert_eq!((report.window_count, report.hold_from), (1, local.end_incl), "two have none");
    // An import brings what was missing.
    let report = uploader.run(&whole, local, day(2), day(4)).expect("uploaded");
    assert_eq!((report.window_count, report.hold_from), (1, day(2)), "the third must stay");
    same(archive.read(&[], second, false).expect("readable"), whole.within(second));
}

#[test]
fn reads_are_pruned_and_still_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = MemorySource(sample_series());
    let archive = archive_in(folder.path());
    let local = TimeRange { start_incl: day(0), end_incl: TimestampMs(day(3).0 - 1) };
    uploader(&archive).run(&source, local, day(3), day(4)).expect("uploaded");
    let matcher = |name: &str, op, value: &str| Matcher::new(name, op, value).expect("valid");
    let range = TimeRange {
        start_incl: TimestampMs(day(1).0 - 20_000_000),
        end_incl: TimestampMs(day(1).0 + 20_000_000),
    };
    for matchers in [
        vec![Matcher::equal("__name__", "requests_total")],
        vec![Matcher::equal("instance", "b")],
        vec![Matcher::equal("instance", "nowhere")],
        vec![matcher("__name__", MatchOp::Regex, "req.*|odd.*"), Matcher::equal("value", "7")],
        vec![matcher("Code", MatchOp::NotEqual, "")],
        vec![matcher("__name__", MatchOp::NotRegex, ".+")],
        vec![matcher("code", MatchOp::NotEqual, "200"), matcher("job", MatchOp::Regex, "n.*")],
    ] {
        let expected: Vec<_> = source
            .within(range)
            .into_iter()
            .filter(|it| matchers.iter().all(|m| m.matches(it.labels.get(&m.name).unwrap_or(""))))
            .collect();
        same(archive.read(&matchers, range, false).expect("readable"), expected.clone());
        let names = archive.read(&matchers, range, true).expect("readable");
        let expected: Vec<_> = expected.into_iter().map(|it| it.labels).collect();
        assert_eq!(names.into_iter().map(|it| it.labels).collect::<Vec<_>>(), expected);
    }
    let values = |name: &str| SeriesSource::label_values(&*archive, name, &[], TimeRange::ALL);
    assert_eq!(values("instance").expect("few files"), ["a", "b"]);
    assert_eq!(
        values("__name__").expect("listed"),
        ["latency_seconds", "odd:name/with space", "requests_total", "up"]
    );
    let names = archive.label_names(&[Matcher::equal("__name__", "up")], TimeRange::ALL);
    assert_eq!(names.expect("listed"), ["__name__", "instance", "job"]);
    let limited = SelectHints { limit: 2, ..SelectHints::range(TimeRange::ALL) };
    assert_eq!(archive.select(&[], &limited).expect("readable").count(), 2);
}

#[test]
fn an_upload_cut_short_is_invisible_and_is_done_again() {
    let whole = tempfile::tempdir().expect("a folder");
    let source = MemorySource(sample_series());
    let local = TimeRange { start_incl: day(0), end_incl: TimestampMs(day(1).0 - 1) };
    let archive = archive_in(whole.path());
    uploader(&archive).run(&source, local, day(1), day(2)).expect("uploaded");
    let writes = files(whole.path(), &["parquet", "json", "index"]).len();
    for cut in 0..writes {
        let folder = tempfile::tempdir().expect("a folder");
        let (archive, fault) = common::failing_archive(folder.path(), cut);
        let error =
            uploader(&archive).run(&source, local, day(1), day(2)).expect_err("the store fails");
        assert!(matches!(error, UploadError::Store(_)), "{error:?}");
        let reader = archive_in(folder.path());
        reader.refresh().expect("listed");
        assert!(reader.windows().is_empty(), "cut after {cut} writes");
        assert!(reader.read(&[], TimeRange::ALL, false).expect("readable").is_empty());
        fault.heal();
        let report = uploader(&archive).run(&source, local, day(1), day(2)).expect("uploaded");
        assert_eq!(report.window_count, 1);
        same(archive.read(&[], TimeRange::ALL, false).expect("readable"), source.within(local));
    }
}

#[test]
fn what_comes_back_changed_is_not_taken_for_uploaded() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = MemorySource(sample_series());
    let local = TimeRange { start_incl: day(0), end_incl: TimestampMs(day(1).0 - 1) };
    let (archive, fault) = common::failing_archive(folder.path(), usize::MAX);
    fault.change_writes();
    let error = uploader(&archive).run(&source, local, day(1), day(2)).expect_err("it differs");
    assert!(matches!(error, UploadError::Differs { .. }), "{error:?}");
    assert!(archive.windows().is_empty(), "so local samples stay");
}

#[test]
fn every_changed_byte_is_found_and_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = MemorySource(sample_series());
    let local = TimeRange { start_incl: day(0), end_incl: TimestampMs(day(1).0 - 1) };
    let archive = archive_in(folder.path());
    uploader(&archive).run(&source, local, day(1), day(2)).expect("uploaded");
    let mut trials = 0;
    for path in files(folder.path(), &["parquet"]) {
        let bytes = fs::read(&path).expect("readable");
        // The first four bytes are a magic number that no read looks at.
        for at in (4..bytes.len()).step_by(bytes.len() / 120 + 1) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(&path, &changed).expect("writable");
            expect_damage(folder.path(), &path);
            fs::write(&path, &bytes[..at]).expect("writable");
            expect_damage(folder.path(), &path);
            trials += 2;
        }
        fs::write(&path, &bytes).expect("writable");
    }
    assert!(trials > 100, "{trials} trials");
    for path in files(folder.path(), &["index"]) {
        let bytes = fs::read(&path).expect("readable");
        for at in (0..bytes.len()).step_by(bytes.len() / 50 + 1) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(&path, &changed).expect("writable");
            let archive = archive_in(folder.path());
            archive.refresh().expect("the lists are whole");
            let error = archive.label_values("job", &[], TimeRange::ALL).expect_err("found");
            assert!(matches!(error, ReadError::Damaged { .. }), "{error}");
        }
        fs::write(&path, &bytes).expect("writable");
    }
    for path in files(folder.path(), &["json"]) {
        let bytes = fs::read(&path).expect("readable");
        for at in (0..bytes.len()).step_by(bytes.len() / 50 + 1) {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            fs::write(&path, &changed).expect("writable");
            let error = archive_in(folder.path()).refresh().expect_err("found").to_string();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            assert!(error.contains(&name), "{error}");
        }
        fs::write(&path, &bytes).expect("writable");
    }
}

fn expect_damage(folder: &Path, path: &Path) {
    let archive = archive_in(folder);
    archive.refresh().expect("the lists are whole");
    let name = path.file_name().expect("a name").to_string_lossy().into_owned();
    match archive.read(&[], TimeRange::ALL, false) {
        Err(ReadError::Damaged { object, .. }) => assert!(object.ends_with(&name), "{object}"),
        // A file that ends early: the store has no such bytes to give.
        Err(ReadError::Unreachable { source: Some(source), .. }) => {
            assert!(swell_telemetry::chain(&source).contains(&name), "{source}");
        }
        other => panic!("{}: {other:?}", path.display()),
    }
}

#[test]
fn a_store_that_fails_is_told_of_and_left_alone_for_a_while() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = MemorySource(sample_series());
    let local = TimeRange { start_incl: day(0), end_incl: TimestampMs(day(1).0 - 1) };
    let clock = Arc::new(ManualClock::new(day(5)));
    let fault = common::Fault::new(usize::MAX);
    let store = Store::over(fault.over(folder.path()), "the store".to_owned()).expect("a store");
    let archive = Arc::new(Archive::new(store, clock.clone(), usize::MAX));
    assert_eq!(archive.warnings(TimeRange::ALL).len(), 1, "nothing is known yet");
    uploader(&archive).run(&source, local, day(1), day(2)).expect("uploaded");
    assert!(archive.warnings(TimeRange::ALL).is_empty());

    fault.fail_reads(true);
    let error = archive.read(&[], TimeRange::ALL, false).expect_err("it fails");
    assert!(error.is_passing(), "{error}");
    assert_eq!(archive.warnings(local).len(), 1);
    let later = TimeRange { start_incl: day(2), end_incl: day(3) };
    assert!(archive.warnings(later).is_empty(), "nothing of that time is archived");
    let asked = fault.read_count();
    let error = archive.read(&[], TimeRange::ALL, false).expect_err("left alone");
    assert!(error.is_passing() && fault.read_count() == asked, "{error}");

    fault.fail_reads(false);
    clock.advance(DurationMs(10_000));
    same(archive.read(&[], TimeRange::ALL, false).expect("it answers"), source.within(local));
    // A query that was left without may still ask.
    let told = archive.warnings(local);
    assert!(told.len() == 1 && told[0].contains("it fails on demand"), "{told:?}");
    assert!(archive.warnings(later).is_empty());
    clock.advance(DurationMs(150_000));
    assert!(archive.warnings(local).is_empty());
}

#[test]
fn a_read_before_the_lists_are_known_is_told_of_after_they_are() {
    let folder = tempfile::tempdir().expect("a folder");
    let local = TimeRange { start_incl: day(0), end_incl: TimestampMs(day(1).0 - 1) };
    let source = MemorySource(sample_series());
    uploader(&archive_in(folder.path())).run(&source, local, day(1), day(2)).expect("uploaded");
    let archive = archive_in(folder.path());
    assert!(archive.read(&[], local, false).expect("nothing is known").is_empty());
    archive.refresh().expect("listed");
    let told = archive.warnings(local);
    assert!(told.len() == 1 && told[0].contains("not read yet"), "{told:?}");
    assert!(archive.warnings(local).is_empty(), "what is read from now on is whole");
}

/// Twenty seconds pass between two readings.
struct Hurried(ManualClock);

impl Clock for Hurried {
    fn now(&self) -> TimestampMs {
        self.0.now()
    }

    fn monotonic(&self) -> Monotonic {
        self.0.advance(DurationMs(20_000));
        self.0.monotonic()
    }
}

#[test]
fn a_read_that_takes_too_long_is_told_of_after_later_reads_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = MemorySource(sample_series());
    let local = TimeRange { start_incl: day(0), end_incl: TimestampMs(day(3).0 - 1) };
    uploader(&archive_in(folder.path())).run(&source, local, day(3), day(4)).expect("uploaded");
    let store = Store::open(&swell_archive::Location::Folder(folder.path().into()));
    let clock = Arc::new(Hurried(ManualClock::new(day(5))));
    let archive = Archive::new(store.expect("a store"), clock.clone(), usize::MAX)
        .with_answers_within(std::time::Duration::from_secs(600));
    archive.refresh().expect("listed");
    assert!(archive.warnings(local).is_empty());
    let error = archive.read(&[], local, false).expect_err("two days take longer");
    assert!(matches!(error, ReadError::Slow { .. }) && error.is_passing(), "{error}");
    let one_day = TimeRange { start_incl: day(2), end_incl: local.end_incl };
    archive.read(&[], one_day, false).expect("short enough");
    let told = archive.warnings(one_day);
    assert_eq!(told.len(), 1, "{told:?}");
    for part in ["archived samples from 2026-", "longer than 30 s"] {
        assert!(told[0].contains(part), "{told:?}");
    }
    clock.0.advance(DurationMs(700_000));
    assert!(archive.warnings(local).is_empty());
}

#[test]
fn one_read_gives_a_limited_number_of_samples() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = MemorySource(sample_series());
    let local = TimeRange { start_incl: day(0), end_incl: TimestampMs(day(1).0 - 1) };
    let clock = Arc::new(ManualClock::new(day(5)));
    let store = Store::open(&swell_archive::Location::Folder(folder.path().into()));
    let archive = Arc::new(Archive::new(store.expect("a store"), clock, 100));
    uploader(&archive).run(&source, local, day(1), day(2)).expect("uploaded");
    let error = archive.read(&[], TimeRange::ALL, false).expect_err("too many");
    assert!(matches!(error, ReadError::TooMany { samples_max: 100 }), "{error}");
    assert!(!error.is_passing());
}

#[test]
fn files_are_read_without_their_lists_too() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = MemorySource(sample_series());
    let archive = archive_in(folder.path());
    let local = TimeRange { start_incl: day(0), end_incl: TimestampMs(day(3).0 - 1) };
    uploader(&archive).run(&source, local, day(3), day(4)).expect("uploaded");
    fs::remove_dir_all(folder.path().join("_swell")).expect("removed");
    let files = swell_archive::parquet_files(folder.path()).expect("Parquet files");
    let found: Result<Vec<_>, _> =
        files.select(&[], &SelectHints::range(TimeRange::ALL)).expect("readable").collect();
    same(found.expect("readable"), source.within(local));
    let range = files.range().expect("rows");
    assert!(local.start_incl <= range.start_incl && range.end_incl <= local.end_incl);

    let text = folder.path().join("not.parquet");
    fs::write(&text, "PAR1 this is no Parquet file").expect("written");
    let error = swell_archive::parquet_files(folder.path()).expect_err("refused").to_string();
    assert!(error.contains("not.parquet") && error.contains("byte"), "{error}");
}
