//! Writes a block, series by series: columns go to the file as frames fill, directories are kept until the end.

use std::io;
use std::sync::Arc;

use swell_chunk::{
    FloatWriter, HISTOGRAMS_MAX, TIMES_MAX, put_varint, write_histograms, write_times,
};
use swell_env::{AppendFile, Dir};
use swell_index::IndexWriter;
use swell_model::{
    DurationMs, HistogramRun, Labels, NativeHistogram, SeriesData, TimestampMs, stretch_end,
};

use crate::head::start_as_float;

use super::frames::FrameWriter;
use super::group::GroupWriter;
use super::references::{self, Kin, References};
use super::times::{TimesPool, TimesRef};
use super::{
    BlockId, BlockMeta, CHUNK_LEN, FOLDER, HEADER_LEN, MAGIC, MAGIC_END, Packing, VERSION_RUNS,
    VERSION_STATISTICS, aggregates,
};

/// Why a block was not written; nothing of it is left but perhaps an unfinished file, which the next open removes.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WriteBlockError {
    /// The system's error.
    #[error("{action} {file}")]
    Io { action: &'static str, file: String, source: io::Error },
    /// What was to be written could not be read.
    #[error("read what goes into {file}")]
    Source { file: String, source: swell_model::SelectError },
    /// A series has more samples than a column may.
    #[error("{series} has {count} samples, a block holds at most {TIMES_MAX} of a series")]
    TooLong { series: String, count: usize },
}

/// A block in the making.
#[derive(Debug)]
pub(crate) struct BlockWriter<'d> {
    dir: &'d dyn Dir,
    file: Arc<dyn AppendFile>,
    meta: BlockMeta,
    name: String,
    frames: FrameWriter,
    times: TimesPool,
    references: References,
    groups: GroupWriter,
    index: IndexWriter,
    body: Vec<u8>,
}

impl<'d> BlockWriter<'d> {
    /// Starts the unfinished file of a block that is responsible for `[start, end)`; `resolution` is zero for
    /// samples as they came.
    pub(crate) fn create(
        dir: &'d dyn Dir,
        id: BlockId,
        (start, end): (TimestampMs, TimestampMs),
        resolution: DurationMs,
        sources: Vec<BlockId>,
        packing: Packing,
    ) -> Result<Self, WriteBlockError> {
        let name = format!("{FOLDER}/{}", id.unfinished_name());
        let fault = |action| {
            let file = name.clone();
            move |source| WriteBlockError::Io { action, file, source }
        };
        let file = dir.create(&name).map_err(fault("create"))?;
        let mut header = Vec::with_capacity(HEADER_LEN);
        header.extend_from_slice(MAGIC);
        let is_of_samples = resolution == DurationMs::ZERO;
        let version = if is_of_samples { VERSION_STATISTICS } else { VERSION_RUNS };
        header.extend_from_slice(&version.to_le_bytes());
        header.extend_from_slice(&crc32fast::hash(&header).to_le_bytes());
        file.append(&header).map_err(fault("write"))?;
        let meta = BlockMeta {
            id,
            start,
            end,
            resolution,
            min: TimestampMs::MAX,
            max: TimestampMs::MIN,
            series_count: 0,
            chunk_count: 0,
            sample_count: 0,
            sources,
            file_bytes: 0,
            index_bytes: 0,
        };
        Ok(Self {
            dir,
            file,
            meta,
            name,
            frames: FrameWriter::new(packing),
            times: TimesPool::default(),
            references: References::default(),
            groups: GroupWriter::new(is_of_samples),
            index: IndexWriter::default(),
            body: Vec::new(),
        })
    }

    /// Adds a series; series come in the order of their labels, each once, and have samples, or aggregates when the
    /// block has a resolution.
    pub(crate) fn add(&mut self, series: &SeriesData) -> Result<(), WriteBlockError> {
        if self.meta.resolution > DurationMs::ZERO {
            return self.add_aggregates(series);
        }
        let (floats, histograms) = (&series.floats, &series.histograms);
        assert_eq!(floats.timestamps.len(), floats.values.len(), "columns of one length");
        assert_eq!(histograms.timestamps.len(), histograms.values.len(), "columns of one length");
        let count = floats.timestamps.len().max(histograms.timestamps.len());
        if count > TIMES_MAX {
            let series = series.labels.to_string();
            return Err(WriteBlockError::TooLong { series, count });
        }
        let has_floats = !floats.timestamps.is_empty();
        let has_histograms = !histograms.timestamps.is_empty();
        self.groups.start_series(has_floats, has_histograms, self.frames.next());
        if has_floats {
            let times = self.times_of(&floats.timestamps)?;
            self.groups.float_times(times, &self.times);
            self.add_floats(&series.labels, times, &floats.values)?;
            if let Some(starts) = &floats.starts {
                self.add_starts(true, starts)?;
            }
        }
        if has_histograms {
            let times = self.times_of(&histograms.timestamps.as_slice().into())?;
            self.groups.histogram_times(times, &self.times);
            self.add_histograms(&histograms.values)?;
            if let Some(starts) = &histograms.starts {
                self.add_starts(false, starts)?;
            }
        }
        self.index.push(&series.labels);
        Ok(())
    }

