//! What a request says it holds: content type and encoding.

use axum::http::{HeaderMap, header};
use swell_wire::remote_write::Message;

/// Why a request is answered 415.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnsupportedContent {
    /// Another media type.
    #[error(
        "content type {0:?} is not read here: send application/x-protobuf, with ;proto=prometheus.WriteRequest or \
         ;proto=io.prometheus.write.v2.Request"
    )]
    Type(String),
    /// A message that nobody knows.
    #[error(
        "message {0:?} is not known: prometheus.WriteRequest and io.prometheus.write.v2.Request are"
    )]
    Message(String),
    /// A message that this server is told not to take.
    #[error("this server is set to take only {accepted}, not {message}")]
    NotAccepted {
        /// What came.
        message: &'static str,
        /// What it takes.
        accepted: String,
    },
    /// Packed in another way.
    #[error("content encoding {0:?} is not read here: send snappy (block format)")]
    Encoding(String),
}

/// Which message the headers announce.
pub(crate) fn message_of(
    headers: &HeaderMap,
    accepted: &[Message],
) -> Result<Message, UnsupportedContent> {
    let shown = |name| {
        headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let message = match shown(header::CONTENT_TYPE) {
        Some(content_type) => parse(&content_type)?,
        None => Message::V1,
    };
    if !accepted.contains(&message) {
        let accepted: Vec<&str> = accepted.iter().map(|message| message.name()).collect();
        let accepted = accepted.join(" and ");
        return Err(UnsupportedContent::NotAccepted { message: message.name(), accepted });
    }
    match shown(header::CONTENT_ENCODING) {
        // As in Prometheus, no encoding counts as the only one there is.
        None => Ok(message),
        Some(encoding) if encoding.is_empty() || encoding.eq_ignore_ascii_case("snappy") => {
            Ok(message)
        }
        Some(encoding) => Err(UnsupportedContent::Encoding(encoding)),
    }
}

fn parse(content_type: &str) -> Result<Message, UnsupportedContent> {
    let mut parts = content_type.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    if !media_type.eq_ignore_ascii_case("application/x-protobuf") {
        return Err(UnsupportedContent::Type(content_type.to_owned()));
    }
    let proto = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("proto").then(|| value.trim().trim_matches('"'))
    });
    let known = [Message::V1, Message::V2];
    match proto {
        None => Ok(Message::V1),
        Some(proto) => known
            .into_iter()
            .find(|message| message.name() == proto)
            .ok_or_else(|| UnsupportedContent::Message(proto.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOTH: [Message; 2] = [Message::V1, Message::V2];

    fn check(content_type: &str, encoding: &str, expected: Result<Message, &str>) {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [(header::CONTENT_TYPE, content_type), (header::CONTENT_ENCODING, encoding)]
        {
            if !value.is_empty() {
                headers.insert(name, value.parse().expect("a header value"));
            }
        }
        let found = message_of(&headers, &BOTH).map_err(|error| error.to_string());
        match expected {
            Ok(message) => assert_eq!(found, Ok(message)),
            Err(part) => {
                assert!(found.as_ref().is_err_and(|error| error.contains(part)), "{found:?}")
            }
        }
    }

    #[test]
    fn only_the_two_messages_in_snappy_are_read() {
        check("", "", Ok(Message::V1));
        check("application/x-protobuf", "snappy", Ok(Message::V1));
        check("application/x-protobuf; proto=prometheus.WriteRequest", "snappy", Ok(Message::V1));
        check("Application/X-Protobuf;proto=io.prometheus.write.v2.Request", "", Ok(Message::V2));
        check("application/json", "snappy", Err("\"application/json\" is not read"));
        check("application/x-protobuf;proto=a.B", "snappy", Err("\"a.B\" is not known"));
        check("application/x-protobuf", "gzip", Err("\"gzip\" is not read"));
    }

    #[test]
    fn a_server_may_take_one_of_them() {
        let mut headers = HeaderMap::new();
        let v2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
        headers.insert(header::CONTENT_TYPE, v2.parse().expect("a header value"));
        let error = message_of(&headers, &[Message::V1]).expect_err("not accepted");
        assert!(error.to_string().contains("only prometheus.WriteRequest, not io.prometheus"));
    }
}
