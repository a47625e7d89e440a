//! `prometheus.ReadRequest`.

use swell_model::{MatchOp, Matcher, MatcherError, TimeRange, TimestampMs};

use crate::protobuf::{
    Cursor, WireError, bytes_tag, each_field, low_u32, put_bytes, put_varint, repeated, varint_tag,
};

/// Queries of one request; Prometheus sends one.
pub const QUERIES_MAX: usize = 64;
/// Matchers of one request, over all of its queries.
pub const MATCHERS_MAX: usize = 1024;
/// Of these, matchers with a pattern: each may take some MiB when it is compiled.
pub const PATTERNS_MAX: usize = 128;
/// Bytes of the patterns of one request.
pub const PATTERN_BYTES_MAX: usize = 64 << 10;

/// What a hint names as the function around a selection for a list of series: samples are not looked at.
const SERIES: &[u8] = b"series";

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
    /// Samples of these times are wanted, as far as its hints tell; both ends belong.
    pub range: TimeRange,
    /// All must match; none match everything.
    pub matchers: Vec<Matcher>,
    /// Whether its hints tell that only labels are looked at.
    pub labels_only: bool,
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
    /// More than one request may have.
    #[error("the request has more than {max} {what}: ask for less at once")]
    TooMuch {
        /// The limit.
        max: usize,
        /// What is limited, as a plural.
        what: &'static str,
    },
    /// A name or value that is no text.
    #[error("a matcher is not UTF-8")]
    NotUtf8,
}

/// A request with one query, which takes chunks, or else samples. With `labels_only` the server is told that samples may be
/// left out, as Prometheus tells it for lists of series; who does not know that sends them.
#[must_use]
pub fn request_message(range: TimeRange, matchers: &[Matcher], labels_only: bool) -> Vec<u8> {
    let put_number = |field: u8, number: i64, out: &mut Vec<u8>| {
        out.push(varint_tag(field));
        put_varint(number.cast_unsigned(), out);
    };
    let mut query = Vec::new();
    put_number(1, range.start_incl.0, &mut query);
    put_number(2, range.end_incl.0, &mut query);
    for matcher in matchers {
        let kind = match matcher.op {
            MatchOp::Equal => 0,
            MatchOp::NotEqual => 1,
            MatchOp::Regex => 2,
            MatchOp::NotRegex => 3,
        };
        let mut message = Vec::new();
        put_number(1, kind, &mut message);
        put_bytes(bytes_tag(2), matcher.name.as_bytes(), &mut message);
        put_bytes(bytes_tag(3), matcher.value.as_bytes(), &mut message);
        put_bytes(bytes_tag(3), &message, &mut query);
    }
    let mut hints = Vec::new();
    if labels_only {
        put_bytes(bytes_tag(2), SERIES, &mut hints);
    }
    put_number(3, range.start_incl.0, &mut hints);
    put_number(4, range.end_incl.0, &mut hints);
    put_bytes(bytes_tag(4), &hints, &mut query);
    let mut request = Vec::new();
    put_bytes(bytes_tag(1), &query, &mut request);
    // Streamed chunks first, then samples.
    put_bytes(bytes_tag(2), &[1, 0], &mut request);
    request
}

