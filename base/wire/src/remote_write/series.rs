//! One series of a request: labels first, then samples, histograms, exemplars, and in 2.0 metadata.

use std::ops::Range;

use super::histogram::HistogramMessage;
use super::metadata::MetadataRefs;
use super::request::Message;
use crate::protobuf::{Cursor, Value, WireError, each_field, low_u32, repeated};

/// Tag of the labels' field, which comes first.
const LABELS: u64 = 1;

/// A series as it stands in the request.
#[derive(Clone, Copy, Debug)]
pub struct SeriesMessage<'a> {
    pub(super) cursor: Cursor<'a>,
    pub(super) message: Message,
}

/// A float sample.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Sample {
    /// When, in milliseconds.
    pub timestamp_ms: i64,
    /// What, bit for bit.
    pub value: f64,
    /// Since when its series counts, in milliseconds; 0 for unknown, and always in 1.0.
    pub start_ms: i64,
}

/// An exemplar.
#[derive(Clone, Copy, Debug)]
pub struct Exemplar<'a> {
    /// What was observed.
    pub value: f64,
    /// When, in milliseconds.
    pub timestamp_ms: i64,
    cursor: Cursor<'a>,
}

/// What a series' message has beside its labels.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    /// A float sample.
    Sample(Sample),
    /// A native histogram, not read yet.
    Histogram(HistogramMessage<'a>),
    /// An exemplar.
    Exemplar(Exemplar<'a>),
    /// What the metric is (2.0).
    Metadata(MetadataRefs),
    /// Labels after other parts: allowed by the encoding, made by no known sender.
    LateLabels,
}

/// The parts of a series.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    cursor: Cursor<'a>,
    message: Message,
}

/// Label references of a 2.0 message: pairs of a name and a value in the symbol table.
pub type LabelRefs = Vec<u32>;

impl<'a> SeriesMessage<'a> {
    /// The message that a cursor stands on.
    pub(crate) const fn of(cursor: Cursor<'a>, message: Message) -> Self {
        Self { cursor, message }
    }

    /// The bytes of the message.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.cursor.bytes()
    }

    /// Where it stands in the request.
    #[must_use]
    pub const fn range(&self) -> Range<usize> {
        self.cursor.range()
    }

    /// The message at that range of the request.
    ///
    /// # Panics
    /// When the range reaches beyond the request.
    #[must_use]
    pub fn at(request: &'a [u8], range: Range<usize>, message: Message) -> Self {
        Self { cursor: Cursor::at(request, range), message }
    }

    /// Whether the message may have labels behind its first `len` bytes; what [`SeriesMessage::labels_len`] gave for
    /// equal bytes holds here too if not.
    #[must_use]
    pub fn ends_labels_at(&self, len: usize) -> bool {
        // The field's tag in its shortest form; a longer one is found as a late label.
        const TAG: u8 = 1 << 3 | 2;
        self.bytes().get(len) != Some(&TAG)
    }

    /// Length of the labels at the start of the message.
    ///
    /// # Errors
    /// [`WireError`] when a field is malformed.
    pub fn labels_len(&self) -> Result<usize, WireError> {
        let mut cursor = self.cursor;
        let mut len = 0;
        while let Some((LABELS, value)) = cursor.field()? {
            value.stretch(&cursor)?;
            len = self.cursor.len() - cursor.len();
        }
        Ok(len)
    }

    /// Calls `each` with name and value of every label of a 1.0 message, wherever it stands.
    ///
    /// # Errors
    /// [`WireError`] when a field is malformed.
    pub fn each_label(&self, mut each: impl FnMut(&'a [u8], &'a [u8])) -> Result<(), WireError> {
        each_field(self.cursor, |number, value, at| {
            if number == LABELS {
                let (name, value) = label(value.stretch(at)?)?;
                each(name, value);
            }
            Ok(())
        })
    }

    /// Appends the references to the labels of a 2.0 message, wherever they stand.
    ///
    /// # Errors
    /// [`WireError`] when a field is malformed.
    pub fn label_refs(&self, out: &mut LabelRefs) -> Result<(), WireError> {
        each_field(
            self.cursor,
            |number, value, at| {
                if number == LABELS { refs(value, at, out) } else { Ok(()) }
            },
        )
    }

    /// Appends the references at the start of a 2.0 message; gives the length of their fields.
    ///
    /// # Errors
    /// [`WireError`] when a field is malformed.
    pub fn leading_label_refs(&self, out: &mut LabelRefs) -> Result<usize, WireError> {
        let mut cursor = self.cursor;
        let mut len = 0;
        while let Some((LABELS, value)) = cursor.field()? {
            refs(value, &cursor, out)?;
            len = self.cursor.len() - cursor.len();
        }
        Ok(len)
    }

    /// What comes behind the first `labels_len` bytes.
    ///
    /// # Panics
    /// When the message is shorter.
    #[must_use]
    pub fn parts(&self, labels_len: usize) -> Parts<'a> {
        Parts { cursor: self.cursor.skipped(labels_len), message: self.message }
    }
}

