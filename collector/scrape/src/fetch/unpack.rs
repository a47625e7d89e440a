//! A body as it arrives, unpacked up to a limit.

use std::io::{self, Write};

use flate2::write::MultiGzDecoder;
use zstd::stream::raw::{DParameter, Decoder, Operation as _};

use super::FetchError;

/// Largest window of a zstd frame, as a power of two: 8 MiB, the most that RFC 9659 lets a frame ask for over HTTP. A
/// decoder takes so much memory, whatever the body's limit.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// What is unpacked of zstd before it is held against the limit.
const ZSTD_STEP_BYTES: usize = 128 << 10;

/// Collects a body up to a limit.
pub(crate) enum BodySink {
    /// As it comes.
    Plain(Bounded),
    /// Members one behind the other.
    Gzip(Box<MultiGzDecoder<Bounded>>),
    /// Frames one behind the other.
    Zstd(Zstd),
}

impl BodySink {
    /// For a body with this `Content-Encoding`; zstd counts only where it was asked for.
    pub(crate) fn new(encoding: &str, limit: u64, takes_zstd: bool) -> Result<Self, FetchError> {
        let bounded = Bounded { body: Vec::new(), limit };
        match encoding.trim() {
            "" | "identity" => Ok(Self::Plain(bounded)),
            "gzip" | "x-gzip" => Ok(Self::Gzip(Box::new(MultiGzDecoder::new(bounded)))),
            "zstd" if takes_zstd => Ok(Self::Zstd(Zstd::new(bounded).map_err(FetchError::Unpack)?)),
            other => Err(FetchError::Encoding(other.to_owned())),
        }
    }

    /// Takes what comes next.
    pub(crate) fn take(&mut self, data: &[u8]) -> Result<(), FetchError> {
        match self {
            Self::Plain(bounded) => bounded.write_all(data),
            Self::Gzip(decoder) => decoder.write_all(data),
            Self::Zstd(decoder) => decoder.take(data),
        }
        .map_err(refusal)
    }

    /// The body, once all of it has come.
    pub(crate) fn finish(self) -> Result<Vec<u8>, FetchError> {
        match self {
            Self::Plain(bounded) => Ok(bounded.body),
            Self::Gzip(decoder) => decoder.finish().map(|it| it.body).map_err(refusal),
            Self::Zstd(decoder) if decoder.is_whole => Ok(decoder.unpacked.body),
            Self::Zstd(_) => Err(FetchError::Cut),
        }
    }
}

/// Unpacks zstd.
pub(crate) struct Zstd {
    decoder: Decoder<'static>,
    unpacked: Bounded,
    step: Box<[u8]>,
    /// A frame has ended and none has begun since.
    is_whole: bool,
}

