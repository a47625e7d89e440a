//! Making a checkpoint. Labels are written first, in slices; then writers wait while samples are copied into memory, readers
//! do not; then that is written in peace.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use swell_chunk::{put_varint, put_zigzag};
use swell_model::{Exemplar, Labels};

use super::Saved;
use super::file::{Image, Kind, NAME, NAME_UNFINISHED, remove};
use super::labels::{self, LabelsFile};
use crate::db::{Db, Inner};
use crate::exemplars::Exemplars;
use crate::maintain::{Backoff, MaintainError, Retry};
use crate::pace::Pacer;
use crate::status::Damage;
use crate::wal;

/// A part is ended when it has this much.
const PART_BYTES: usize = 1 << 20;

impl Db {
    /// Writes down what is in memory, so that the next start need not read the log for it; not without log behind the
    /// last time. A start is as sound without it.
    ///
    /// # Errors
    /// [`MaintainError`] when a file could not be written.
    pub fn checkpoint(&self) -> Result<(), MaintainError> {
        let inner = &self.inner;
        let _one_at_a_time = inner.maintenance.lock();
        let logged_bytes = inner.commit.lock().logged_bytes();
        let is_wanted = inner.config.checkpoint_log_bytes > 0 && inner.is_replayed();
        if is_wanted && logged_bytes > inner.saved.lock().logged_bytes {
            inner.write_checkpoint(None)?;
        }
        Ok(())
    }
}

impl Inner {
    /// Writes a checkpoint when the log has grown enough behind the last, unless one failed a moment ago.
    pub(crate) fn write_checkpoint_if_due(
        &self,
        backoff: &mut Backoff,
    ) -> Result<(), MaintainError> {
        let logged_bytes = self.commit.lock().logged_bytes();
        let is_due = self.saved.lock().is_due(logged_bytes, self.config.checkpoint_log_bytes);
        let now = self.clock.monotonic();
        if !is_due {
            // One that had failed was written since.
            backoff.checkpoints = Retry::default();
            return Ok(());
        }
        if backoff.checkpoints.is_waiting(now) {
            return Ok(());
        }
        backoff.pacer.begins(now);
        let written = self.write_checkpoint(Some(&mut backoff.pacer));
        backoff.pacer.count(self.clock.monotonic(), 0);
        let outcome = match written {
            Err(error) if error.is_full() => {
                let error = swell_telemetry::chain(&error);
                tracing::warn!(
                    error,
                    "there is no room for a checkpoint: it waits until the log has grown again"
                );
                self.saved.lock().logged_bytes = logged_bytes;
                Ok(())
            }
            outcome => outcome,
        };
        backoff.checkpoints.note(now, &outcome);
        outcome.inspect_err(|_| self.metrics.maintenance_failures.inc())
    }

    /// Sees to it that no checkpoint is there that a start would use without what was flushed since.
    pub(crate) fn renew_checkpoint(&self) -> Result<(), MaintainError> {
        let is_there = self.saved.lock().file_bytes.is_some();
        if !is_there {
            return Ok(());
        }
        if self.config.checkpoint_log_bytes > 0 {
            match self.write_checkpoint(None) {
                // The log must be cut also on a full disk: then without a checkpoint.
                Err(error) if error.is_full() => {
                    let error = swell_telemetry::chain(&error);
                    tracing::warn!(
                        error,
                        "there is no room for a checkpoint: the last one is removed"
                    );
                }
                outcome => return outcome,
            }
        }
        let fault = |source| MaintainError::Io { action: format!("remove {NAME}"), source };
        remove(&*self.dir, NAME).map_err(fault)?;
        // From here on no file of labels is named; one that stays goes with a later checkpoint.
        *self.saved.lock() = Saved::default();
        self.dir.sync_dir("").map_err(fault)?;
        if let Err(left) = labels::remove_others(&*self.dir, None) {
            tracing::warn!(error = %left, "files of labels stay until a later checkpoint");
        }
        Ok(())
    }

    /// `pacer` holds the writing back.
    fn write_checkpoint(&self, pacer: Option<&mut Pacer>) -> Result<(), MaintainError> {
        let outcome = self.try_write_checkpoint(pacer);
        outcome.inspect_err(|_| self.metrics.theirs.checkpoints_failed.inc())
    }

    fn try_write_checkpoint(&self, mut pacer: Option<&mut Pacer>) -> Result<(), MaintainError> {
        let fault = |source| MaintainError::Io { action: format!("write {NAME}"), source };
        let known = self.saved.lock().labels;
        let (labels, is_new) = self.labels_file(known, pacer.as_deref_mut()).map_err(fault)?;
        let mut is_named = false;
        let written = self.write_with(labels, pacer, &mut is_named);
        if is_new
            && !is_named
            && let Err(left) = labels::discard(&*self.dir, labels)
        {
            tracing::warn!(error = %left, "a file of labels stays until the next checkpoint");
        }
        written?;
        if is_new && let Err(left) = labels::remove_others(&*self.dir, Some(labels)) {
            tracing::warn!(error = %left, "old files of labels stay until the next checkpoint");
        }
        Ok(())
    }

