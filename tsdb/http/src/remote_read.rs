//! `POST /api/v1/read`: samples of selected series for another Prometheus, in one message or as a stream of chunks.
//!
//! Either form is made whole before its first byte goes out, since series stand in the order of their labels; chunks take
//! one or two bytes a sample until then, and both are bounded.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use swell_http::plain_text;
use swell_model::{
    HistogramColumn, Labels, MatchOp, Matcher, SelectHints, SeriesData, SeriesSource,
};
use swell_telemetry::chain;
use swell_wire::remote_read::{
    Chunk, Query, ReadAnswer, ReadRequest, ResponseType, chunked_series, float_chunks,
    histogram_chunks, put_frame, read_request, samples_message, series_bytes_max,
};
use swell_wire::remote_write::encode_labels;
use tokio::sync::OwnedSemaphorePermit;

use crate::error::ApiError;
use crate::service::Api;
use crate::turns::Client;
use crate::write::unpack;

/// Largest request, as sent: it has matchers and nothing else.
const REQUEST_BYTES_MAX: usize = 1 << 20;
/// Bytes of chunks in one frame, as Prometheus' `--storage.remote.read-max-bytes-in-frame`.
const FRAME_BYTES_MAX: usize = 1 << 20;
/// Bytes of chunks that one answer may have.
const CHUNK_BYTES_MAX: usize = 512 << 20;
/// Bytes of a message of samples: what a snappy block can say of its length, and less than memory has.
const MESSAGE_BYTES_MAX: usize = 2 << 30;

/// Bytes of a message of samples that are handed over for sending at once.
const PIECE_BYTES: usize = 256 << 10;

const STREAM: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

/// An answer, made.
#[derive(Debug)]
enum Answer {
    /// Packed.
    Samples(Bytes),
    Frames(VecDeque<Bytes>),
}

/// A series with its floats and histograms.
type Selected = (Labels, Vec<(i64, f64)>, HistogramColumn);

/// What a request is refused with: plain text, as Prometheus has it here.
fn refused(code: StatusCode, text: impl Into<String>) -> Response {
    plain_text(code, text)
}

pub(crate) async fn read(State(api): State<Arc<Api>>, request: Request) -> Response {
    let client = Client::of(request.extensions());
    // Who waits for a turn holds no body.
    let turn = api.reads.clone().acquire_owned();
    let Ok(Ok(turn)) = tokio::time::timeout(api.config.timeout.to_std(), turn).await else {
        let text = "too many remote reads run: none ended in time";
        return refused(StatusCode::SERVICE_UNAVAILABLE, text);
    };
    let packed = match body_of(request).await {
        Ok(packed) => packed,
        Err(response) => return response,
    };
    let (source, in_force) = (api.own.clone(), api.in_force.current());
    let samples_max = api.config.remote_read_samples_max;
    let cancelled = Arc::<AtomicBool>::default();
    let unwanted = cancelled.clone();
    let answer = api.run(&client, api.config.timeout, cancelled, move || {
        // Patterns are compiled here, off the threads that serve connections.
        let request = request_of(&packed)?;
        drop(packed);
        let reader = Reader {
            source: source.as_ref(),
            external: &in_force.external_labels,
            samples_max,
            message_bytes_max: MESSAGE_BYTES_MAX,
            unwanted: &unwanted,
        };
        let answer = match request.response_type {
            ResponseType::Samples => reader.samples(&request.queries),
            ResponseType::StreamedXorChunks => reader.frames(&request.queries),
        };
        // A thread that nobody waits for any more holds the turn until it ends.
        answer.map(|answer| (answer, turn))
    });
    match answer.await {
        Ok((answer, turn)) => sent(answer, turn),
        Err(error) => refused(error.code(), error.message()),
    }
}

/// What is left to send, with the turn: an answer takes memory until its last piece is taken.
struct Sending {
    pieces: VecDeque<Bytes>,
    _turn: OwnedSemaphorePermit,
}

impl Iterator for Sending {
    type Item = std::io::Result<Bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        self.pieces.pop_front().map(Ok)
    }
}

fn sent(answer: Answer, turn: OwnedSemaphorePermit) -> Response {
    let body = |pieces| Body::from_stream(tokio_stream::iter(Sending { pieces, _turn: turn }));
    match answer {
        Answer::Samples(packed) => {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf")),
                (header::CONTENT_ENCODING, HeaderValue::from_static("snappy")),
                (header::CONTENT_LENGTH, packed.len().into()),
            ];
            (headers, body(pieces(packed))).into_response()
        }
        Answer::Frames(frames) => ([(header::CONTENT_TYPE, STREAM)], body(frames)).into_response(),
    }
}