impl Zstd {
    fn new(unpacked: Bounded) -> io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))?;
        let step = vec![0; ZSTD_STEP_BYTES].into_boxed_slice();
        Ok(Self { decoder, unpacked, step, is_whole: false })
    }

    fn take(&mut self, mut data: &[u8]) -> io::Result<()> {
        while !data.is_empty() {
            loop {
                let status = self.decoder.run_on_buffers(data, &mut self.step)?;
                self.unpacked.write_all(&self.step[..status.bytes_written])?;
                self.is_whole = status.remaining == 0;
                data = &data[status.bytes_read..];
                // A full step may have left something behind, unless it was the frame's last.
                if self.is_whole || status.bytes_written < self.step.len() {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// A vector that refuses to grow past its limit.
pub(crate) struct Bounded {
    body: Vec<u8>,
    limit: u64,
}

/// The refusal of [`Bounded`], on its way through the decompressor.
#[derive(Debug, thiserror::Error)]
#[error("the limit of {0} bytes is reached")]
struct LimitReached(u64);

impl Write for Bounded {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        if (self.body.len() + data.len()) as u64 > self.limit {
            return Err(io::Error::other(LimitReached(self.limit)));
        }
        self.body.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn refusal(error: io::Error) -> FetchError {
    let limit = error.get_ref().and_then(|inner| inner.downcast_ref::<LimitReached>());
    match limit {
        Some(LimitReached(limit)) => FetchError::TooLarge(*limit),
        None => FetchError::Unpack(error),
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    const LIMIT: u64 = 1 << 20;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(body).expect("memory takes all");
        encoder.finish().expect("memory takes all")
    }

    fn zstd(body: &[u8]) -> Vec<u8> {
        zstd::stream::encode_all(body, 1).expect("memory takes all")
    }

    /// Unpacks what comes in pieces of this length.
    fn unpacked(encoding: &str, packed: &[u8], piece_len: usize) -> Result<Vec<u8>, FetchError> {
        let mut sink = BodySink::new(encoding, LIMIT, true)?;
        packed.chunks(piece_len).try_for_each(|piece| sink.take(piece))?;
        sink.finish()
    }

    #[test]
    fn what_was_packed_comes_back_in_pieces_and_in_several_frames() {
        let text: Vec<u8> =
            (0..20_000).flat_map(|i| format!("m{{i=\"{i}\"}} 1\n").into_bytes()).collect();
        // Lengths around the steps of the decoder.
        let lens =
            [0, 1, ZSTD_STEP_BYTES - 1, ZSTD_STEP_BYTES, ZSTD_STEP_BYTES + 1, 2 * ZSTD_STEP_BYTES];
        for len in lens {
            let body = &text[..len];
            for piece_len in [1, 1000, usize::MAX] {
                for (encoding, packed) in [("gzip", gzip(body)), ("zstd", zstd(body))] {
                    let found = unpacked(encoding, &packed, piece_len);
                    assert_eq!(found.expect("good"), body, "{encoding} of {len}");
                    let twice = [packed.clone(), packed].concat();
                    let found = unpacked(encoding, &twice, piece_len);
                    assert_eq!(found.expect("good"), body.repeat(2), "{encoding} of {len} twice");
                }
            }
        }
    }

    #[test]
    fn what_is_cut_short_is_refused_wherever_it_ends() {
        let body = b"a 1\n".repeat(1000);
        for (encoding, packed) in [("gzip", gzip(&body)), ("zstd", zstd(&body))] {
            for len in 0..packed.len() {
                let found = unpacked(encoding, &packed[..len], usize::MAX);
                let is_refused = matches!(found, Err(FetchError::Cut | FetchError::Unpack(_)));
                assert!(is_refused, "{encoding} cut to {len}: {found:?}");
            }
        }
    }

    #[test]
    fn bombs_end_at_the_limit() {
        let bomb = vec![0; 256 << 20];
        for (encoding, packed) in [("gzip", gzip(&bomb)), ("zstd", zstd(&bomb))] {
            assert!(packed.len() < 4 << 20, "{encoding} packs it to {}", packed.len());
            let mut sink = BodySink::new(encoding, LIMIT, true).expect("known");
            let refused = packed.chunks(4096).try_for_each(|piece| sink.take(piece));
            assert!(matches!(refused, Err(FetchError::TooLarge(LIMIT))), "{encoding}: {refused:?}");
            let held = match &sink {
                BodySink::Plain(bounded) => bounded.body.len(),
                BodySink::Gzip(decoder) => decoder.get_ref().body.len(),
                BodySink::Zstd(decoder) => decoder.unpacked.body.len(),
            };
            assert!(held as u64 <= LIMIT, "{encoding} holds {held}");
        }
    }

    #[test]
    fn a_frame_that_asks_for_much_memory_is_refused() {
        use zstd::stream::raw::CParameter;
        let packed = |window_log| {
            let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).expect("memory");
            encoder.set_parameter(CParameter::WindowLog(window_log)).expect("a known parameter");
            encoder.write_all(b"a 1\n").expect("memory takes all");
            encoder.finish().expect("memory takes all")
        };
        assert_eq!(unpacked("zstd", &packed(23), usize::MAX).expect("8 MiB"), b"a 1\n");
        let found = unpacked("zstd", &packed(24), usize::MAX);
        assert!(matches!(found, Err(FetchError::Unpack(_))), "{found:?}");
    }

    #[test]
    fn zstd_counts_only_where_it_was_asked_for() {
        for (encoding, takes_zstd) in [("zstd", false), ("br", true)] {
            let refused = BodySink::new(encoding, LIMIT, takes_zstd).err();
            assert!(matches!(refused, Some(FetchError::Encoding(it)) if it == encoding));
        }
        assert!(matches!(unpacked("zstd", b"a 1\n", 1), Err(FetchError::Unpack(_))));
    }
}
