//! Decoders of this crate that take a client's bytes, or those of a file: for the fuzz targets.

use crate::active::LeftBehind;
use crate::write::unpack;

/// The content of a snappy block, if it is one and within the limits.
#[must_use]
pub fn unpacked(packed: &[u8]) -> Option<Vec<u8>> {
    let mut content = Vec::new();
    unpack::unpack(packed, &mut content).ok().map(|()| content)
}

/// What a file of running queries tells.
#[must_use]
pub fn left_behind(file: &[u8]) -> Vec<LeftBehind> {
    crate::active::left_behind(file)
}
