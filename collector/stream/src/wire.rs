//! Messages of `proto/agent_stream.proto`.

use swell_model::Labels;

/// Full name of the service, as in the path of a call.
pub(crate) const SERVICE_NAME: &str = "swell.stream.v1.AgentStream";

/// Path of the one call.
pub(crate) const CONNECT_PATH: &str = "/swell.stream.v1.AgentStream/Connect";

/// Larger messages are refused on both sides. A batch of 100 000 samples with all series announced is smaller.
pub(crate) const MESSAGE_BYTES_MAX: usize = 32 * 1024 * 1024;

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct AgentMessage {
    #[prost(oneof = "AgentKind", tags = "1, 2, 3")]
    pub(crate) kind: Option<AgentKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum AgentKind {
    #[prost(message, tag = "1")]
    Hello(Hello),
    #[prost(message, tag = "2")]
    Announce(Announce),
    #[prost(message, tag = "3")]
    Batch(Batch),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Hello {
    #[prost(string, tag = "1")]
    pub(crate) node: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(crate) session: Vec<u8>,
    #[prost(string, tag = "3")]
    pub(crate) version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Announce {
    #[prost(message, repeated, tag = "1")]
    pub(crate) series: Vec<Series>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Series {
    #[prost(uint32, tag = "1")]
    pub(crate) number: u32,
    #[prost(string, repeated, tag = "2")]
    pub(crate) labels: Vec<String>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Batch {
    #[prost(uint64, tag = "1")]
    pub(crate) sequence: u64,
    #[prost(int64, tag = "2")]
    pub(crate) timestamp_ms: i64,
    #[prost(message, repeated, tag = "3")]
    pub(crate) announced: Vec<Series>,
    #[prost(uint32, repeated, tag = "4")]
    pub(crate) numbers: Vec<u32>,
    #[prost(double, repeated, tag = "5")]
    pub(crate) values: Vec<f64>,
    #[prost(uint32, repeated, tag = "6")]
    pub(crate) retired: Vec<u32>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct ServerMessage {
    #[prost(oneof = "ServerKind", tags = "1, 2")]
    pub(crate) kind: Option<ServerKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
pub(crate) enum ServerKind {
    #[prost(message, tag = "1")]
    Welcome(Welcome),
    #[prost(message, tag = "2")]
    Acknowledge(Acknowledge),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Welcome {
    #[prost(uint64, tag = "1")]
    pub(crate) acknowledged_sequence: u64,
    #[prost(bool, tag = "2")]
    pub(crate) knows_series: bool,
    #[prost(string, tag = "3")]
    pub(crate) kubernetes_api_url: String,
    #[prost(string, tag = "4")]
    pub(crate) version: String,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct Acknowledge {
    #[prost(uint64, tag = "1")]
    pub(crate) sequence: u64,
    #[prost(uint64, tag = "2")]
    pub(crate) refused_samples: u64,
    #[prost(string, tag = "3")]
    pub(crate) refusal: String,
}

impl From<AgentKind> for AgentMessage {
    fn from(kind: AgentKind) -> Self {
        Self { kind: Some(kind) }
    }
}

impl From<ServerKind> for ServerMessage {
    fn from(kind: ServerKind) -> Self {
        Self { kind: Some(kind) }
    }
}

impl Series {
    pub(crate) fn new(number: u32, labels: &Labels) -> Self {
        let parts = labels.iter().flat_map(|(name, value)| [name.to_owned(), value.to_owned()]);
        Self { number, labels: parts.collect() }
    }

    /// The labels; `None` when they are not pairs, sorted by name, each once and with a value.
    pub(crate) fn to_labels(&self) -> Option<Labels> {
        let (pairs, rest) = self.labels.as_chunks::<2>();
        let is_sorted = pairs.windows(2).all(|pair| pair[0][0] < pair[1][0]);
        let is_whole = rest.is_empty() && pairs.iter().all(|[_, value]| !value.is_empty());
        (is_sorted && is_whole).then(|| {
            Labels::from_sorted(pairs.iter().map(|[name, value]| (name.as_str(), value.as_str())))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use prost::Message;

    use super::*;

    /// Fields of each message in the `.proto` file: number, and whether it is length-delimited on the wire.
    fn declared() -> BTreeMap<String, Vec<(u64, u64)>> {
        let text = include_str!("../proto/agent_stream.proto");
        let mut messages: BTreeMap<String, Vec<(u64, u64)>> = BTreeMap::new();
        let mut current = None;
        for line in text.lines().map(str::trim).filter(|line| !line.starts_with("//")) {
            if let Some(name) = line.strip_prefix("message ") {
                current = Some(name.trim_end_matches(" {").to_owned());
            } else if let (Some(name), Some((field, number))) = (&current, line.split_once(" = ")) {
                let mut words = field.split(' ');
                let first = words.next().unwrap();
                let wire_type = match first {
                    "repeated" | "string" | "bytes" => 2,
                    "uint32" | "uint64" | "int64" | "bool" => 0,
                    _message => 2,
                };
                let number = number.trim_end_matches(';').parse().unwrap();
                messages.entry(name.clone()).or_default().push((number, wire_type));
            }
        }
        messages
    }

    /// Field numbers and wire types of an encoded message, each once.
    fn encoded(message: &impl Message) -> Vec<(u64, u64)> {
        let bytes = message.encode_to_vec();
        let mut rest = bytes.as_slice();
        let mut fields = Vec::new();
        while !rest.is_empty() {
            let key = prost::encoding::decode_varint(&mut rest).unwrap();
            match key & 7 {
                0 => drop(prost::encoding::decode_varint(&mut rest).unwrap()),
                2 => {
                    let len = prost::encoding::decode_varint(&mut rest).unwrap();
                    rest = &rest[usize::try_from(len).unwrap()..];
                }
                other => panic!("wire type {other}"),
            }
            fields.push((key >> 3, key & 7));
        }
        fields.dedup();
        fields
    }

    #[test]
    fn the_shapes_are_those_of_the_proto_file() {
        let series = Series { number: 1, labels: vec!["a".to_owned(), "b".to_owned()] };
        let hello = Hello { node: "n".to_owned(), session: vec![1], version: "v".to_owned() };
        let announce = Announce { series: vec![series.clone()] };
        let batch = Batch {
            sequence: 1,
            timestamp_ms: 1,
            announced: vec![series.clone()],
            numbers: vec![1],
            values: vec![1.0],
            retired: vec![1],
        };
        let welcome = Welcome {
            acknowledged_sequence: 1,
            knows_series: true,
            kubernetes_api_url: "u".to_owned(),
            version: "v".to_owned(),
        };
        let acknowledge = Acknowledge { sequence: 1, refused_samples: 1, refusal: "r".to_owned() };
        let kinds = |kinds: Vec<AgentKind>| {
            kinds.into_iter().flat_map(|kind| encoded(&AgentMessage::from(kind))).collect()
        };
        let server_kinds = |kinds: Vec<ServerKind>| {
            kinds.into_iter().flat_map(|kind| encoded(&ServerMessage::from(kind))).collect()
        };
        let ours: BTreeMap<String, Vec<(u64, u64)>> = [
            ("Hello", encoded(&hello)),
            ("Announce", encoded(&announce)),
            ("Series", encoded(&series)),
            ("Batch", encoded(&batch)),
            ("Welcome", encoded(&welcome)),
            ("Acknowledge", encoded(&acknowledge)),
            (
                "AgentMessage",
                kinds(vec![
                    AgentKind::Hello(hello),
                    AgentKind::Announce(announce),
                    AgentKind::Batch(batch),
                ]),
            ),
            (
                "ServerMessage",
                server_kinds(vec![
                    ServerKind::Welcome(welcome),
                    ServerKind::Acknowledge(acknowledge),
                ]),
            ),
        ]
        .into_iter()
        .map(|(name, fields)| (name.to_owned(), fields))
        .collect();
        assert_eq!(ours, declared());
        assert_eq!(CONNECT_PATH, format!("/{SERVICE_NAME}/Connect"));
    }

    #[test]
    fn labels_read_back_and_broken_ones_do_not() {
        let labels = Labels::from_pairs([("a", "1"), ("b", "2")]);
        assert_eq!(Series::new(7, &labels).to_labels(), Some(labels));
        for broken in [vec!["a"], vec!["b", "1", "a", "2"], vec!["a", ""], vec!["a", "1", "a", "2"]]
        {
            let labels = broken.iter().map(|part| (*part).to_owned()).collect();
            assert_eq!(Series { number: 1, labels }.to_labels(), None, "{broken:?}");
        }
    }
}
