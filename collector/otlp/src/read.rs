//! From bytes to messages. What a body would take in memory is bounded before it is built: a message of two bytes may
//! become a structure of some hundred.

use prost::Message as _;

use crate::message::ExportRequest;

/// Messages in one request, each attribute and each value counted: 50,000 points with ten attributes have about as many.
pub const MESSAGES_MAX: usize = 1 << 20;

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// `application/x-protobuf`.
    Protobuf,
    /// `application/json`.
    Json,
}

/// Why a body is not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// No such message.
    #[error("the body is no ExportMetricsServiceRequest: {0}")]
    Malformed(String),
    /// More than one request may have.
    #[error(
        "the request has more than {MESSAGES_MAX} messages, attributes counted: send smaller batches"
    )]
    TooMany,
}

/// Reads a request.
///
/// # Errors
/// [`ReadError`] when the bytes are no such request, or hold more than is read.
pub fn read(bytes: &[u8], encoding: Encoding) -> Result<ExportRequest, ReadError> {
    let malformed = |error: &dyn std::fmt::Display| ReadError::Malformed(error.to_string());
    match encoding {
        Encoding::Protobuf => {
            check_protobuf(bytes)?;
            ExportRequest::decode(bytes).map_err(|error| malformed(&error))
        }
        Encoding::Json => {
            // Each message is an object, or a list to a lenient reader; those inside of texts count too, which only
            // makes the limit tighter.
            if bytes.iter().filter(|byte| matches!(byte, b'{' | b'[')).count() > MESSAGES_MAX {
                return Err(ReadError::TooMany);
            }
            if bytes.trim_ascii_start().first() != Some(&b'{') {
                return Err(ReadError::Malformed("it is no JSON object".to_owned()));
            }
            serde_json::from_slice(bytes).map_err(|error| malformed(&error))
        }
    }
}

/// Checks that protobuf holds no more messages than are read, without building any.
///
/// # Errors
/// [`ReadError::TooMany`]; [`ReadError::Malformed`] where the check cannot follow: behind such a place the reader might
/// find messages that nobody counted.
pub fn check_protobuf(bytes: &[u8]) -> Result<(), ReadError> {
    let mut left = MESSAGES_MAX;
    count(bytes, Level::Request, &mut left, 0)
}

/// Kinds of messages that hold messages.
#[derive(Clone, Copy)]
enum Level {
    Request,
    ResourceMetrics,
    Resource,
    ScopeMetrics,
    Scope,
    Metric,
    Numbers,
    Histograms,
    Exponentials,
    Summaries,
    Number,
    Histogram,
    Exponential,
    Summary,
    Exemplar,
    KeyValue,
    AnyValue,
    List,
    Map,
    Leaf,
}

impl Level {
    /// What a field of bytes holds; none for texts and packed numbers.
    const fn inner(self, field: u64) -> Option<Self> {
        Some(match (self, field) {
            (Self::Request, 1) => Self::ResourceMetrics,
            (Self::ResourceMetrics, 1) => Self::Resource,
            (Self::ResourceMetrics, 2) => Self::ScopeMetrics,
            (Self::ScopeMetrics, 1) => Self::Scope,
            (Self::ScopeMetrics, 2) => Self::Metric,
            (Self::Resource | Self::Map, 1)
            | (Self::Scope, 3)
            | (Self::Number | Self::Summary | Self::Exemplar, 7)
            | (Self::Histogram, 9)
            | (Self::Exponential, 1) => Self::KeyValue,
            (Self::Metric, 5 | 7) => Self::Numbers,
            (Self::Metric, 9) => Self::Histograms,
            (Self::Metric, 10) => Self::Exponentials,
            (Self::Metric, 11) => Self::Summaries,
            (Self::Numbers, 1) => Self::Number,
            (Self::Histograms, 1) => Self::Histogram,
            (Self::Exponentials, 1) => Self::Exponential,
            (Self::Summaries, 1) => Self::Summary,
            (Self::Number, 5) | (Self::Histogram, 8) | (Self::Exponential, 11) => Self::Exemplar,
            (Self::Exponential, 8 | 9) | (Self::Summary, 6) => Self::Leaf,
            (Self::KeyValue, 2) | (Self::List, 1) => Self::AnyValue,
            (Self::AnyValue, 5) => Self::List,
            (Self::AnyValue, 6) => Self::Map,
            _ => return None,
        })
    }
}

/// Levels that the reader goes down at most.
const DEPTH_MAX: usize = 100;

