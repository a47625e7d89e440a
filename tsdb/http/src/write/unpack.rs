//! Unpacking of bodies: the declared size is believed only as far as the bytes can hold it, and memory is taken after.

use snap::raw::{Decoder, decompress_len};

/// Largest request, packed and unpacked.
pub(crate) const REQUEST_BYTES_MAX: usize = 32 << 20;

/// Three bytes can stand for 64, and no shorter form for more a byte.
const EXPANSION_MAX: usize = 64 / 3 + 1;
/// For the few bytes of bodies so short that the ratio says nothing.
const EXPANSION_SLACK: usize = 64;

/// Why a body was not unpacked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnpackError {
    /// No snappy, or damaged.
    #[error("the body is no snappy block: {0}")]
    Malformed(String),
    /// Larger than is read.
    #[error(
        "the body unpacks to {unpacked_bytes} bytes, at most {REQUEST_BYTES_MAX} are read: send smaller requests"
    )]
    TooLarge {
        /// What it says.
        unpacked_bytes: usize,
    },
}

/// Bytes that `packed` says it holds.
pub(crate) fn unpacked_len(packed: &[u8]) -> Result<usize, UnpackError> {
    if packed.is_empty() {
        return Err(UnpackError::Malformed("it is empty".to_owned()));
    }
    let len = decompress_len(packed).map_err(|error| UnpackError::Malformed(error.to_string()))?;
    if len > REQUEST_BYTES_MAX {
        return Err(UnpackError::TooLarge { unpacked_bytes: len });
    }
    if len > packed.len() * EXPANSION_MAX + EXPANSION_SLACK {
        let text = format!("{} bytes cannot hold the {len} that it declares", packed.len());
        return Err(UnpackError::Malformed(text));
    }
    Ok(len)
}

/// Unpacks into `out`, whose length becomes that of the content.
pub(crate) fn unpack(packed: &[u8], out: &mut Vec<u8>) -> Result<(), UnpackError> {
    let len = unpacked_len(packed)?;
    out.resize(len, 0);
    let malformed = |error: snap::Error| UnpackError::Malformed(error.to_string());
    let written = Decoder::new().decompress(packed, out).map_err(malformed)?;
    out.truncate(written);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(packed: &[u8], expected: &str) {
        let mut out = Vec::new();
        let error = unpack(packed, &mut out).expect_err("refused").to_string();
        assert!(error.contains(expected), "{error}");
        assert!(out.capacity() <= packed.len() * EXPANSION_MAX + EXPANSION_SLACK);
    }

    #[test]
    fn what_is_too_large_or_no_snappy_takes_no_memory() {
        check(b"", "it is empty");
        check(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0], "4294967295 bytes");
        check(&[0x80, 0x80, 0x80, 0x08], "cannot hold the 16777216");
        check(b"no snappy at all", "no snappy block");
    }

    #[test]
    fn what_was_packed_comes_back_also_when_it_packs_best() {
        let mut out = vec![7; 9];
        for content in [Vec::new(), b"abc".to_vec(), vec![b'x'; 1 << 20]] {
            let packed = snap::raw::Encoder::new().compress_vec(&content).expect("packs");
            unpack(&packed, &mut out).expect("unpacks");
            assert_eq!(out, content);
        }
    }
}
