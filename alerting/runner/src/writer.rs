//! Rules' samples into the storage.

use std::collections::HashMap;

use swell_model::{
    AppendError, Batch, HistogramSample, Labels, Row, SampleSink, SampleValue, SeriesRef,
    TimestampMs, stale_nan,
};

/// References of the series that one rule writes.
#[derive(Clone, Debug, Default)]
pub(crate) struct SeriesWriter {
    refs: HashMap<Labels, SeriesRef>,
}

impl SeriesWriter {
    /// Writes samples, and staleness markers for the series that vanished, at one instant and as a whole.
    pub(crate) fn write(
        &mut self,
        sink: &dyn SampleSink,
        at: TimestampMs,
        samples: &[(Labels, SampleValue)],
        vanished: &[Labels],
    ) -> Result<(), AppendError> {
        if samples.is_empty() && vanished.is_empty() {
            return Ok(());
        }
        match self.append(sink, at, samples, vanished) {
            // The storage forgot a series meanwhile: all are looked up again, once.
            Err(AppendError::UnknownSeries(_)) => {
                self.refs.clear();
                self.append(sink, at, samples, vanished)?;
            }
            result => result?,
        }
        for labels in vanished {
            self.refs.remove(labels);
        }
        Ok(())
    }

    fn append(
        &mut self,
        sink: &dyn SampleSink,
        at: TimestampMs,
        samples: &[(Labels, SampleValue)],
        vanished: &[Labels],
    ) -> Result<(), AppendError> {
        let mut row = Row { timestamp: at, ..Row::default() };
        let mut histograms = Vec::new();
        for (labels, value) in samples {
            let series = self.resolve(sink, labels)?;
            match value {
                SampleValue::Float(number) => {
                    row.series.push(series);
                    row.values.push(*number);
                }
                SampleValue::Histogram(value) => {
                    histograms.push(HistogramSample {
                        series,
                        timestamp: at,
                        value: value.clone(),
                        start_ms: 0,
                    });
                }
            }
        }
        for labels in vanished {
            row.series.push(self.resolve(sink, labels)?);
            row.values.push(stale_nan());
        }
        sink.append(&Batch { rows: vec![row], histograms, ..Batch::default() })?;
        Ok(())
    }

    fn resolve(
        &mut self,
        sink: &dyn SampleSink,
        labels: &Labels,
    ) -> Result<SeriesRef, AppendError> {
        if let Some(series) = self.refs.get(labels) {
            return Ok(*series);
        }
        let series = sink.resolve(labels)?;
        self.refs.insert(labels.clone(), series);
        Ok(series)
    }
}
