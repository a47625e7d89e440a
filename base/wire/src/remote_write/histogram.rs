//! Native histograms of a request, and the rules they must keep (Prometheus `model/histogram`, `Validate`).

use swell_model::{CounterResetHint, NativeHistogram, Span};

use super::protobuf::{Cursor, Value, WireError, each_field, low_u32, repeated, unzigzag};

/// Finest exponential schema that is stored; finer ones are brought down to it.
const SCHEMA_MAX: i32 = 8;
const SCHEMA_MIN: i32 = -4;
/// Finest exponential schema that is read.
const WIRE_SCHEMA_MAX: i32 = 52;
/// Bucket indices beyond this are of no float.
const BUCKET_INDEX_MAX: i64 = 1 << 30;

/// A histogram that is not read yet.
#[derive(Clone, Copy, Debug)]
pub struct HistogramMessage<'a> {
    pub(super) cursor: Cursor<'a>,
}

/// A histogram with its times.
#[derive(Clone, Debug, PartialEq)]
pub struct WireHistogram {
    /// When, in milliseconds.
    pub timestamp_ms: i64,
    /// Since when it counts, in milliseconds; 0 for unknown, and always in 1.0.
    pub start_ms: i64,
    /// What; its sum may be the staleness marker.
    pub value: NativeHistogram,
}

/// Which rule a histogram breaks.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum InvalidHistogram {
    /// Neither exponential nor custom.
    #[error("schema {0} is not known: exponential ones are -4 to 52, custom bounds -53")]
    Schema(i32),
    /// A span behind the first goes back.
    #[error("span {idx} has the negative offset {offset}")]
    NegativeOffset {
        /// Which span.
        idx: usize,
        /// Its offset.
        offset: i32,
    },
    /// Spans and buckets disagree.
    #[error("spans have {spans} buckets, the histogram has {buckets}")]
    Spans {
        /// Buckets that the spans name.
        spans: u64,
        /// Buckets that are there.
        buckets: usize,
    },
    /// A bucket lies outside of what floats reach.
    #[error("bucket index {0} is out of range")]
    BucketIndex(i64),
    /// A bucket with fewer than no observations.
    #[error("a bucket has the negative count {0}")]
    NegativeBucket(f64),
    /// Buckets and count disagree.
    #[error("buckets hold {buckets} observations, the count says {count}")]
    Count {
        /// Sum over the buckets.
        buckets: f64,
        /// What the histogram says.
        count: f64,
    },
    /// Custom bounds do not rise.
    #[error("custom bound {current} does not rise above {previous}")]
    BoundsNotRising {
        /// The bound before.
        previous: f64,
        /// The bound.
        current: f64,
    },
    /// The last bucket's bound is implied.
    #[error("the bound +Inf must not be given")]
    InfiniteBound,
    /// Custom buckets with something that only exponential ones have.
    #[error("custom buckets have no {0}")]
    NotCustom(&'static str),
    /// Exponential buckets with bounds.
    #[error("exponential buckets have no custom bounds")]
    NotExponential,
    /// More buckets than bounds.
    #[error("{buckets} custom buckets need more than {bounds} bounds")]
    TooFewBounds {
        /// Buckets up to the last one named.
        buckets: u64,
        /// Bounds.
        bounds: usize,
    },
}

/// Why a histogram was not read.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
pub enum ReadHistogramError {
    /// The request is malformed.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The histogram breaks a rule; the rest of the request may be good.
    #[error("invalid histogram: {0}")]
    Invalid(#[from] InvalidHistogram),
}

/// One side, as it is on the wire.
#[derive(Debug, Default)]
struct Side {
    spans: Vec<Span>,
    deltas: Vec<i64>,
    counts: Vec<f64>,
}

#[derive(Debug, Default)]
struct Raw {
    count_int: Option<u64>,
    count_float: f64,
    sum: f64,
    schema: i32,
    zero_threshold: f64,
    zero_count_int: u64,
    zero_count_float: f64,
    negative: Side,
    positive: Side,
    reset_hint: CounterResetHint,
    timestamp_ms: i64,
    custom_bounds: Vec<f64>,
    start_ms: i64,
}

impl HistogramMessage<'_> {
    /// Reads and checks it.
    ///
    /// # Errors
    /// [`ReadHistogramError`]: malformed, or against a rule.
    pub fn read(&self) -> Result<WireHistogram, ReadHistogramError> {
        let raw = Raw::read(self.cursor)?;
        Ok(raw.checked()?)
    }
}