    fn add_aggregates(&mut self, series: &SeriesData) -> Result<(), WriteBlockError> {
        let (all, runs) = (&series.aggregates, &series.histogram_runs);
        let count = all.len().max(runs.len());
        if count > TIMES_MAX {
            let series = series.labels.to_string();
            return Err(WriteBlockError::TooLong { series, count });
        }
        self.groups.start_series(!all.is_empty(), !runs.is_empty(), self.frames.next());
        if !all.is_empty() {
            let columns = aggregates::columns(all, self.meta.resolution.0);
            assert!(columns.ends.is_sorted_by(|a, b| a < b), "one aggregate for each stretch");
            self.groups.aggregates();
            let times = self.times_of(&columns.ends)?;
            self.groups.float_times(times, &self.times);
            for column in std::iter::once(&columns.last).chain(&columns.others) {
                self.add_column(column)?;
            }
        }
        if !runs.is_empty() {
            self.add_runs(runs)?;
        }
        self.index.push(&series.labels);
        Ok(())
    }

    /// Runs of histograms (runs.rs).
    #[expect(clippy::cast_precision_loss, reason = "stretches are shorter than 2^53 ms")]
    fn add_runs(&mut self, runs: &[HistogramRun]) -> Result<(), WriteBlockError> {
        let times: Arc<[i64]> = runs.iter().map(|run| run.last_ms).collect();
        assert!(times.is_sorted_by(|a, b| a < b), "runs are apart");
        let before = (self.meta.min, self.meta.max);
        let times = self.times_of(&times)?;
        // A block of aggregates is known by the ends of its stretches.
        let end = |at_ms| TimestampMs(stretch_end(at_ms, self.meta.resolution.0));
        let known = (before.0.min(end(times.first_ms)), before.1.max(end(times.last_ms)));
        (self.meta.min, self.meta.max) = known;
        self.groups.histogram_times(times, &self.times);
        let last: Vec<_> = runs.iter().map(|run| Arc::clone(&run.last)).collect();
        self.add_histograms(&last)?;
        let several = runs.iter().filter(|run| run.count > 1);
        let sums: Vec<_> = several.map(|run| Arc::clone(&run.sum)).collect();
        self.groups.runs(sums.len());
        self.add_histograms(&sums)?;
        self.add_column(&runs.iter().map(|run| run.count as f64).collect::<Vec<_>>())
    }

    fn add_histograms(&mut self, values: &[Arc<NativeHistogram>]) -> Result<(), WriteBlockError> {
        for values in values.chunks(HISTOGRAMS_MAX) {
            self.meta.chunk_count += 1;
            self.body.clear();
            write_histograms(values, &mut self.body);
            let location = self.frames.put(&self.body);
            self.groups.body(location, self.frames.after(location));
            self.flush_frames()?;
        }
        Ok(())
    }

    /// Start timestamps, as a column of floats: as a rule one value for all.
    fn add_starts(&mut self, are_of_floats: bool, starts: &[i64]) -> Result<(), WriteBlockError> {
        self.groups.starts(are_of_floats);
        let starts: Vec<f64> = starts.iter().map(|start| start_as_float(*start)).collect();
        self.add_column(&starts)
    }

    fn add_column(&mut self, values: &[f64]) -> Result<(), WriteBlockError> {
        values.chunks(CHUNK_LEN).try_for_each(|values| self.add_chunk(&FloatWriter::new(values)))
    }

    /// Where the timestamps stand, stored now if they are new.
    fn times_of(&mut self, timestamps: &Arc<[i64]>) -> Result<TimesRef, WriteBlockError> {
        let times = match self.times.find(timestamps) {
            Some(found) => found,
            None => {
                self.body.clear();
                write_times(timestamps, &mut self.body);
                let location = self.frames.put(&self.body);
                self.flush_frames()?;
                self.times.add(timestamps, location)
            }
        };
        self.meta.min = self.meta.min.min(TimestampMs(times.first_ms));
        self.meta.max = self.meta.max.max(TimestampMs(times.last_ms));
        self.meta.sample_count += timestamps.len() as u64;
        Ok(times)
    }

