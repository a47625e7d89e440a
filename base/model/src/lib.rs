//! The ground vocabulary of Swell: time, labels, matchers, samples, native histograms, quantities,
//! and the traits that samples cross on their way in ([`SampleSink`], [`Pass`]) and out ([`SeriesSource`]).
//!
//! Nothing here reads a clock, a file or the environment, and nothing here is serialisable: shapes for
//! the wire live in `swell-wire` and in the crates that own a protocol.

mod aggregate;
mod arrivals;
mod document;
mod exact;
mod folds;
mod go_literal;
mod histogram;
mod ids;
mod join;
mod labelled;
mod labels;
mod matcher;
mod pass;
mod quantity;
mod re2;
mod sample;
mod sink;
mod source;
mod time;
mod wildcard;

pub use aggregate::{Aggregate, by_stretch, stretch_end};
pub use arrivals::{Arrivals, Tracked, TrackedSeries};
pub use document::first_document;
pub use exact::{ExactSum, RunningSums, float_parts};
pub use folds::{changes, falls, greatest, has_stale, is_change, least};
pub use go_literal::{LiteralFault, quote, quote_bytes, unquote, unquote_bytes};
pub use histogram::{
    Bucket, CombineNotes, CounterResetHint, HistogramRun, HistogramSum, IncompatibleSchema,
    InvalidHistogram, KahanSum, Keep, NativeHistogram, Span, histogram_runs,
};
pub use ids::{ByteCount, CpuMilli, Ratio, SeriesRef};
pub use join::join_samples;
pub use labelled::{LabelledBatch, LabelledFloat, LabelledHistogram, LabelledNo};
pub use labels::{Labels, LabelsBuilder, METRIC_NAME, METRIC_TYPE, METRIC_UNIT, label_order};
pub use matcher::{MatchOp, Matcher, MatcherError};
pub use pass::{Pass, PassDelta, PassSeries, SeriesNumber};
pub use quantity::{Quantity, QuantityError};
pub use re2::{PatternError, PatternFault, anchored_regex, expand, replace_all, searching_regex};
pub use sample::{STALE_NAN_BITS, SampleValue, is_stale_nan, stale_nan};
pub use sink::{
    AppendError, AppendReport, Batch, DropReason, DroppedSample, Exemplar, ExemplarSample,
    HistogramSample, MetricDescription, MetricKind, MetricMetadata, Row, SampleSink,
};
pub use source::{
    AtHand, Coarse, Figures, FloatColumn, GroupedIter, GroupedNewest, Grouping, HistogramColumn,
    LabelsIter, SelectError, SelectHints, SelectedGroups, SeriesData, SeriesIter, SeriesSource,
    Split, Thinned, Wanted, WindowGrid,
};
pub use time::{DurationMs, DurationParseError, TimeRange, TimestampMs};
