//! What decoding says of bytes that are not what they claim.

/// Bytes that cannot be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {offset} of the column")]
pub struct DecodeError {
    /// Where in the bytes handed over.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}
