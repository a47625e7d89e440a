//! The archive in an S3-compatible store: an emulator from PyPI, over our own HTTP client.

mod common;

use std::sync::Arc;

use common::python::{Emulator, python};
use common::{MemorySource, day, same, sample_series};
use swell_archive::{Archive, Credentials, Location, S3, Store, UploadConfig, Uploader};
use swell_env::ManualClock;
use swell_model::{DurationMs, Matcher, TimeRange, TimestampMs};

fn archive(endpoint: &str) -> Arc<Archive> {
    let location = Location::S3(S3 {
        bucket: "metrics".to_owned(),
        prefix: "eu/one".to_owned(),
        region: Some("us-east-1".to_owned()),
        endpoint: Some(endpoint.to_owned()),
        credentials: Some(Credentials {
            access_key_id: "tester".to_owned(),
            secret_access_key: "secret".to_owned(),
            session_token: None,
        }),
    });
    let store = Store::open(&location).expect("settings");
    Arc::new(Archive::new(store, Arc::new(ManualClock::new(day(9))), usize::MAX))
}

#[test]
fn a_bucket_is_an_archive() {
    let Some(python) = python() else { return };
    let mut emulator = Emulator::start(&python);
    let source = MemorySource(sample_series());
    let local = TimeRange { start_incl: day(0), end_incl: TimestampMs(day(2).0 - 1) };
    let written = archive(&emulator.endpoint());
    let config = UploadConfig { after: DurationMs(0), span: DurationMs(86_400_000) };
    let report = Uploader::new(written, config).run(&source, local, day(2), day(3));
    assert_eq!(report.expect("uploaded").window_count, 2);

    let read = archive(&emulator.endpoint());
    read.refresh().expect("listed");
    same(read.read(&[], TimeRange::ALL, false).expect("readable"), source.within(local));
    let one = [Matcher::equal("__name__", "odd:name/with space")];
    assert_eq!(read.read(&one, local, false).expect("readable").len(), 1);

    // An outage: what is cached is still read, everything else is told to be missing.
    let cold = archive(&emulator.endpoint());
    cold.refresh().expect("listed");
    emulator.stop();
    let error = cold.read(&[], local, false).expect_err("nobody answers");
    assert!(error.is_passing(), "{error}");
    assert!(cold.warnings(local)[0].contains("s3://metrics/eu/one"), "{:?}", cold.warnings(local));
    assert!(cold.refresh().is_err());
    same(read.read(&[], TimeRange::ALL, false).expect("cached"), source.within(local));
}
