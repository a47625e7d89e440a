//! Answers as whoever asked gets them: messages of samples, and messages of chunks out of their frames.

use crate::protobuf::{Cursor, WireError, each_field};
use crate::remote_write::{Message, SeriesMessage};

use super::frame::crc32c;

/// A chunk of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceivedChunk<'a> {
    /// 1 for floats, 2 and 3 for histograms.
    pub encoding: u32,
    /// Its bytes.
    pub data: &'a [u8],
}

/// A series with its chunks, or some of them.
#[derive(Clone, Copy, Debug)]
pub struct ChunkedSeries<'a> {
    cursor: Cursor<'a>,
}

impl<'a> ChunkedSeries<'a> {
    /// Its labels, by [`SeriesMessage::each_label`].
    #[must_use]
    pub const fn series(&self) -> SeriesMessage<'a> {
        SeriesMessage::of(self.cursor, Message::V1)
    }

    /// Calls `each` with its chunks.
    ///
    /// # Errors
    /// That of `each`, which ends the reading; [`WireError`] when the bytes are none.
    pub fn each_chunk<E: From<WireError>>(
        &self,
        mut each: impl FnMut(ReceivedChunk<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        each_message(self.cursor, 2, |message| each(chunk(message)?))
    }
}

/// Calls `each` with the series of all results of a `prometheus.ReadResponse`, as they are read: an answer may have many
/// more of them than memory has room for. They have their labels, floats and histograms where those of a request of
/// remote write have them.
///
/// # Errors
/// That of `each`, which ends the reading; [`WireError`] when the bytes are none.
pub fn each_of_samples<'a, E: From<WireError>>(
    message: &'a [u8],
    mut each: impl FnMut(SeriesMessage<'a>) -> Result<(), E>,
) -> Result<(), E> {
    each_message(Cursor::new(message), 1, |result| {
        each_message(result, 1, |series| each(SeriesMessage::of(series, Message::V1)))
    })
}

/// Calls `each` with the series of a `prometheus.ChunkedReadResponse`, as they are read.
///
/// # Errors
/// That of `each`, which ends the reading; [`WireError`] when the bytes are none.
pub fn each_of_chunks<'a, E: From<WireError>>(
    message: &'a [u8],
    mut each: impl FnMut(ChunkedSeries<'a>) -> Result<(), E>,
) -> Result<(), E> {
    each_message(Cursor::new(message), 1, |cursor| each(ChunkedSeries { cursor }))
}

/// Calls `each` with the messages in one field.
fn each_message<'a, E: From<WireError>>(
    mut within: Cursor<'a>,
    wanted: u64,
    mut each: impl FnMut(Cursor<'a>) -> Result<(), E>,
) -> Result<(), E> {
    while let Some((field, value)) = within.field()? {
        if field == wanted {
            each(value.stretch(&within)?)?;
        }
    }
    Ok(())
}

fn chunk(message: Cursor<'_>) -> Result<ReceivedChunk<'_>, WireError> {
    let mut chunk = ReceivedChunk { encoding: 0, data: &[] };
    each_field(message, |field, value, at| {
        match field {
            3 => chunk.encoding = value.u32(at)?,
            4 => chunk.data = value.stretch(at)?.bytes(),
            _ => {}
        }
        Ok(())
    })?;
    Ok(chunk)
}

/// Why bytes are no frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// It is longer than the reader takes.
    #[error("a frame of {len} bytes, at most {max} are read")]
    TooLong {
        /// What it says.
        len: u64,
        /// The limit.
        max: usize,
    },
    /// Its length is no number.
    #[error("a frame whose length does not end")]
    Length,
    /// Its message is not what was sent.
    #[error("a frame whose checksum differs")]
    Checksum,
}

/// The message of the frame at the front of a stream, and the length of the frame; `None` when it has not all come.
///
/// # Errors
/// [`FrameError`] when it never will, or is not as it was sent.
pub fn take_frame(stream: &[u8], max: usize) -> Result<Option<(&[u8], usize)>, FrameError> {
    const LENGTH_BYTES_MAX: usize = 10;
    const CHECKSUM_BYTES: usize = 4;
    let mut len = 0_u64;
    let mut ends_at = None;
    for (idx, byte) in stream.iter().take(LENGTH_BYTES_MAX).enumerate() {
        len |= u64::from(byte & 0x7f) << (7 * idx);
        if byte & 0x80 == 0 {
            ends_at = Some(idx + 1);
            break;
        }
    }
    let Some(start) = ends_at else {
        return if stream.len() >= LENGTH_BYTES_MAX { Err(FrameError::Length) } else { Ok(None) };
    };
    let len = usize::try_from(len)
        .ok()
        .filter(|len| *len <= max)
        .ok_or(FrameError::TooLong { len, max })?;
    let end = start + CHECKSUM_BYTES + len;
    let Some(frame) = stream.get(start..end) else { return Ok(None) };
    let (checksum, message) = frame.split_at(CHECKSUM_BYTES);
    if crc32c(message).to_be_bytes() != checksum {
        return Err(FrameError::Checksum);
    }
    Ok(Some((message, end)))
}

#[cfg(test)]
mod tests {
    use swell_model::Labels;

    use super::super::{ReadAnswer, chunked_series, float_chunks, put_frame, samples_message};
    use super::*;
    use crate::protobuf::{bytes_tag, put_bytes};
    use crate::remote_write::{Part, encode_labels};