/// The same bytes in pieces: a body of one piece would count as sent as soon as its sending begins.
fn pieces(mut bytes: Bytes) -> VecDeque<Bytes> {
    let mut pieces = VecDeque::new();
    while !bytes.is_empty() {
        pieces.push_back(bytes.split_to(bytes.len().min(PIECE_BYTES)));
    }
    pieces
}

/// The body of a request, within its limit.
async fn body_of(request: Request) -> Result<Bytes, Response> {
    match Limited::new(request.into_body(), REQUEST_BYTES_MAX).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => {
            let text =
                format!("the request is larger than the {REQUEST_BYTES_MAX} bytes that are read");
            Err(refused(StatusCode::PAYLOAD_TOO_LARGE, text))
        }
        Err(error) => {
            let text = format!("the body did not arrive whole: {error}");
            Err(refused(StatusCode::BAD_REQUEST, text))
        }
    }
}

/// Unpacks and checks a request.
fn request_of(packed: &[u8]) -> Result<ReadRequest, ApiError> {
    let mut bytes = Vec::new();
    unpack(packed, &mut bytes).map_err(|error| ApiError::bad_data(error.to_string()))?;
    read_request(&bytes).map_err(|error| ApiError::bad_data(chain(&error)))
}

struct Reader<'a> {
    source: &'a dyn SeriesSource,
    /// Of this server: added to series that have none of the name, and taken out of the matchers.
    external: &'a Labels,
    samples_max: usize,
    /// Bytes of a message of samples.
    message_bytes_max: usize,
    unwanted: &'a AtomicBool,
}

impl Reader<'_> {
    /// Series of a query one by one, with their samples counted off `left`.
    fn each(
        &self,
        query: &Query,
        mut each: impl FnMut(Labels, SeriesData) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        // A matcher that asks for just this server's label asks for nothing.
        let is_external = |matcher: &&Matcher| {
            matcher.op == MatchOp::Equal
                && !matcher.value.is_empty()
                && self.external.get(&matcher.name) == Some(&matcher.value)
        };
        let matchers: Vec<Matcher> =
            query.matchers.iter().filter(|it| !is_external(it)).cloned().collect();
        let hints =
            SelectHints { labels_only: query.labels_only, ..SelectHints::range(query.range) };
        for series in self.source.select(&matchers, &hints)? {
            if self.unwanted.load(Ordering::Relaxed) {
                return Err(ApiError::timeout("nobody waits for the answer any more"));
            }
            let mut series = series?;
            let labels = self.labelled(std::mem::take(&mut series.labels));
            each(labels, series)?;
        }
        Ok(())
    }

    fn labelled(&self, labels: Labels) -> Labels {
        if self.external.iter().all(|(name, _)| labels.get(name).is_some()) {
            return labels;
        }
        let mut builder = labels.to_builder();
        for (name, value) in self.external.iter() {
            if labels.get(name).is_none() {
                builder.set(name, value);
            }
        }
        builder.build()
    }

    fn samples(&self, queries: &[Query]) -> Result<Answer, ApiError> {
        let mut left = self.samples_max;
        let mut message_bytes = 0;
        let mut selected: Vec<Vec<Selected>> = Vec::new();
        for query in queries {
            let mut result = Vec::new();
            self.each(query, |labels, series| {
                let count = series.floats.timestamps.len() + series.histograms.timestamps.len();
                left = left.checked_sub(count).ok_or_else(|| {
                    let max = self.samples_max;
                    ApiError::bad_data(format!("exceeded sample limit ({max})"))
                })?;
                let histograms = series.histograms.values.iter().map(AsRef::as_ref);
                message_bytes +=
                    series_bytes_max(&labels, series.floats.timestamps.len(), histograms);
                if message_bytes > self.message_bytes_max {
                    let max = self.message_bytes_max;
                    let text = format!("the answer is larger than {max} bytes: read less at once");
                    return Err(ApiError::bad_data(text));
                }
                let times = series.floats.timestamps.iter().copied();
                let floats = times.zip(series.floats.values.iter().copied()).collect();
                result.push((labels, floats, series.histograms));
                Ok(())
            })?;
            result.sort_by(|one, other| one.0.cmp(&other.0));
            selected.push(result);
        }
        let answers: Vec<Vec<ReadAnswer<'_>>> = selected
            .iter()
            .map(|result| {
                let answers = result.iter().map(|(labels, floats, histograms)| ReadAnswer {
                    labels: labels.clone(),
                    floats,
                    histograms: histogram_samples(histograms).collect(),
                });
                answers.collect()
            })
            .collect();
        let message = samples_message(&answers);
        let packed = snap::raw::Encoder::new().compress_vec(&message);
        packed
            .map(|packed| Answer::Samples(packed.into()))
            .map_err(|error| ApiError::internal(error.to_string()))
    }

    fn frames(&self, queries: &[Query]) -> Result<Answer, ApiError> {
        let (mut frames, mut bytes) = (VecDeque::new(), 0);
        for (idx, query) in queries.iter().enumerate() {
            let mut result: Vec<(Labels, Vec<Chunk>)> = Vec::new();
            self.each(query, |labels, series| {
                let chunks = chunks_of(&series);
                bytes += chunks.iter().map(|chunk| chunk.data.len()).sum::<usize>();
                if bytes > CHUNK_BYTES_MAX {
                    let text = format!("the answer has more than {CHUNK_BYTES_MAX} bytes of chunks: read less at once");
                    return Err(ApiError::bad_data(text));
                }
                result.push((labels, chunks));
                Ok(())
            })?;
            result.sort_by(|one, other| one.0.cmp(&other.0));
            for (labels, chunks) in result {
                let labels = encode_labels(&labels);
                for part in framed(&chunks) {
                    let mut frame = Vec::new();
                    put_frame(&chunked_series(&labels, part, idx), &mut frame);
                    frames.push_back(frame.into());
                }
            }
        }
        Ok(Answer::Frames(frames))
    }
}

