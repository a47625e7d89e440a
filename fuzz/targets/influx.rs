//! Any bytes as lines for InfluxDB: samples with names and faults, never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use swell_influx::{Precision, read};
use swell_model::TimestampMs;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(lines) = read(bytes, Precision::Seconds, "db", TimestampMs(0)) {
        assert!(lines.batch.series.iter().all(|labels| labels.metric_name().is_some()));
        assert!(lines.faulty_lines >= lines.faults.len());
    }
});