    fn of_samples(message: &[u8]) -> Result<Vec<SeriesMessage<'_>>, WireError> {
        let mut all = Vec::new();
        each_of_samples(message, |series| {
            all.push(series);
            Ok::<(), WireError>(())
        })?;
        Ok(all)
    }

    fn of_chunks(
        message: &[u8],
    ) -> Result<Vec<(SeriesMessage<'_>, Vec<ReceivedChunk<'_>>)>, WireError> {
        let mut all = Vec::new();
        each_of_chunks(message, |series| {
            let mut chunks = Vec::new();
            series.each_chunk(|chunk| {
                chunks.push(chunk);
                Ok::<(), WireError>(())
            })?;
            all.push((series.series(), chunks));
            Ok::<(), WireError>(())
        })?;
        Ok(all)
    }

    fn labels(series: &SeriesMessage<'_>) -> Labels {
        let mut pairs = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        series.each_label(|name, value| pairs.push((text(name), text(value)))).expect("good");
        Labels::from_pairs(pairs)
    }

    #[test]
    fn samples_are_received_as_they_are_answered() {
        let one = Labels::from_pairs([("__name__", "m"), ("a", "1")]);
        let other = Labels::from_pairs([("__name__", "m"), ("a", "2")]);
        let answer = |labels: &Labels, floats: &'static [(i64, f64)]| ReadAnswer {
            labels: labels.clone(),
            floats,
            histograms: Vec::new(),
        };
        let message = samples_message(&[
            vec![answer(&one, &[(1, 0.5), (2, 1.0)])],
            Vec::new(),
            vec![answer(&other, &[(3, 2.0)])],
        ]);
        let found = of_samples(&message).expect("good");
        assert_eq!(found.iter().map(labels).collect::<Vec<_>>(), [one, other]);
        let points = |series: &SeriesMessage<'_>| -> Vec<(i64, f64)> {
            let parts = series.parts(series.labels_len().expect("good"));
            let points = parts.map(|part| match part.expect("good") {
                Part::Sample(sample) => (sample.timestamp_ms, sample.value),
                other => panic!("{other:?}"),
            });
            points.collect()
        };
        assert_eq!(points(&found[0]), [(1, 0.5), (2, 1.0)]);
        assert_eq!(points(&found[1]), [(3, 2.0)]);
        for len in 1..message.len() {
            // Cut anywhere it is none, or a shorter one.
            drop(of_samples(&message[..len]));
        }
    }

    #[test]
    fn chunks_are_received_as_they_are_framed() {
        let own = Labels::from_pairs([("__name__", "m")]);
        let chunks: Vec<_> = float_chunks(&[1, 2, 3], &[1.0, 2.0, 3.0]).collect();
        let mut stream = Vec::new();
        put_frame(&chunked_series(&encode_labels(&own), &chunks, 0), &mut stream);
        put_frame(&chunked_series(&encode_labels(&own), &[], 1), &mut stream);
        let (message, len) = take_frame(&stream, 1000).expect("good").expect("whole");
        let found = of_chunks(message).expect("good");
        assert_eq!(found.len(), 1);
        assert_eq!(labels(&found[0].0), own);
        let expected = ReceivedChunk { encoding: 1, data: &chunks[0].data };
        assert_eq!(found[0].1, [expected]);
        let (message, rest) = take_frame(&stream[len..], 1000).expect("good").expect("whole");
        assert_eq!(len + rest, stream.len());
        assert!(of_chunks(message).expect("good")[0].1.is_empty());
    }

    #[test]
    fn reading_ends_where_its_reader_has_enough() {
        #[derive(Debug, PartialEq)]
        enum Ended {
            Enough,
            Fault,
        }
        impl From<WireError> for Ended {
            fn from(_: WireError) -> Self {
                Self::Fault
            }
        }
        // Four series of nothing, and a fault behind them.
        let mut series: Vec<u8> = [bytes_tag(1), 0].repeat(4);
        series.push(0xff);
        let mut samples = Vec::new();
        put_bytes(bytes_tag(1), &series, &mut samples);
        for (enough, expected) in [(4, Ended::Enough), (5, Ended::Fault)] {
            let count = |seen: &mut usize| {
                *seen += 1;
                if *seen == enough { Err(Ended::Enough) } else { Ok(()) }
            };
            let (mut in_samples, mut in_chunks) = (0, 0);
            let ended = [
                each_of_samples(&samples, |_| count(&mut in_samples)),
                each_of_chunks(&series, |_| count(&mut in_chunks)),
            ];
            for ended in ended {
                assert_eq!(ended.as_ref(), Err(&expected));
            }
            assert_eq!((in_samples, in_chunks), (4, 4));
        }
    }

    #[test]
    fn frames_that_are_cut_long_or_damaged_are_told_apart() {
        let mut frame = Vec::new();
        put_frame(&[7; 200], &mut frame);
        for len in 0..frame.len() {
            assert_eq!(take_frame(&frame[..len], 200), Ok(None), "cut to {len}");
        }
        assert_eq!(take_frame(&frame, 199), Err(FrameError::TooLong { len: 200, max: 199 }));
        assert_eq!(take_frame(&frame[..2], 199), Err(FrameError::TooLong { len: 200, max: 199 }));
        *frame.last_mut().expect("bytes") ^= 1;
        assert_eq!(take_frame(&frame, 200), Err(FrameError::Checksum));
        assert_eq!(take_frame(&[0xff; 10], 200), Err(FrameError::Length));
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(take_frame(&huge, 200), Err(FrameError::TooLong { len: u64::MAX, max: 200 }));
    }
}
