//! Unpacking of bodies, within a bound.

use std::borrow::Cow;
use std::io::Read as _;

use axum::http::{HeaderMap, header};
use flate2::read::MultiGzDecoder;

use crate::failure::Failure;

/// Largest body, as sent and unpacked.
pub(crate) const BODY_BYTES_MAX: usize = swell_http::limits::BODY_BYTES_MAX;

/// Why a body was not unpacked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UnpackError {
    #[error("the body is no gzip: {0}")]
    Malformed(#[source] std::io::Error),
    #[error(
        "the body unpacks to more than the {BODY_BYTES_MAX} bytes that are read: send smaller requests"
    )]
    TooLarge,
}

/// Whether a body is packed, by what its request says; 400 for any other encoding.
pub(crate) fn is_gzip(headers: &HeaderMap) -> Result<bool, Failure> {
    match headers.get(header::CONTENT_ENCODING).map_or(&b""[..], |value| value.as_bytes()) {
        b"" | b"identity" => Ok(false),
        b"gzip" => Ok(true),
        other => {
            let other = String::from_utf8_lossy(other);
            let text = format!("content encoding {other:?} is not read here: send gzip or none");
            Err(Failure::bad(text))
        }
    }
}

/// What a body holds, packed or not.
pub(crate) fn content(body: &[u8], is_gzip: bool) -> Result<Cow<'_, [u8]>, UnpackError> {
    if is_gzip { gunzip(body).map(Cow::Owned) } else { Ok(Cow::Borrowed(body)) }
}

fn gunzip(packed: &[u8]) -> Result<Vec<u8>, UnpackError> {
    let mut content = Vec::new();
    let bound = BODY_BYTES_MAX as u64 + 1;
    MultiGzDecoder::new(packed)
        .take(bound)
        .read_to_end(&mut content)
        .map_err(UnpackError::Malformed)?;
    if content.len() > BODY_BYTES_MAX { Err(UnpackError::TooLarge) } else { Ok(content) }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).expect("memory");
        encoder.finish().expect("memory")
    }

    #[test]
    fn bombs_and_what_is_no_gzip_are_told() {
        assert_eq!(gunzip(&gzip(b"abc")).expect("good"), b"abc");
        assert!(matches!(gunzip(b"abc"), Err(UnpackError::Malformed(_))));
        let cut = gzip(b"abc");
        assert!(matches!(gunzip(&cut[..cut.len() - 3]), Err(UnpackError::Malformed(_))));
        let bomb = gzip(&vec![0; BODY_BYTES_MAX + 1]);
        assert!(bomb.len() < 1 << 18 && matches!(gunzip(&bomb), Err(UnpackError::TooLarge)));
    }
}
