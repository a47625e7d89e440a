//! Frames of a stream of messages: length, checksum, message.

use crate::protobuf::put_varint;

/// The polynomial of CRC-32C, lowest bit first.
const POLYNOMIAL: u32 = 0x82f6_3b78;

const TABLE: [u32; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        #[expect(clippy::cast_possible_truncation, reason = "below 256")]
        let mut rest = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            rest = rest >> 1 ^ (POLYNOMIAL * (rest & 1));
            bit += 1;
        }
        table[byte] = rest;
        byte += 1;
    }
    table
};

/// CRC-32C (Castagnoli).
#[must_use]
pub fn crc32c(bytes: &[u8]) -> u32 {
    !bytes
        .iter()
        .fold(!0, |rest: u32, byte| rest >> 8 ^ TABLE[usize::from(rest.to_le_bytes()[0] ^ byte)])
}

/// Appends a message in its frame.
pub fn put_frame(message: &[u8], out: &mut Vec<u8>) {
    put_varint(message.len() as u64, out);
    out.extend_from_slice(&crc32c(message).to_be_bytes());
    out.extend_from_slice(message);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_have_length_checksum_and_message() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        let mut out = Vec::new();
        put_frame(b"123456789", &mut out);
        assert_eq!(out, b"\x09\xe3\x06\x92\x83123456789");
    }
}
