//! Series as a stream of Arrow record batches (Arrow IPC), in bounded memory: one series at a time is held.

use std::collections::BTreeSet;

use arrow_ipc::writer::StreamWriter;
use arrow_schema::ArrowError;
use bytes::Bytes;
use swell_model::{
    METRIC_NAME, Matcher, SelectError, SelectHints, SeriesData, SeriesSource, TimeRange,
};

use crate::columns::{Columns, Samples};

/// Rows of a record batch, at most: a few hundred kilobytes.
const BATCH_ROWS: usize = 1 << 16;

/// Media type of a stream.
pub const ARROW_STREAM: &str = "application/vnd.apache.arrow.stream";

/// Which samples a stream has: the column `value`, or the column `histogram`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamedSamples {
    /// Floats.
    Floats,
    /// Native histograms.
    Histograms,
}

/// Why a stream ended early.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The samples cannot be read.
    #[error("read the samples")]
    Select(#[from] SelectError),
    /// They cannot be written as record batches.
    #[error("write record batches")]
    Arrow(#[from] ArrowError),
    /// Whoever reads the stream went away.
    #[error("nobody reads the stream any more")]
    Gone,
}

/// Gives the stream piece by piece to `send`, which tells whether it is still wanted: all series that satisfy one of the
/// selectors, each once, with a column for each label. Series that appear while the stream is made may be missing. Gives
/// the number of rows.
///
/// # Errors
/// [`StreamError`]; what was given before is the start of a stream without its end.
pub fn write_arrow_stream(
    source: &dyn SeriesSource,
    selectors: &[Vec<Matcher>],
    range: TimeRange,
    samples: StreamedSamples,
    send: &mut dyn FnMut(Bytes) -> bool,
) -> Result<u64, StreamError> {
    let mut names: BTreeSet<String> = BTreeSet::new();
    for matchers in selectors {
        names.extend(source.label_names(matchers, range)?);
    }
    names.insert(METRIC_NAME.to_owned());
    let floats = samples == StreamedSamples::Floats;
    let columns = Columns::new(
        &names.iter().map(String::as_str).collect(),
        Samples { floats, histograms: !floats, starts: false },
    );
    let mut stream = Stream {
        writer: StreamWriter::try_new(Vec::new(), columns.schema())?,
        columns,
        waiting: Vec::new(),
        waiting_rows: 0,
        row_count: 0,
        floats,
        send,
    };
    for (idx, matchers) in selectors.iter().enumerate() {
        for series in source.select(matchers, &SelectHints::range(range))? {
            let series = series?;
            let is_given = selectors[..idx].iter().any(|earlier| satisfies(&series, earlier));
            if !is_given && stream.columns.have(&series.labels) {
                stream.add(series)?;
            }
        }
    }
    stream.finish()
}

fn satisfies(series: &SeriesData, matchers: &[Matcher]) -> bool {
    matchers.iter().all(|it| it.matches(series.labels.get(&it.name).unwrap_or("")))
}

struct Stream<'s> {
    writer: StreamWriter<Vec<u8>>,
    columns: Columns,
    waiting: Vec<SeriesData>,
    waiting_rows: usize,
    row_count: u64,
    floats: bool,
    send: &'s mut dyn FnMut(Bytes) -> bool,
}

impl Stream<'_> {
    fn add(&mut self, series: SeriesData) -> Result<(), StreamError> {
        let rows = if self.floats {
            series.floats.timestamps.len()
        } else {
            series.histograms.timestamps.len()
        };
        if rows > 0 {
            self.waiting_rows += rows;
            self.waiting.push(series);
        }
        if self.waiting_rows >= BATCH_ROWS { self.flush() } else { Ok(()) }
    }

    /// Writes what waits, in batches of limited length.
    fn flush(&mut self) -> Result<(), StreamError> {
        let series = std::mem::take(&mut self.waiting);
        let row_count = std::mem::take(&mut self.waiting_rows);
        self.row_count += row_count as u64;
        let batch = self.columns.batch(&series)?;
        let mut first = 0;
        while first < row_count {
            let len = BATCH_ROWS.min(row_count - first);
            self.writer.write(&batch.slice(first, len))?;
            self.send()?;
            first += len;
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), StreamError> {
        let bytes = std::mem::take(self.writer.get_mut());
        if bytes.is_empty() || (self.send)(bytes.into()) { Ok(()) } else { Err(StreamError::Gone) }
    }

    fn finish(mut self) -> Result<u64, StreamError> {
        self.flush()?;
        self.writer.finish()?;
        self.send()?;
        Ok(self.row_count)
    }
}
