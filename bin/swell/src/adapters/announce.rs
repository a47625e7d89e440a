//! The way into the storage, with a bell: whoever waits for new samples is woken after they are stored.

use std::sync::Arc;

use swell_model::{AppendError, AppendReport, Batch, Labels, SampleSink, SeriesRef, TimestampMs};
use tokio::sync::watch;

/// A sink that tells the newest time that it has stored.
pub(crate) struct AnnouncingSink {
    inner: Arc<dyn SampleSink>,
    newest: watch::Sender<TimestampMs>,
}

impl AnnouncingSink {
    /// Wraps `inner`; the receiver wakes after each batch. What it shows means "look", not "this is new".
    pub(crate) fn new(inner: Arc<dyn SampleSink>) -> (Arc<Self>, watch::Receiver<TimestampMs>) {
        let (newest, receiver) = watch::channel(TimestampMs::MIN);
        (Arc::new(Self { inner, newest }), receiver)
    }
}

impl SampleSink for AnnouncingSink {
    fn resolve(&self, labels: &Labels) -> Result<SeriesRef, AppendError> {
        self.inner.resolve(labels)
    }

    fn append(&self, batch: &Batch) -> Result<AppendReport, AppendError> {
        let report = self.inner.append(batch)?;
        if let Some(newest) = batch.rows.iter().map(|row| row.timestamp).max() {
            self.newest.send_modify(|known| *known = (*known).max(newest));
        }
        Ok(report)
    }
}