fn histogram_samples(
    column: &HistogramColumn,
) -> impl Iterator<Item = (i64, &swell_model::NativeHistogram)> {
    column.timestamps.iter().copied().zip(column.values.iter().map(AsRef::as_ref))
}

/// Chunks of a series in the order of time.
fn chunks_of(series: &SeriesData) -> Vec<Chunk> {
    let mut chunks: Vec<Chunk> =
        float_chunks(&series.floats.timestamps, &series.floats.values).collect();
    let has_both = !chunks.is_empty() && !series.histograms.timestamps.is_empty();
    chunks.extend(histogram_chunks(histogram_samples(&series.histograms)));
    if has_both {
        // A series that changed its kind. Floats before and behind a histogram must not share a chunk.
        return interleaved(series);
    }
    chunks
}

/// Chunks of a series with floats and histograms: a run of floats ends where a histogram comes.
fn interleaved(series: &SeriesData) -> Vec<Chunk> {
    let (times, values) = (&series.floats.timestamps, &series.floats.values);
    let mut chunks = Vec::new();
    let mut first = 0;
    for (at_ms, value) in histogram_samples(&series.histograms) {
        let next = times.partition_point(|time| *time < at_ms);
        chunks.extend(float_chunks(&times[first..next], &values[first..next]));
        first = next;
        chunks.extend(histogram_chunks([(at_ms, value)].into_iter()));
    }
    chunks.extend(float_chunks(&times[first..], &values[first..]));
    chunks
}

/// The chunks by frame; a series without any has one frame, which says that it is there.
fn framed(chunks: &[Chunk]) -> Vec<&[Chunk]> {
    let mut frames = Vec::new();
    let (mut first, mut bytes) = (0, 0);
    for (idx, chunk) in chunks.iter().enumerate() {
        if idx > first && bytes + chunk.data.len() > FRAME_BYTES_MAX {
            frames.push(&chunks[first..idx]);
            (first, bytes) = (idx, 0);
        }
        bytes += chunk.data.len();
    }
    frames.push(&chunks[first..]);
    frames
}

#[cfg(test)]
mod tests {
    use swell_model::{FloatColumn, NativeHistogram};

    use super::*;

    #[test]
    fn floats_around_a_histogram_stand_in_chunks_of_their_own() {
        let series = SeriesData {
            floats: FloatColumn {
                timestamps: [1, 2, 5, 6].into(),
                values: [0.0; 4].into(),
                starts: None,
            },
            histograms: HistogramColumn {
                timestamps: vec![3, 4],
                values: (0..2).map(|_| Arc::new(NativeHistogram::default())).collect(),
                starts: None,
            },
            ..SeriesData::default()
        };
        let ends = |chunk: &Chunk| (chunk.first_ms, chunk.last_ms, chunk.encoding);
        let found: Vec<_> = chunks_of(&series).iter().map(ends).collect();
        assert_eq!(found, [(1, 2, 1), (3, 3, 3), (4, 4, 3), (5, 6, 1)]);
    }

    #[test]
    fn frames_are_bounded_and_none_is_lost() {
        let chunk = |len: usize| Chunk { first_ms: 0, last_ms: 0, encoding: 1, data: vec![0; len] };
        let lens = |lens: &[usize]| {
            let chunks: Vec<Chunk> = lens.iter().map(|len| chunk(*len)).collect();
            framed(&chunks).iter().map(|frame| frame.len()).collect::<Vec<_>>()
        };
        assert_eq!(lens(&[]), [0]);
        assert_eq!(lens(&[10, 10]), [2]);
        assert_eq!(
            lens(&[FRAME_BYTES_MAX, 10, FRAME_BYTES_MAX, 2 * FRAME_BYTES_MAX]),
            [1, 1, 1, 1]
        );
    }
}