/// Takes the messages in `bytes` off `left`, which stays above 0.
fn count(mut bytes: &[u8], level: Level, left: &mut usize, depth: usize) -> Result<(), ReadError> {
    let malformed = |what: &str| ReadError::Malformed(what.to_owned());
    if depth > DEPTH_MAX {
        return Err(malformed("its messages are nested too deep"));
    }
    while !bytes.is_empty() {
        let tag = varint(&mut bytes).ok_or_else(|| malformed("a tag does not end"))?;
        let len = match tag & 7 {
            0 => {
                varint(&mut bytes).ok_or_else(|| malformed("a number does not end"))?;
                0
            }
            1 => 8,
            5 => 4,
            2 => {
                let len = varint(&mut bytes).and_then(|len| usize::try_from(len).ok());
                len.ok_or_else(|| malformed("a length is none"))?
            }
            // No message of OTLP has groups. A reader skips unknown ones, and so reads on behind them.
            3 | 4 => return Err(malformed("it has groups, which OTLP has not")),
            other => return Err(malformed(&format!("a field has the unknown wire type {other}"))),
        };
        let Some((value, rest)) = bytes.split_at_checked(len) else {
            return Err(malformed("a field is longer than its message"));
        };
        bytes = rest;
        if tag & 7 == 2
            && let Some(inner) = level.inner(tag >> 3)
        {
            *left -= 1;
            if *left == 0 {
                return Err(ReadError::TooMany);
            }
            count(value, inner, left, depth + 1)?;
        }
    }
    Ok(())
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for (idx, byte) in bytes.iter().take(10).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * idx);
        if *byte < 0x80 {
            *bytes = &bytes[idx + 1..];
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Gauge, Metric, NumberPoint, ResourceMetrics, ScopeMetrics};

    fn points(count: usize) -> Vec<u8> {
        let data_points = vec![NumberPoint::default(); count];
        let metric = Metric { gauge: Some(Gauge { data_points }), ..Metric::default() };
        let scope = ScopeMetrics { metrics: vec![metric], ..ScopeMetrics::default() };
        let resource = ResourceMetrics { scope_metrics: vec![scope], ..ResourceMetrics::default() };
        ExportRequest { resource_metrics: vec![resource] }.encode_to_vec()
    }

    #[test]
    fn two_bytes_a_message_are_counted_before_they_are_built() {
        // Resource, scope, metric and gauge are messages too, and one is kept.
        let most = MESSAGES_MAX - 5;
        assert!(check_protobuf(&points(most)).is_ok());
        let error = read(&points(most + 1), Encoding::Protobuf).expect_err("too many");
        assert!(error.to_string().contains("1048576 messages"), "{error}");
        let json = format!("{{\"resourceMetrics\":[{}]}}", vec!["{}"; MESSAGES_MAX].join(","));
        assert!(matches!(read(json.as_bytes(), Encoding::Json), Err(ReadError::TooMany)));
    }

    #[test]
    fn nothing_is_built_behind_what_cannot_be_counted() {
        // More metrics of two bytes than are read, behind each thing that ends the count.
        let metrics = [0x12, 0x00].repeat(MESSAGES_MAX + 1);
        let wrapped = |inner: Vec<u8>| {
            let mut outer = vec![0x0a];
            prost::encode_length_delimiter(inner.len(), &mut outer).expect("room");
            outer.extend_from_slice(&inner);
            outer
        };
        for start in [
            // An empty group, and one that is not closed.
            &[0x7b, 0x7c][..],
            &[0x7b],
            &[0x7c],
            // Wire types that there are not.
            &[0x7e],
            &[0x7f],
            // A tag, a number and a length that do not end.
            &[0xff; 11],
            &[0x78, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x7a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[0x7a, 0xff, 0xff, 0xff, 0xff, 0x0f],
        ] {
            let mut scope = start.to_vec();
            scope.extend_from_slice(&metrics);
            let mut resource = wrapped(scope);
            resource[0] = 0x12;
            let checked = check_protobuf(&wrapped(resource));
            assert!(matches!(checked, Err(ReadError::Malformed(_))), "{start:x?}: {checked:?}");
        }
    }

    #[test]
    fn what_is_no_request_is_told() {
        for (bytes, encoding) in [
            (&b"\x0a\xff"[..], Encoding::Protobuf),
            (b"{", Encoding::Json),
            (b"[]", Encoding::Json),
            (b"", Encoding::Json),
        ] {
            assert!(matches!(read(bytes, encoding), Err(ReadError::Malformed(_))), "{bytes:?}");
        }
    }

    #[test]
    fn deep_values_end_somewhere() {
        let mut value = Vec::new();
        for _ in 0..200 {
            // A list of one value around it.
            for tag in [0x0a, 0x2a] {
                let mut outer = vec![tag];
                prost::encode_length_delimiter(value.len(), &mut outer).expect("room");
                outer.extend_from_slice(&value);
                value = outer;
            }
        }
        let mut attribute = vec![0x12];
        prost::encode_length_delimiter(value.len(), &mut attribute).expect("room");
        attribute.extend_from_slice(&value);
        for tag in [0x0a, 0x0a, 0x0a] {
            let mut outer = vec![tag];
            prost::encode_length_delimiter(attribute.len(), &mut outer).expect("room");
            outer.extend_from_slice(&attribute);
            attribute = outer;
        }
        assert!(matches!(read(&attribute, Encoding::Protobuf), Err(ReadError::Malformed(_))));
    }
}