impl Raw {
    fn read(cursor: Cursor<'_>) -> Result<Self, WireError> {
        // Without a count it is an integer histogram of nothing; the last member of a group counts.
        let mut raw = Self { count_int: Some(0), ..Self::default() };
        each_field(cursor, |number, value, at| {
            match number {
                1 => raw.count_int = Some(value.number(at)?),
                2 => {
                    raw.count_int = None;
                    raw.count_float = value.float(at)?;
                }
                3 => raw.sum = value.float(at)?,
                4 => raw.schema = sint32(value.number(at)?),
                5 => raw.zero_threshold = value.float(at)?,
                6 => raw.zero_count_int = value.number(at)?,
                7 => raw.zero_count_float = value.float(at)?,
                8 => raw.negative.spans.push(span(value.stretch(at)?)?),
                9 => deltas(value, at, &mut raw.negative.deltas)?,
                10 => doubles(value, at, &mut raw.negative.counts)?,
                11 => raw.positive.spans.push(span(value.stretch(at)?)?),
                12 => deltas(value, at, &mut raw.positive.deltas)?,
                13 => doubles(value, at, &mut raw.positive.counts)?,
                14 => raw.reset_hint = reset_hint(value.number(at)?),
                15 => raw.timestamp_ms = value.signed(at)?,
                16 => doubles(value, at, &mut raw.custom_bounds)?,
                17 => raw.start_ms = value.signed(at)?,
                _ => {}
            }
            Ok(())
        })?;
        Ok(raw)
    }

    fn checked(self) -> Result<WireHistogram, InvalidHistogram> {
        let is_custom = self.schema == NativeHistogram::CUSTOM_SCHEMA;
        if !is_custom && !(SCHEMA_MIN..=WIRE_SCHEMA_MAX).contains(&self.schema) {
            return Err(InvalidHistogram::Schema(self.schema));
        }
        let is_int = self.count_int.is_some();
        let positive = self.positive.counted(is_int);
        let negative = self.negative.counted(is_int);
        let zero_count = if is_int { float_of(self.zero_count_int) } else { self.zero_count_float };
        if is_custom {
            check_bounds(&self.custom_bounds)?;
            let faults = [
                (zero_count != 0.0, "zero bucket"),
                (self.zero_threshold != 0.0, "zero threshold"),
                (!self.negative.spans.is_empty(), "negative spans"),
                (!negative.is_empty(), "negative buckets"),
            ];
            if let Some((_, what)) = faults.into_iter().find(|(found, _)| *found) {
                return Err(InvalidHistogram::NotCustom(what));
            }
        } else if !self.custom_bounds.is_empty() {
            return Err(InvalidHistogram::NotExponential);
        }
        let reach = check_spans(&self.positive.spans, positive.len(), is_custom)?;
        check_spans(&self.negative.spans, negative.len(), is_custom)?;
        if is_custom && reach > self.custom_bounds.len() as u64 + 1 {
            let bounds = self.custom_bounds.len();
            return Err(InvalidHistogram::TooFewBounds { buckets: reach, bounds });
        }
        let all = || positive.iter().chain(&negative).chain(std::iter::once(&zero_count)).copied();
        if let Some(count) = all().find(|count| *count < 0.0) {
            return Err(InvalidHistogram::NegativeBucket(count));
        }
        let count = self.count_int.map_or(self.count_float, float_of);
        if is_int {
            // Observations of NaN are counted, and are in no bucket.
            let buckets: f64 = all().sum();
            let agrees = if self.sum.is_nan() { buckets <= count } else { buckets == count };
            if !agrees {
                return Err(InvalidHistogram::Count { buckets, count });
            }
        }
        let value = NativeHistogram {
            schema: self.schema,
            reset_hint: self.reset_hint,
            zero_threshold: self.zero_threshold,
            zero_count,
            count,
            sum: self.sum,
            positive_spans: self.positive.spans,
            positive_buckets: positive,
            negative_spans: self.negative.spans,
            negative_buckets: negative,
            custom_bounds: self.custom_bounds,
        };
        let value = brought_down(value);
        Ok(WireHistogram { timestamp_ms: self.timestamp_ms, start_ms: self.start_ms, value })
    }
}

