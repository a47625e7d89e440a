//! How a column becomes bytes: timestamps, decimal floats, raw floats, native histograms; estimate, encode, decode.
//!
//! A writer looks at the values, estimates each codec's size and writes the smallest; a reader decodes a whole
//! column into a slice. Bytes that are not what a writer made are errors, never panics, and never ask for more
//! memory than the caller allowed by the count it passes. There are no checksums here: they belong to files.
//!
//! [`Tail`] is the form a column has while it grows in memory.

mod bitpack;
mod bytes;
mod decimal;
mod error;
mod floats;
mod histograms;
mod ints;
pub mod prometheus;
mod tail;
mod times;
mod tokens;

pub use bytes::{Cursor, put_varint, put_zigzag, varint_len};
pub use decimal::{exact_exponent, exact_mantissa, float_of};
pub use error::DecodeError;
pub use floats::{
    Falls, FloatCursors, FloatHead, FloatParts, FloatReader, FloatStatistics, FloatWriter,
};
pub use histograms::{
    HISTOGRAM_BUCKETS_MAX, HISTOGRAMS_MAX, is_writable, read_histograms, write_histograms,
};
pub use tail::{TAIL_ROWS_MAX, Tail, TailColumn};
pub use times::{TIMES_MAX, TimesTail, read_times, write_times};
