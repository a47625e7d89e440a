//! Remote read: requests as a Prometheus sends them, and the two forms of answers: all samples in one message, or frames
//! of chunks as Prometheus stores them.
//!
//! Packing (snappy) and sending are the caller's.

mod answer;
mod bits;
mod chunks;
mod frame;
mod received;
mod request;

pub use answer::{ReadAnswer, chunked_series, samples_message, series_bytes_max};
pub use chunks::{Chunk, float_chunks, histogram_chunks};
pub use frame::{crc32c, put_frame};
pub use received::{
    ChunkedSeries, FrameError, ReceivedChunk, each_of_chunks, each_of_samples, take_frame,
};
pub use request::{
    MATCHERS_MAX, PATTERN_BYTES_MAX, PATTERNS_MAX, QUERIES_MAX, Query, ReadRequest,
    ReadRequestError, ResponseType, read_request, request_message,
};