impl Side {
    /// Absolute counts.
    fn counted(&self, is_int: bool) -> Vec<f64> {
        if !is_int {
            return self.counts.clone();
        }
        let mut count = 0_i64;
        let absolute = self.deltas.iter().map(|delta| {
            count = count.wrapping_add(*delta);
            count
        });
        absolute.map(signed_float_of).collect()
    }
}

/// The histogram at a schema that is stored; all but its buckets stays as it is.
fn brought_down(value: NativeHistogram) -> NativeHistogram {
    /// Indices have 32 bits, so they are not moved by all of a difference at once.
    const STEP: i32 = 16;
    let (sum, reset_hint) = (value.sum, value.reset_hint);
    let mut value = value;
    while value.schema > SCHEMA_MAX {
        value = value.at_schema(SCHEMA_MAX.max(value.schema - STEP));
    }
    NativeHistogram { sum, reset_hint, ..value }
}

/// Counts beyond 2^53 lose their last digits, as they do in float histograms everywhere.
#[expect(clippy::cast_precision_loss, reason = "stated above")]
const fn float_of(count: u64) -> f64 {
    count as f64
}

#[expect(clippy::cast_precision_loss, reason = "as for unsigned counts")]
const fn signed_float_of(count: i64) -> f64 {
    count as f64
}

fn check_bounds(bounds: &[f64]) -> Result<(), InvalidHistogram> {
    let mut previous = f64::NEG_INFINITY;
    for current in bounds.iter().copied() {
        // A NaN does not rise either.
        if current.partial_cmp(&previous) != Some(std::cmp::Ordering::Greater) {
            return Err(InvalidHistogram::BoundsNotRising { previous, current });
        }
        previous = current;
    }
    if previous == f64::INFINITY { Err(InvalidHistogram::InfiniteBound) } else { Ok(()) }
}

/// Gives the number of buckets from index 0 to the last one named.
fn check_spans(
    spans: &[Span],
    bucket_count: usize,
    is_custom: bool,
) -> Result<u64, InvalidHistogram> {
    let (mut named, mut index) = (0_u64, 0_i64);
    for (idx, span) in spans.iter().enumerate() {
        if span.offset < 0 && (idx > 0 || is_custom) {
            return Err(InvalidHistogram::NegativeOffset { idx, offset: span.offset });
        }
        named += u64::from(span.length);
        let ends = [i64::from(span.offset), i64::from(span.length)];
        for step in ends {
            index += step;
            if index.abs() > BUCKET_INDEX_MAX {
                return Err(InvalidHistogram::BucketIndex(index));
            }
        }
    }
    if named != bucket_count as u64 {
        return Err(InvalidHistogram::Spans { spans: named, buckets: bucket_count });
    }
    Ok(index.unsigned_abs())
}

fn sint32(value: u64) -> i32 {
    let value = low_u32(value);
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

fn span(cursor: Cursor<'_>) -> Result<Span, WireError> {
    let mut span = Span { offset: 0, length: 0 };
    each_field(cursor, |number, value, at| {
        match number {
            1 => span.offset = sint32(value.number(at)?),
            2 => span.length = value.u32(at)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(span)
}

fn deltas<'a>(value: Value<'a>, at: &Cursor<'a>, out: &mut Vec<i64>) -> Result<(), WireError> {
    let single = |value: Value<'a>| value.number(at).map(unzigzag);
    repeated(value, at, out, |packed| packed.varint().map(unzigzag), single)
}

fn doubles<'a>(value: Value<'a>, at: &Cursor<'a>, out: &mut Vec<f64>) -> Result<(), WireError> {
    let single = |value: Value<'a>| value.float(at);
    repeated(value, at, out, |packed| packed.fixed64().map(f64::from_bits), single)
}

const fn reset_hint(number: u64) -> CounterResetHint {
    match number {
        1 => CounterResetHint::Reset,
        2 => CounterResetHint::NotReset,
        3 => CounterResetHint::Gauge,
        _ => CounterResetHint::Unknown,
    }
}
