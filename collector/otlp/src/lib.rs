//! OTLP metrics as Prometheus' samples: bytes become messages ([`read`]), messages become labelled samples
//! ([`translate`]), and points that count from the one before on are summed up ([`Accumulator`]).
//!
//! Names, labels and forms are those of Prometheus' translation (`storage/remote/otlptranslator` and
//! `prometheus/otlptranslator`), so that whoever moves an OTLP sender from there finds the same series. Why the messages
//! are written out here stands in docs/adr/027.

mod attributes;
mod delta;
mod histograms;
mod json;
pub mod message;
mod metric;
mod names;
mod read;
mod refused;
mod settings;
mod translate;

pub use delta::{Accumulator, Undo};
pub use names::{Kind, LabelRules, NoName, label_name, metric_name, unit_words};
pub use read::{Encoding, MESSAGES_MAX, ReadError, check_protobuf, read};
pub use refused::Refused;
pub use settings::{Deltas, Promotion, Settings, Strategy};
pub use translate::{LABEL_BYTES_MAX, SAMPLES_MAX, TooMuch, Translation, translate};
