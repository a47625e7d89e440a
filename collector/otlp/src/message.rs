//! The messages of OTLP metrics 1.x as they come over the wire, in protobuf and in JSON: one set of types for both.
//!
//! Members of a `oneof` stand as optional fields, which is the same on the wire. Fields that nothing here looks at are
//! left out: both readers pass over what they do not know. Numbers of fields are those of
//! `opentelemetry/proto/metrics/v1/metrics.proto` and `common/v1/common.proto`.

use prost::Message;
use serde::Deserialize;

use crate::json;

/// `ExportMetricsServiceRequest`.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExportRequest {
    /// One for each resource that is measured.
    #[prost(message, repeated, tag = "1")]
    pub resource_metrics: Vec<ResourceMetrics>,
}

/// `ExportMetricsServiceResponse`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct ExportResponse {
    /// Absent when everything was taken.
    #[prost(message, optional, tag = "1")]
    pub partial_success: Option<PartialSuccess>,
}

/// `ExportMetricsPartialSuccess`.
#[derive(Clone, PartialEq, Eq, Message)]
pub struct PartialSuccess {
    /// Points that were not taken.
    #[prost(int64, tag = "1")]
    pub rejected_data_points: i64,
    /// Why, for people.
    #[prost(string, tag = "2")]
    pub error_message: String,
}

/// Metrics of one resource.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ResourceMetrics {
    /// What is measured.
    #[prost(message, optional, tag = "1")]
    pub resource: Option<Resource>,
    /// One for each library that measures.
    #[prost(message, repeated, tag = "2")]
    pub scope_metrics: Vec<ScopeMetrics>,
}

/// What is measured.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Resource {
    /// Its attributes.
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
}

/// Metrics of one library.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ScopeMetrics {
    /// The library.
    #[prost(message, optional, tag = "1")]
    pub scope: Option<Scope>,
    /// Its metrics.
    #[prost(message, repeated, tag = "2")]
    pub metrics: Vec<Metric>,
    /// Schema of its attributes.
    #[prost(string, tag = "3")]
    pub schema_url: String,
}

/// `InstrumentationScope`.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Scope {
    /// Name of the library.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Its version.
    #[prost(string, tag = "2")]
    pub version: String,
    /// More about it.
    #[prost(message, repeated, tag = "3")]
    pub attributes: Vec<KeyValue>,
}

/// One metric. Of the kinds of points it has one; of several the last that is looked at counts.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Metric {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// One sentence.
    #[prost(string, tag = "2")]
    pub description: String,
    /// Unit in UCUM.
    #[prost(string, tag = "3")]
    pub unit: String,
    /// Values that go up and down.
    #[prost(message, optional, tag = "5")]
    pub gauge: Option<Gauge>,
    /// Values that are summed up.
    #[prost(message, optional, tag = "7")]
    pub sum: Option<Sum>,
    /// Distributions with listed bounds.
    #[prost(message, optional, tag = "9")]
    pub histogram: Option<Histogram>,
    /// Distributions with computed bounds.
    #[prost(message, optional, tag = "10")]
    pub exponential_histogram: Option<ExponentialHistogram>,
    /// Quantiles computed by the sender.
    #[prost(message, optional, tag = "11")]
    pub summary: Option<Summary>,
}

/// Values that go up and down.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Gauge {
    /// One for each set of attributes and time.
    #[prost(message, repeated, tag = "1")]
    pub data_points: Vec<NumberPoint>,
}

/// Values that are summed up.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Sum {
    /// One for each set of attributes and time.
    #[prost(message, repeated, tag = "1")]
    pub data_points: Vec<NumberPoint>,
    /// 1 since the point before, 2 since the start.
    #[prost(int32, tag = "2")]
    #[serde(deserialize_with = "json::temporality")]
    pub aggregation_temporality: i32,
    /// Whether it only rises.
    #[prost(bool, tag = "3")]
    pub is_monotonic: bool,
}

/// Distributions with listed bounds.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Histogram {
    /// One for each set of attributes and time.
    #[prost(message, repeated, tag = "1")]
    pub data_points: Vec<HistogramPoint>,
    /// 1 since the point before, 2 since the start.
    #[prost(int32, tag = "2")]
    #[serde(deserialize_with = "json::temporality")]
    pub aggregation_temporality: i32,
}

/// Distributions with computed bounds.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExponentialHistogram {
    /// One for each set of attributes and time.
    #[prost(message, repeated, tag = "1")]
    pub data_points: Vec<ExponentialPoint>,
    /// 1 since the point before, 2 since the start.
    #[prost(int32, tag = "2")]
    #[serde(deserialize_with = "json::temporality")]
    pub aggregation_temporality: i32,
}

/// Quantiles computed by the sender.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Summary {
    /// One for each set of attributes and time.
    #[prost(message, repeated, tag = "1")]
    pub data_points: Vec<SummaryPoint>,
}

