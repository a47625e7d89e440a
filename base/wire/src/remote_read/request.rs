//! `prometheus.ReadRequest`.

use swell_model::{MatchOp, Matcher, MatcherError, TimeRange, TimestampMs};

use crate::protobuf::{Cursor, WireError, each_field, low_u32, repeated};

/// A form of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResponseType {
    /// All samples in one message.
    Samples,
    /// Frames of chunks.
    StreamedXorChunks,
}

/// What is asked for.
#[derive(Clone, Debug)]
pub struct ReadRequest {
    /// Each is answered by itself.
    pub queries: Vec<Query>,
    /// The first of the wanted forms that there is; one message with samples where none was named.
    pub response_type: ResponseType,
}

/// One selection.
#[derive(Clone, Debug)]
pub struct Query {
    /// Both ends belong.
    pub range: TimeRange,
    /// All must match; none match everything.
    pub matchers: Vec<Matcher>,
}

/// Why a request is not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadRequestError {
    /// No such message.
    #[error("the body is no ReadRequest: {0}")]
    Malformed(#[from] WireError),
    /// A pattern that does not compile.
    #[error("a matcher of the request is wrong")]
    Matcher(#[from] MatcherError),
    /// A kind of matcher that nobody knows.
    #[error("a matcher has the unknown type {0}")]
    MatcherType(u32),
    /// Forms that nobody knows.
    #[error(
        "none of the accepted response types is known: SAMPLES (0) and STREAMED_XOR_CHUNKS (1) are"
    )]
    ResponseType,
    /// A name or value that is no text.
    #[error("a matcher is not UTF-8")]
    NotUtf8,
}

/// Reads a request.
///
/// # Errors
/// [`ReadRequestError`] when the bytes are none, or ask for what there is not.
pub fn read_request(bytes: &[u8]) -> Result<ReadRequest, ReadRequestError> {
    let (mut queries, mut accepted): (Vec<Cursor<'_>>, Vec<u32>) = (Vec::new(), Vec::new());
    each_field(Cursor::new(bytes), |field, value, at| {
        match field {
            1 => queries.push(value.stretch(at)?),
            2 => repeated(
                value,
                at,
                &mut accepted,
                |packed| packed.varint().map(low_u32),
                |single| single.u32(at),
            )?,
            _ => {}
        }
        Ok(())
    })?;
    let known = |number: &u32| match number {
        0 => Some(ResponseType::Samples),
        1 => Some(ResponseType::StreamedXorChunks),
        _ => None,
    };
    let response_type = match accepted.iter().find_map(known) {
        Some(found) => found,
        None if accepted.is_empty() => ResponseType::Samples,
        None => return Err(ReadRequestError::ResponseType),
    };
    let queries = queries.into_iter().map(query).collect::<Result<_, _>>()?;
    Ok(ReadRequest { queries, response_type })
}

fn query(message: Cursor<'_>) -> Result<Query, ReadRequestError> {
    let (mut start, mut end, mut matchers) = (0, 0, Vec::new());
    each_field(message, |field, value, at| {
        match field {
            1 => start = value.signed(at)?,
            2 => end = value.signed(at)?,
            3 => matchers.push(value.stretch(at)?),
            _ => {}
        }
        Ok(())
    })?;
    let range = TimeRange { start_incl: TimestampMs(start), end_incl: TimestampMs(end) };
    let matchers = matchers.into_iter().map(matcher).collect::<Result<_, _>>()?;
    Ok(Query { range, matchers })
}

fn matcher(message: Cursor<'_>) -> Result<Matcher, ReadRequestError> {
    let (mut kind, mut name, mut value) = (0, &b""[..], &b""[..]);
    each_field(message, |field, content, at| {
        match field {
            1 => kind = content.u32(at)?,
            2 => name = content.stretch(at)?.bytes(),
            3 => value = content.stretch(at)?.bytes(),
            _ => {}
        }
        Ok(())
    })?;
    let op = match kind {
        0 => MatchOp::Equal,
        1 => MatchOp::NotEqual,
        2 => MatchOp::Regex,
        3 => MatchOp::NotRegex,
        other => return Err(ReadRequestError::MatcherType(other)),
    };
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| ReadRequestError::NotUtf8);
    Ok(Matcher::new(text(name)?, op, text(value)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protobuf::{bytes_tag, put_bytes, put_varint, varint_tag};

    fn request(kind: u8, value: &str, accepted: &[u8]) -> Vec<u8> {
        let mut matcher = vec![varint_tag(1), kind];
        put_bytes(bytes_tag(2), b"job", &mut matcher);
        put_bytes(bytes_tag(3), value.as_bytes(), &mut matcher);
        let mut query = vec![varint_tag(1), 10, varint_tag(2)];
        put_varint(2000, &mut query);
        put_bytes(bytes_tag(3), &matcher, &mut query);
        let mut request = Vec::new();
        put_bytes(bytes_tag(1), &query, &mut request);
        put_bytes(bytes_tag(2), accepted, &mut request);
        request
    }

    #[test]
    fn a_request_names_its_range_its_matchers_and_forms() {
        let found = read_request(&request(2, "a.*", &[7, 1, 0])).expect("good");
        assert_eq!(found.response_type, ResponseType::StreamedXorChunks);
        let [query] = &found.queries[..] else { panic!("one query") };
        assert_eq!((query.range.start_incl.0, query.range.end_incl.0), (10, 2000));
        assert_eq!(
            (query.matchers[0].op, query.matchers[0].value.as_str()),
            (MatchOp::Regex, "a.*")
        );
        let found = read_request(&request(0, "a", &[])).expect("good");
        assert_eq!(found.response_type, ResponseType::Samples);
    }

    #[test]
    fn what_is_asked_wrongly_is_told() {
        for (bytes, part) in [
            (request(4, "a", &[]), "unknown type 4"),
            (request(2, "(", &[]), "a matcher"),
            (request(0, "a", &[9]), "response types"),
            (vec![0x0a, 0xff], "no ReadRequest"),
        ] {
            let error = read_request(&bytes).expect_err(part);
            assert!(error.to_string().contains(part), "{error}");
        }
    }
}
