//! What is sent: points of series.

use std::sync::Arc;

use swell_model::{Exemplar, Labels, NativeHistogram};
use swell_wire::remote_write::{Message, encode_labels};

/// A series as it is sent.
#[derive(Debug, PartialEq)]
pub(crate) struct Series {
    /// Says to which shard it belongs; the same in every process.
    pub(crate) shard_hash: u32,
    /// Its labels, ready for the message.
    pub(crate) labels: SeriesLabels,
}

/// Labels in the form that a message takes them in.
#[derive(Debug, PartialEq)]
pub(crate) enum SeriesLabels {
    /// The bytes of 1.0.
    V1(Box<[u8]>),
    /// What 2.0 takes apart.
    V2(Labels),
}

impl Series {
    /// A series that is stored with some labels and sent with others.
    pub(crate) fn new(stored: &Labels, sent: Labels, message: Message) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        for (name, value) in stored.iter() {
            for text in [name, value] {
                hasher.update(text.as_bytes());
                // No text has this byte.
                hasher.update(&[0xff]);
            }
        }
        let labels = match message {
            Message::V1 => SeriesLabels::V1(encode_labels(&sent)),
            Message::V2 => SeriesLabels::V2(sent),
        };
        Self { shard_hash: hasher.finalize(), labels }
    }
}

/// A sample with its exemplars.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Point {
    /// Whose.
    pub(crate) series: Arc<Series>,
    /// When, in milliseconds.
    pub(crate) timestamp_ms: i64,
    /// Since when it counts, in milliseconds, 0 for unknown.
    pub(crate) start_ms: i64,
    /// What.
    pub(crate) value: Value,
    /// Exemplars that came with it.
    pub(crate) exemplars: Option<Box<[Exemplar]>>,
}

/// The value of a point.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    /// A float; the staleness marker is one too.
    Float(f64),
    /// A native histogram.
    Histogram(Arc<NativeHistogram>),
    /// None: exemplars came alone.
    Absent,
}

/// How many of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Floats.
    pub(crate) samples: u64,
    /// Native histograms.
    pub(crate) histograms: u64,
    /// Exemplars.
    pub(crate) exemplars: u64,
}

impl Counts {
    /// Counts a point.
    pub(crate) fn add(&mut self, point: &Point) {
        match point.value {
            Value::Float(_) => self.samples += 1,
            Value::Histogram(_) => self.histograms += 1,
            Value::Absent => {}
        }
        self.exemplars += point.exemplars.as_ref().map_or(0, |some| some.len() as u64);
    }

    /// Floats and histograms.
    pub(crate) const fn values(&self) -> u64 {
        self.samples + self.histograms
    }

    /// Applied to each kind.
    pub(crate) fn zip(self, other: Self, each: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            samples: each(self.samples, other.samples),
            histograms: each(self.histograms, other.histograms),
            exemplars: each(self.exemplars, other.exemplars),
        }
    }
}