/// `NumberDataPoint`.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct NumberPoint {
    /// What tells the series apart.
    #[prost(message, repeated, tag = "7")]
    pub attributes: Vec<KeyValue>,
    /// Nanoseconds since the epoch from which on is summed, 0 for unknown.
    #[prost(fixed64, tag = "2")]
    #[serde(deserialize_with = "json::whole")]
    pub start_time_unix_nano: u64,
    /// Nanoseconds since the epoch.
    #[prost(fixed64, tag = "3")]
    #[serde(deserialize_with = "json::whole")]
    pub time_unix_nano: u64,
    /// The value, or
    #[prost(double, optional, tag = "4")]
    #[serde(deserialize_with = "json::some_double")]
    pub as_double: Option<f64>,
    /// this.
    #[prost(sfixed64, optional, tag = "6")]
    #[serde(deserialize_with = "json::some_whole")]
    pub as_int: Option<i64>,
    /// Single measurements.
    #[prost(message, repeated, tag = "5")]
    pub exemplars: Vec<Exemplar>,
    /// [`NO_RECORDED_VALUE`], or 0.
    #[prost(uint32, tag = "8")]
    #[serde(deserialize_with = "json::whole")]
    pub flags: u32,
}

/// `HistogramDataPoint`.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct HistogramPoint {
    /// What tells the series apart.
    #[prost(message, repeated, tag = "9")]
    pub attributes: Vec<KeyValue>,
    /// Nanoseconds since the epoch from which on is counted, 0 for unknown.
    #[prost(fixed64, tag = "2")]
    #[serde(deserialize_with = "json::whole")]
    pub start_time_unix_nano: u64,
    /// Nanoseconds since the epoch.
    #[prost(fixed64, tag = "3")]
    #[serde(deserialize_with = "json::whole")]
    pub time_unix_nano: u64,
    /// Observations.
    #[prost(fixed64, tag = "4")]
    #[serde(deserialize_with = "json::whole")]
    pub count: u64,
    /// Their sum.
    #[prost(double, optional, tag = "5")]
    #[serde(deserialize_with = "json::some_double")]
    pub sum: Option<f64>,
    /// Observations of each bucket, one more than there are bounds; or none.
    #[prost(fixed64, repeated, tag = "6")]
    #[serde(deserialize_with = "json::wholes")]
    pub bucket_counts: Vec<u64>,
    /// Upper bounds, rising, the last bucket's left out.
    #[prost(double, repeated, tag = "7")]
    #[serde(deserialize_with = "json::doubles")]
    pub explicit_bounds: Vec<f64>,
    /// Single measurements.
    #[prost(message, repeated, tag = "8")]
    pub exemplars: Vec<Exemplar>,
    /// [`NO_RECORDED_VALUE`], or 0.
    #[prost(uint32, tag = "10")]
    #[serde(deserialize_with = "json::whole")]
    pub flags: u32,
}

/// `ExponentialHistogramDataPoint`.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ExponentialPoint {
    /// What tells the series apart.
    #[prost(message, repeated, tag = "1")]
    pub attributes: Vec<KeyValue>,
    /// Nanoseconds since the epoch from which on is counted, 0 for unknown.
    #[prost(fixed64, tag = "2")]
    #[serde(deserialize_with = "json::whole")]
    pub start_time_unix_nano: u64,
    /// Nanoseconds since the epoch.
    #[prost(fixed64, tag = "3")]
    #[serde(deserialize_with = "json::whole")]
    pub time_unix_nano: u64,
    /// Observations.
    #[prost(fixed64, tag = "4")]
    #[serde(deserialize_with = "json::whole")]
    pub count: u64,
    /// Their sum.
    #[prost(double, optional, tag = "5")]
    #[serde(deserialize_with = "json::some_double")]
    pub sum: Option<f64>,
    /// Buckets are 2^(2^-scale) wide.
    #[prost(sint32, tag = "6")]
    #[serde(deserialize_with = "json::whole")]
    pub scale: i32,
    /// Observations near zero.
    #[prost(fixed64, tag = "7")]
    #[serde(deserialize_with = "json::whole")]
    pub zero_count: u64,
    /// Buckets above zero.
    #[prost(message, optional, tag = "8")]
    pub positive: Option<Buckets>,
    /// Buckets below zero.
    #[prost(message, optional, tag = "9")]
    pub negative: Option<Buckets>,
    /// [`NO_RECORDED_VALUE`], or 0.
    #[prost(uint32, tag = "10")]
    #[serde(deserialize_with = "json::whole")]
    pub flags: u32,
    /// Single measurements.
    #[prost(message, repeated, tag = "11")]
    pub exemplars: Vec<Exemplar>,
    /// What is near zero: up to this on either side.
    #[prost(double, tag = "14")]
    #[serde(deserialize_with = "json::double")]
    pub zero_threshold: f64,
}