    fn add_floats(
        &mut self,
        labels: &Labels,
        times: TimesRef,
        values: &[f64],
    ) -> Result<(), WriteBlockError> {
        if !references::is_eligible(values.len()) {
            return values.chunks(CHUNK_LEN).try_for_each(|values| {
                let chunk = FloatWriter::new(values);
                self.groups.statistics(&chunk, values.len());
                self.add_chunk(&chunk)
            });
        }
        let series = u32::try_from(self.index.series_count()).expect("below 2^32 series");
        let mut chunks: Vec<FloatWriter<'_>> =
            values.chunks(CHUNK_LEN).map(FloatWriter::new).collect();
        let kin = Kin::new(labels, times);
        let referred = self.references.refer(kin, &mut chunks);
        for (chunk, values) in chunks.iter().zip(values.chunks(CHUNK_LEN)) {
            self.groups.statistics(chunk, values.len());
            self.add_chunk(chunk)?;
        }
        if let Some((other, _)) = referred {
            self.groups.reference(series - other);
        }
        self.references.keep(kin, series, referred.map_or(0, |(_, depth)| depth), chunks);
        Ok(())
    }

    fn add_chunk(&mut self, chunk: &FloatWriter<'_>) -> Result<(), WriteBlockError> {
        self.meta.chunk_count += 1;
        let parts = &mut self.groups.parts;
        parts.body.clear();
        parts.exceptions.clear();
        chunk.write(parts);
        let bodies = [std::mem::take(&mut parts.body), std::mem::take(&mut parts.exceptions)];
        for body in bodies.iter().filter(|body| !body.is_empty()) {
            let location = self.frames.put(body);
            self.groups.body(location, self.frames.after(location));
        }
        let [body, exceptions] = bodies;
        (self.groups.parts.body, self.groups.parts.exceptions) = (body, exceptions);
        self.flush_frames()
    }

    fn flush_frames(&mut self) -> Result<(), WriteBlockError> {
        while let Some(frame) = self.frames.take_full() {
            self.append(&frame)?;
        }
        Ok(())
    }

    fn append(&self, bytes: &[u8]) -> Result<(), WriteBlockError> {
        self.file.append(bytes).map_err(|source| self.fault("write", source))
    }

    fn fault(&self, action: &'static str, source: io::Error) -> WriteBlockError {
        WriteBlockError::Io { action, file: self.name.clone(), source }
    }

    /// Number of the block.
    pub(crate) const fn id(&self) -> BlockId {
        self.meta.id
    }

    /// Ends the file, syncs it and gives it its name. After a failure the name may be taken all the same. `None` when no series was added: then there is no block.
    /// After a failure the unfinished file is removed, so that a full disk is not made fuller.
    pub(crate) fn finish(self) -> Result<Option<BlockMeta>, WriteBlockError> {
        let (dir, name) = (self.dir, self.name.clone());
        self.publish().inspect_err(|_| match dir.remove(&name) {
            Err(left) if left.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(file = name, error = %left, "an unfinished block stays until the next start");
            }
            _ => {}
        })
    }

    fn publish(mut self) -> Result<Option<BlockMeta>, WriteBlockError> {
        if self.index.series_count() == 0 {
            self.dir.remove(&self.name).map_err(|source| self.fault("remove", source))?;
            return Ok(None);
        }
        while let Some(frame) = self.frames.take_rest() {
            self.append(&frame)?;
        }
        self.meta.series_count = self.index.series_count() as u64;
        let mut index = Vec::new();
        std::mem::take(&mut self.index).finish(&mut index);
        let series = std::mem::take(&mut self.groups).finish();
        let mut footer = Vec::new();
        self.meta.write(&mut footer);
        let sections = [self.frames.directory(), self.times.directory(), series, index];
        for section in &sections {
            put_varint(&mut footer, section.len() as u64);
            footer.extend_from_slice(&crc32fast::hash(section).to_le_bytes());
            self.append(section)?;
        }
        let footer_len = u32::try_from(footer.len()).expect("a footer has few entries");
        let checksum = crc32fast::hash(&footer);
        footer.extend_from_slice(&footer_len.to_le_bytes());
        footer.extend_from_slice(&checksum.to_le_bytes());
        footer.extend_from_slice(MAGIC_END);
        self.append(&footer)?;
        self.file.sync().map_err(|source| self.fault("sync", source))?;
        let finished = format!("{FOLDER}/{}", self.meta.id.file_name());
        self.dir.rename(&self.name, &finished).map_err(|source| self.fault("rename", source))?;
        self.dir.sync_dir(FOLDER).map_err(|source| self.fault("sync the folder of", source))?;
        Ok(Some(self.meta))
    }

    /// Removes the unfinished file after a failure.
    pub(crate) fn discard(self) -> Result<(), WriteBlockError> {
        self.dir.remove(&self.name).map_err(|source| self.fault("remove", source))
    }
}
