//! Integers of one width side by side: value `i` stands in the bits `[i * width, (i + 1) * width)`, least
//! significant bit first.

/// Values packed together.
pub(crate) const BLOCK_LEN: usize = 128;

/// Bytes that `count` values take.
pub(crate) const fn packed_len(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

/// Appends up to [`BLOCK_LEN`] values, of each the lowest `width` bits.
pub(crate) fn pack(values: &[u64], width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let mask = mask(width);
    let end = out.len() + packed_len(values.len(), width);
    let mut pending: u128 = 0;
    let mut pending_bits = 0;
    for value in values {
        pending |= u128::from(value & mask) << pending_bits;
        pending_bits += width;
        if pending_bits >= 64 {
            let bytes = pending.to_le_bytes();
            out.extend_from_slice(&bytes[..8]);
            pending >>= 64;
            pending_bits -= 64;
        }
    }
    let bytes = pending.to_le_bytes();
    out.extend_from_slice(&bytes[..end - out.len()]);
}

/// Inverse of [`pack`]; `packed` has exactly [`packed_len`] bytes.
pub(crate) fn unpack(packed: &[u8], width: u32, out: &mut [u64]) {
    assert_eq!(packed.len(), packed_len(out.len(), width), "packed length fits the count");
    if width == 0 {
        out.fill(0);
        return;
    }
    // A whole block is copied beside room for reading nine bytes at the last value.
    let mut room = [0u8; BLOCK_LEN * 8 + 16];
    room[..packed.len()].copy_from_slice(packed);
    macro_rules! by_width {
        ($($w:literal)*) => {
            match width {
                $($w => unpack_width::<$w>(&room, out),)*
                _ => unreachable!("widths are at most 64"),
            }
        };
    }
    by_width!(1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32
        33 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64);
}

fn unpack_width<const W: usize>(room: &[u8; BLOCK_LEN * 8 + 16], out: &mut [u64]) {
    let mask = mask_of::<W>();
    for (group_idx, group) in out.chunks_mut(8).enumerate() {
        // Eight values start at a whole byte, `W` bytes after the eight before.
        let start = group_idx * W;
        let bytes = &room[start..start + W + 9];
        for (idx, value) in group.iter_mut().enumerate() {
            let bit = idx * W;
            let (byte, shift) = (bit >> 3, bit & 7);
            let word = u64::from_le_bytes(bytes[byte..byte + 8].try_into().expect("eight bytes"));
            let mut wide = word >> shift;
            if W + 7 > 64 && shift > 0 {
                wide |= u64::from(bytes[byte + 8]) << (64 - shift);
            }
            *value = wide & mask;
        }
    }
}

const fn mask_of<const W: usize>() -> u64 {
    if W >= 64 { u64::MAX } else { (1 << W) - 1 }
}

const fn mask(width: u32) -> u64 {
    if width >= 64 { u64::MAX } else { (1 << width) - 1 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_width_and_count_comes_back() {
        for width in 0..=64 {
            for count in [1, 7, 8, 9, 127, 128] {
                let values: Vec<u64> = (0..count as u64)
                    .map(|i| (i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) & mask(width))
                    .collect();
                let mut packed = Vec::new();
                pack(&values, width, &mut packed);
                assert_eq!(packed.len(), packed_len(count, width));
                let mut back = vec![1; count];
                unpack(&packed, width, &mut back);
                assert_eq!(back, values, "width {width}, count {count}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_values_come_back(values in prop::collection::vec(any::<u64>(), 1..=BLOCK_LEN), width in 1u32..=64) {
            let mut packed = Vec::new();
            pack(&values, width, &mut packed);
            let mut back = vec![0; values.len()];
            unpack(&packed, width, &mut back);
            let expected: Vec<u64> = values.iter().map(|v| v & mask(width)).collect();
            prop_assert_eq!(back, expected);
        }
    }
}