/// Buckets of one side, from the one next to zero.
#[derive(Clone, PartialEq, Eq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Buckets {
    /// Index of the first bucket; that of index 0 begins at 1.
    #[prost(sint32, tag = "1")]
    #[serde(deserialize_with = "json::whole")]
    pub offset: i32,
    /// Observations.
    #[prost(uint64, repeated, tag = "2")]
    #[serde(deserialize_with = "json::wholes")]
    pub bucket_counts: Vec<u64>,
}

/// `SummaryDataPoint`.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SummaryPoint {
    /// What tells the series apart.
    #[prost(message, repeated, tag = "7")]
    pub attributes: Vec<KeyValue>,
    /// Nanoseconds since the epoch from which on is counted, 0 for unknown.
    #[prost(fixed64, tag = "2")]
    #[serde(deserialize_with = "json::whole")]
    pub start_time_unix_nano: u64,
    /// Nanoseconds since the epoch.
    #[prost(fixed64, tag = "3")]
    #[serde(deserialize_with = "json::whole")]
    pub time_unix_nano: u64,
    /// Observations.
    #[prost(fixed64, tag = "4")]
    #[serde(deserialize_with = "json::whole")]
    pub count: u64,
    /// Their sum.
    #[prost(double, tag = "5")]
    #[serde(deserialize_with = "json::double")]
    pub sum: f64,
    /// Quantiles.
    #[prost(message, repeated, tag = "6")]
    pub quantile_values: Vec<ValueAtQuantile>,
    /// [`NO_RECORDED_VALUE`], or 0.
    #[prost(uint32, tag = "8")]
    #[serde(deserialize_with = "json::whole")]
    pub flags: u32,
}

/// One quantile of a summary.
#[derive(Clone, Copy, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ValueAtQuantile {
    /// Which, 0 to 1.
    #[prost(double, tag = "1")]
    #[serde(deserialize_with = "json::double")]
    pub quantile: f64,
    /// Its value.
    #[prost(double, tag = "2")]
    #[serde(deserialize_with = "json::double")]
    pub value: f64,
}

/// A single measurement.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Exemplar {
    /// Attributes that the point does not have.
    #[prost(message, repeated, tag = "7")]
    pub filtered_attributes: Vec<KeyValue>,
    /// Nanoseconds since the epoch.
    #[prost(fixed64, tag = "2")]
    #[serde(deserialize_with = "json::whole")]
    pub time_unix_nano: u64,
    /// The value, or
    #[prost(double, optional, tag = "3")]
    #[serde(deserialize_with = "json::some_double")]
    pub as_double: Option<f64>,
    /// this.
    #[prost(sfixed64, optional, tag = "6")]
    #[serde(deserialize_with = "json::some_whole")]
    pub as_int: Option<i64>,
    /// Span in which it was measured.
    #[prost(bytes = "vec", tag = "4")]
    #[serde(deserialize_with = "json::hex")]
    pub span_id: Vec<u8>,
    /// Trace of that span.
    #[prost(bytes = "vec", tag = "5")]
    #[serde(deserialize_with = "json::hex")]
    pub trace_id: Vec<u8>,
}

/// An attribute.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct KeyValue {
    /// Name.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Value; none is as good as an empty one.
    #[prost(message, optional, tag = "2")]
    pub value: Option<AnyValue>,
}

/// A value of one of seven types, or none.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AnyValue {
    /// Text.
    #[prost(string, optional, tag = "1")]
    pub string_value: Option<String>,
    /// Yes or no.
    #[prost(bool, optional, tag = "2")]
    pub bool_value: Option<bool>,
    /// Whole number.
    #[prost(int64, optional, tag = "3")]
    #[serde(deserialize_with = "json::some_whole")]
    pub int_value: Option<i64>,
    /// Number.
    #[prost(double, optional, tag = "4")]
    #[serde(deserialize_with = "json::some_double")]
    pub double_value: Option<f64>,
    /// List.
    #[prost(message, optional, tag = "5")]
    pub array_value: Option<ArrayValue>,
    /// Map.
    #[prost(message, optional, tag = "6")]
    pub kvlist_value: Option<KeyValueList>,
    /// Bytes.
    #[prost(bytes = "vec", optional, tag = "7")]
    #[serde(deserialize_with = "json::some_base64")]
    pub bytes_value: Option<Vec<u8>>,
}

/// A list of values.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ArrayValue {
    /// In order.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<AnyValue>,
}

/// A map of values.
#[derive(Clone, PartialEq, Message, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct KeyValueList {
    /// Each key once.
    #[prost(message, repeated, tag = "1")]
    pub values: Vec<KeyValue>,
}

/// Flag of a point: what it measures is gone.
pub const NO_RECORDED_VALUE: u32 = 1;
