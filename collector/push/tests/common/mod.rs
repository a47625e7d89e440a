//! A storage in memory.

#![allow(dead_code, reason = "each test binary uses its own part")]

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use parking_lot::Mutex;
use swell_model::{
    AppendError, AppendReport, Batch, DropReason, Labels, SampleSink, SeriesRef, is_stale_nan,
};

/// Keeps what it gets as text, refuses samples at time 0 as too old, and everything while it is paused.
#[derive(Default)]
pub(crate) struct MemorySink {
    series: Mutex<Vec<Labels>>,
    samples: Mutex<Vec<String>>,
    descriptions: Mutex<Vec<String>>,
    is_paused: Mutex<bool>,
}

impl MemorySink {
    /// What came since the last time.
    pub(crate) fn taken(&self) -> Vec<String> {
        std::mem::take(&mut *self.samples.lock())
    }

    /// Names of the families that were described so far.
    pub(crate) fn described(&self) -> Vec<String> {
        self.descriptions.lock().clone()
    }

    /// Refuses everything from now on, or takes it again.
    pub(crate) fn pause(&self, is_paused: bool) {
        *self.is_paused.lock() = is_paused;
    }
}

impl SampleSink for MemorySink {
    fn resolve(&self, labels: &Labels) -> Result<SeriesRef, AppendError> {
        if labels.get("refused").is_some() {
            let (series, reason) = (labels.to_string(), "for this test".to_owned());
            return Err(AppendError::Refused { series, reason });
        }
        let mut series = self.series.lock();
        let found = series.iter().position(|it| it == labels);
        let number = found.unwrap_or_else(|| {
            series.push(labels.clone());
            series.len() - 1
        });
        Ok(SeriesRef(number as u64))
    }

    fn append(&self, batch: &Batch) -> Result<AppendReport, AppendError> {
        if *self.is_paused.lock() {
            return Err(AppendError::Paused { reason: "the disk is full".to_owned() });
        }
        let mut report = AppendReport::default();
        let names = batch.descriptions.iter().map(|it| it.metric_name.clone());
        self.descriptions.lock().extend(names);
        let series = self.series.lock();
        for row in &batch.rows {
            for (reference, value) in row.series.iter().zip(&row.values) {
                if row.timestamp.0 == 0 {
                    report.drop_sample(*reference, row.timestamp, DropReason::TooOld);
                    continue;
                }
                let number = usize::try_from(reference.0).expect("small");
                let value =
                    if is_stale_nan(*value) { "stale".to_owned() } else { value.to_string() };
                let sample = format!("{} {value} @{}", series[number], row.timestamp.0);
                self.samples.lock().push(sample);
                report.stored += 1;
            }
        }
        Ok(report)
    }
}

pub(crate) fn gzip(content: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(content).expect("memory");
    encoder.finish().expect("memory")
}