/// Reads a request, and then compiles its patterns: not for a thread that serves connections.
///
/// # Errors
/// [`ReadRequestError`] when the bytes are none, or ask for what there is not.
pub fn read_request(bytes: &[u8]) -> Result<ReadRequest, ReadRequestError> {
    let (mut queries, mut accepted): (Vec<Cursor<'_>>, Vec<u32>) = (Vec::new(), Vec::new());
    each_field(Cursor::new(bytes), |field, value, at| {
        match field {
            // One more tells that there are too many.
            1 if queries.len() <= QUERIES_MAX => queries.push(value.stretch(at)?),
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
    within(queries.len(), QUERIES_MAX, "queries")?;
    // Nothing is compiled before all is counted.
    let mut matcher_count = 0;
    let mut read = Vec::with_capacity(queries.len());
    for query in queries {
        let QueryParts { range, hints, matchers } = query_parts(query, &mut matcher_count)?;
        let matchers = matchers.into_iter().map(matcher).collect::<Result<Vec<_>, _>>()?;
        read.push((hints.narrowed(range), hints.labels_only, matchers));
    }
    let (mut pattern_count, mut pattern_bytes) = (0, 0);
    for part in read.iter().flat_map(|(_, _, matchers)| matchers) {
        if matches!(part.op, MatchOp::Regex | MatchOp::NotRegex) {
            pattern_count += 1;
            pattern_bytes += part.value.len();
        }
    }
    within(pattern_count, PATTERNS_MAX, "regular expressions")?;
    within(pattern_bytes, PATTERN_BYTES_MAX, "bytes of regular expressions")?;
    let compiled = |(range, labels_only, parts): (TimeRange, bool, Vec<MatcherParts<'_>>)| {
        let matchers = parts.into_iter().map(|it| Matcher::new(it.name, it.op, it.value));
        let matchers = matchers.collect::<Result<_, MatcherError>>()?;
        Ok(Query { range, matchers, labels_only })
    };
    let queries = read.into_iter().map(compiled).collect::<Result<_, ReadRequestError>>()?;
    Ok(ReadRequest { queries, response_type })
}

const fn within(count: usize, max: usize, what: &'static str) -> Result<(), ReadRequestError> {
    if count > max { Err(ReadRequestError::TooMuch { max, what }) } else { Ok(()) }
}

/// A query whose matchers are not read.
struct QueryParts<'a> {
    range: TimeRange,
    hints: Hints,
    matchers: Vec<Cursor<'a>>,
}

/// What a query says of what becomes of its answer: others may leave out what it does not name.
#[derive(Default)]
struct Hints {
    labels_only: bool,
    start_ms: i64,
    end_ms: i64,
}

impl Hints {
    /// The times of a range that are looked at. Hints that name none of them, or no times at all, narrow nothing.
    fn narrowed(&self, range: TimeRange) -> TimeRange {
        let hinted = TimeRange {
            start_incl: TimestampMs(self.start_ms),
            end_incl: TimestampMs(self.end_ms),
        };
        let is_told = (self.start_ms, self.end_ms) != (0, 0) && self.start_ms <= self.end_ms;
        if !is_told || !hinted.overlaps(&range) {
            return range;
        }
        TimeRange {
            start_incl: range.start_incl.max(hinted.start_incl),
            end_incl: range.end_incl.min(hinted.end_incl),
        }
    }
}

/// The parts of a query; its matchers are counted up.
fn query_parts<'a>(
    message: Cursor<'a>,
    count: &mut usize,
) -> Result<QueryParts<'a>, ReadRequestError> {
    let (mut start, mut end, mut matchers) = (0, 0, Vec::new());
    let mut hints = Hints::default();
    each_field(message, |field, value, at| {
        match field {
            1 => start = value.signed(at)?,
            2 => end = value.signed(at)?,
            3 if *count <= MATCHERS_MAX => {
                matchers.push(value.stretch(at)?);
                *count += 1;
            }
            4 => each_field(value.stretch(at)?, |field, value, at| {
                match field {
                    2 => hints.labels_only = value.stretch(at)?.bytes() == SERIES,
                    3 => hints.start_ms = value.signed(at)?,
                    4 => hints.end_ms = value.signed(at)?,
                    _ => {}
                }
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })?;
    within(*count, MATCHERS_MAX, "matchers")?;
    let range = TimeRange { start_incl: TimestampMs(start), end_incl: TimestampMs(end) };
    Ok(QueryParts { range, hints, matchers })
}

/// A matcher whose pattern is not compiled.
struct MatcherParts<'a> {
    name: &'a str,
    op: MatchOp,
    value: &'a str,
}

fn matcher(message: Cursor<'_>) -> Result<MatcherParts<'_>, ReadRequestError> {
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
    Ok(MatcherParts { name: text(name)?, op, value: text(value)? })
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn what_is_asked_is_read_as_it_was_meant() {
        let matcher = |op, value: &str| Matcher::new("job", op, value).expect("valid");
        let matchers = [
            matcher(MatchOp::Equal, "a"),
            matcher(MatchOp::NotEqual, ""),
            matcher(MatchOp::Regex, "a.*|b"),
            matcher(MatchOp::NotRegex, "c+"),
        ];
        let range = TimeRange { start_incl: TimestampMs(-5), end_incl: TimestampMs(1 << 40) };
        let found = read_request(&request_message(range, &matchers, false)).expect("good");
        assert_eq!(found.response_type, ResponseType::StreamedXorChunks);
        let [query] = &found.queries[..] else { panic!("one query") };
        assert_eq!(query.range, range);
        let shown = |all: &[Matcher]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(shown(&query.matchers), shown(&matchers));
    }

    #[test]
    fn a_server_is_told_when_labels_are_all_that_is_wanted() {
        let range = TimeRange { start_incl: TimestampMs(1), end_incl: TimestampMs(2) };
        let request = |labels_only| request_message(range, &[], labels_only);
        // Function "series" of the hints, then their times.
        let hints = b"\x22\x0c\x12\x06series\x18\x01\x20\x02";
        let has = |message: &[u8], part: &[u8]| message.windows(part.len()).any(|it| it == part);
        assert!(has(&request(true), hints));
        assert!(!has(&request(false), b"series"));
        for labels_only in [true, false] {
            let query = read_request(&request(labels_only)).expect("good").queries.remove(0);
            assert_eq!((query.range, query.labels_only), (range, labels_only));
        }
    }

    #[test]
    fn hints_narrow_the_times_that_are_read() {
        let range =
            |from, to| TimeRange { start_incl: TimestampMs(from), end_incl: TimestampMs(to) };
        let asked = |start: u64, end: u64, function: &[u8]| {
            let mut hints = Vec::new();
            put_bytes(bytes_tag(2), function, &mut hints);
            for (field, number) in [(3, start), (4, end)] {
                hints.push(varint_tag(field));
                put_varint(number, &mut hints);
            }
            let mut query = vec![varint_tag(1), 10, varint_tag(2), 100];
            put_bytes(bytes_tag(4), &hints, &mut query);
            let mut request = Vec::new();
            put_bytes(bytes_tag(1), &query, &mut request);
            let query = read_request(&request).expect("good").queries.remove(0);
            (query.range, query.labels_only)
        };
        for (start, end, expected) in [
            (20, 30, range(20, 30)),
            (0, 30, range(10, 30)),
            (20, 1000, range(20, 100)),
            (100, 1000, range(100, 100)),
            // None of the query's times, none in their order, none at all.
            (101, 1000, range(10, 100)),
            (30, 20, range(10, 100)),
            (0, 0, range(10, 100)),
        ] {
            assert_eq!(asked(start, end, b"rate"), (expected, false), "{start} to {end}");
            assert_eq!(asked(start, end, b"series"), (expected, true), "{start} to {end}");
        }
        assert!(!asked(1, 2, b"").1 && !asked(1, 2, b"series_").1);
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

    #[test]
    fn a_request_is_bounded_before_a_pattern_is_compiled() {
        // The pattern is wrong: had it been compiled, the error would be another.
        let matcher = |kind: u8, value: &str| {
            let mut matcher = vec![varint_tag(1), kind];
            put_bytes(bytes_tag(3), value.as_bytes(), &mut matcher);
            matcher
        };
        let asked = |queries: usize, matchers: usize, kind: u8, value: &str| {
            let (mut query, mut request) = (Vec::new(), Vec::new());
            for _ in 0..matchers {
                put_bytes(bytes_tag(3), &matcher(kind, value), &mut query);
            }
            for _ in 0..queries {
                put_bytes(bytes_tag(1), &query, &mut request);
            }
            read_request(&request)
        };
        let longest = "(".repeat(PATTERN_BYTES_MAX);
        for (queries, matchers, kind, value, part) in [
            (QUERIES_MAX + 1, 0, 0, "a", "64 queries"),
            (1, MATCHERS_MAX + 1, 0, "a", "1024 matchers"),
            (2, MATCHERS_MAX / 2 + 1, 0, "a", "1024 matchers"),
            (1, PATTERNS_MAX + 1, 3, "(", "128 regular expressions"),
            (2, 1, 2, &longest, "65536 bytes of regular expressions"),
        ] {
            let error = asked(queries, matchers, kind, value).expect_err(part);
            assert!(error.to_string().contains(part), "{error}");
        }
        assert!(matches!(asked(1, 1, 2, &longest), Err(ReadRequestError::Matcher(_))));
        assert_eq!(asked(2, MATCHERS_MAX / 2, 1, "a").expect("within").queries.len(), 2);
        assert_eq!(asked(QUERIES_MAX, 2, 2, "a").expect("within").queries.len(), QUERIES_MAX);
    }
}