fn refs<'a>(value: Value<'a>, at: &Cursor<'a>, out: &mut LabelRefs) -> Result<(), WireError> {
    repeated(value, at, out, |packed| packed.varint().map(low_u32), |value| value.u32(at))
}

fn label(cursor: Cursor<'_>) -> Result<(&[u8], &[u8]), WireError> {
    let (mut name, mut text) = (&[][..], &[][..]);
    each_field(cursor, |number, value, at| {
        match number {
            1 => name = value.stretch(at)?.bytes(),
            2 => text = value.stretch(at)?.bytes(),
            _ => {}
        }
        Ok(())
    })?;
    Ok((name, text))
}

impl<'a> Iterator for Parts<'a> {
    type Item = Result<Part<'a>, WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (number, value) = match self.cursor.field() {
                Ok(Some(field)) => field,
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            };
            if let Some(part) = part(number, value, self.message, &self.cursor).transpose() {
                return Some(part);
            }
        }
    }
}

#[inline]
fn part<'a>(
    number: u64,
    value: Value<'a>,
    message: Message,
    at: &Cursor<'a>,
) -> Result<Option<Part<'a>>, WireError> {
    const SAMPLE: u64 = 2;
    Ok(Some(match (number, message) {
        (SAMPLE, _) => Part::Sample(sample(value.stretch(at)?)?),
        (LABELS, _) => Part::LateLabels,
        (4, Message::V1) | (3, Message::V2) => {
            Part::Histogram(HistogramMessage { cursor: value.stretch(at)? })
        }
        (3, Message::V1) | (4, Message::V2) => Part::Exemplar(exemplar(value.stretch(at)?)?),
        (5, Message::V2) => Part::Metadata(MetadataRefs::read(value.stretch(at)?)?),
        _ => return Ok(None),
    }))
}

#[inline]
fn sample(cursor: Cursor<'_>) -> Result<Sample, WireError> {
    // What every sender writes: value, then time. Anything else takes the general way.
    const VALUE_TAG: u8 = 1 << 3 | 1;
    const TIME_TAG: u8 = 2 << 3;
    if let Some((head, _)) = cursor.bytes().split_first_chunk::<10>()
        && head[0] == VALUE_TAG
        && head[9] == TIME_TAG
    {
        let mut rest = cursor.skipped(10);
        let timestamp_ms = rest.varint()?.cast_signed();
        if rest.is_empty() {
            let bits = u64::from_le_bytes(*head[1..].first_chunk().expect("nine bytes are left"));
            return Ok(Sample { timestamp_ms, value: f64::from_bits(bits), start_ms: 0 });
        }
    }
    let mut sample = Sample::default();
    each_field(cursor, |number, value, at| {
        match number {
            1 => sample.value = value.float(at)?,
            2 => sample.timestamp_ms = value.signed(at)?,
            3 => sample.start_ms = value.signed(at)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(sample)
}

fn exemplar(cursor: Cursor<'_>) -> Result<Exemplar<'_>, WireError> {
    let mut exemplar = Exemplar { value: 0.0, timestamp_ms: 0, cursor };
    each_field(cursor, |number, value, at| {
        match number {
            2 => exemplar.value = value.float(at)?,
            3 => exemplar.timestamp_ms = value.signed(at)?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(exemplar)
}

impl<'a> Exemplar<'a> {
    /// Calls `each` with name and value of every label, in 1.0.
    ///
    /// # Errors
    /// [`WireError`] when a field is malformed.
    pub fn each_label(&self, each: impl FnMut(&'a [u8], &'a [u8])) -> Result<(), WireError> {
        SeriesMessage { cursor: self.cursor, message: Message::V1 }.each_label(each)
    }

    /// Appends the references to its labels, in 2.0.
    ///
    /// # Errors
    /// [`WireError`] when a field is malformed.
    pub fn label_refs(&self, out: &mut LabelRefs) -> Result<(), WireError> {
        SeriesMessage { cursor: self.cursor, message: Message::V2 }.label_refs(out)
    }
}