    /// Writes a checkpoint that names this file of labels. `is_named` tells whether it is on disk, even when that may not
    /// be durable.
    fn write_with(
        &self,
        labels: LabelsFile,
        pacer: Option<&mut Pacer>,
        is_named: &mut bool,
    ) -> Result<(), MaintainError> {
        let fault = |source| MaintainError::Io { action: format!("write {NAME}"), source };
        let (mut image, logged_bytes) = self.image(labels).map_err(fault)?;
        put_exemplars(&self.exemplars.read(), &mut image);
        let mut descriptions = Vec::new();
        wal::put_descriptions(&self.metadata.read().list(), &mut descriptions);
        image.push(Kind::Descriptions, &descriptions);
        // What is behind the checkpoint's place in the log must not survive a power cut that takes what is before it.
        self.gate.sync_all().map_err(|reason| fault(io::Error::other(self.fail(reason))))?;
        let file_bytes = self.write_file(image, pacer, is_named).map_err(|source| {
            if let Err(left) = remove(&*self.dir, NAME_UNFINISHED) {
                tracing::warn!(error = %left, "an unfinished checkpoint stays until the next start");
            }
            fault(source)
        })?;
        let labels_bytes = labels.seal.bytes;
        *self.saved.lock() = Saved {
            file_bytes: Some(file_bytes),
            labels_bytes,
            labels: Some(labels),
            logged_bytes,
        };
        self.metrics.checkpoints.inc();
        self.metrics.checkpoint_bytes.inc_by(file_bytes);
        Ok(())
    }

    /// The head and the log at one moment.
    fn image(&self, labels: LabelsFile) -> io::Result<(Image, u64)> {
        let mut image = Image::default();
        let writer = self.commit.lock();
        let state = self.state.read();
        if !labels.put(&state.head, &mut image) {
            return Err(io::Error::other("series were removed while it was written"));
        }
        state.head.write_image(&mut |given| image.push_head(given));
        let mut log = Vec::new();
        let met = self.replayed.get().map_or(&[][..], |outcome| &outcome.damage);
        put_damage(met, &mut log);
        writer.resume().put(&mut log);
        image.push(Kind::Log, &log);
        writer.write_resume_series(|idx| state.head.generation(idx), &mut |bytes| {
            image.push(Kind::LogSeries, bytes)
        });
        Ok((image, writer.logged_bytes()))
    }

    fn write_file(
        &self,
        image: Image,
        mut pacer: Option<&mut Pacer>,
        is_named: &mut bool,
    ) -> io::Result<u64> {
        // Copying the head is work as well.
        self.pause(pacer.as_deref_mut(), 0);
        let bytes =
            image.write(&*self.dir, &mut |bytes| self.pause(pacer.as_deref_mut(), bytes))?;
        self.dir.rename(NAME_UNFINISHED, NAME)?;
        *is_named = true;
        self.dir.sync_dir("")?;
        Ok(bytes)
    }

    /// Pauses as the pacer wants it after work with so many bytes.
    pub(super) fn pause(&self, pacer: Option<&mut Pacer>, bytes: u64) {
        let Some(pacer) = pacer else { return };
        let mut due = pacer.worked(self.clock.monotonic(), bytes);
        while let Some(span) = due.filter(|span| *span > Duration::ZERO) {
            if !self.rest.pause(span) {
                return;
            }
            pacer.paused(span, self.clock.monotonic());
            due = pacer.owes();
        }
    }
}

/// Damage of the log that a start which does not read that part would not meet again.
fn put_damage(damage: &[Damage], out: &mut Vec<u8>) {
    let of_log: Vec<&Damage> =
        damage.iter().filter(|found| wal::is_segment_name(&found.file)).collect();
    put_varint(out, of_log.len() as u64);
    for found in of_log {
        put_text(&found.file, out);
        put_varint(out, found.offset);
        put_text(&found.what, out);
        out.push(u8::from(found.range.is_some()));
        if let Some(range) = found.range {
            put_zigzag(out, range.start_incl.0);
            put_zigzag(out, range.end_incl.0);
        }
    }
}

fn put_exemplars(exemplars: &Exemplars, image: &mut Image) {
    let mut part = Vec::new();
    let mut number_of: HashMap<Labels, u64> = HashMap::new();
    for (series, exemplar) in exemplars.in_order() {
        let next = number_of.len() as u64;
        let number = *number_of.entry(series.clone()).or_insert(next);
        put_varint(&mut part, number);
        if number == next {
            put_labels(series, &mut part);
        }
        put_exemplar(exemplar, &mut part);
        if part.len() >= PART_BYTES {
            image.push(Kind::Exemplars, &part);
            part.clear();
            number_of.clear();
        }
    }
    if !part.is_empty() {
        image.push(Kind::Exemplars, &part);
    }
}

fn put_exemplar(exemplar: &Exemplar, out: &mut Vec<u8>) {
    put_zigzag(out, exemplar.timestamp.0);
    out.extend_from_slice(&exemplar.value.to_bits().to_le_bytes());
    put_labels(&exemplar.labels, out);
}

fn put_labels(labels: &Labels, out: &mut Vec<u8>) {
    put_varint(out, labels.len() as u64);
    labels.iter().flat_map(|(name, value)| [name, value]).for_each(|text| put_text(text, out));
}

fn put_text(text: &str, out: &mut Vec<u8>) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}
