//! The bit stream of chunks, highest bit of each byte first.

use super::{Fault, unzigzag, uvarint};

#[derive(Clone, Debug)]
pub(super) struct BitReader<'a> {
    bytes: &'a [u8],
    /// In bits.
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    pub(super) fn bit(&mut self) -> Result<bool, Fault> {
        let byte = self.bytes.get(self.at / 8).ok_or_else(ended)?;
        let bit = byte >> (7 - self.at % 8) & 1 == 1;
        self.at += 1;
        Ok(bit)
    }

    /// The next `count` bits, at most 64, as an integer.
    pub(super) fn bits(&mut self, count: u32) -> Result<u64, Fault> {
        let mut value = 0_u64;
        let mut left = count as usize;
        while left > 0 {
            let byte = u64::from(*self.bytes.get(self.at / 8).ok_or_else(ended)?);
            let free = 8 - self.at % 8;
            let taken = free.min(left);
            let part = byte >> (free - taken) & ((1 << taken) - 1);
            value = value << taken | part;
            self.at += taken;
            left -= taken;
        }
        Ok(value)
    }

    pub(super) fn byte(&mut self) -> Result<u8, Fault> {
        Ok(self.bits(8)?.to_le_bytes()[0])
    }

    pub(super) fn f64(&mut self) -> Result<f64, Fault> {
        self.bits(64).map(f64::from_bits)
    }

    pub(super) fn uvarint(&mut self) -> Result<u64, Fault> {
        uvarint(|| self.byte())
    }

    pub(super) fn varint(&mut self) -> Result<i64, Fault> {
        self.uvarint().map(unzigzag)
    }

    /// Number of ones before a zero, at most `max`.
    pub(super) fn ones(&mut self, max: u32) -> Result<u32, Fault> {
        let mut count = 0;
        while count < max && self.bit()? {
            count += 1;
        }
        Ok(count)
    }

    /// `count` bits as a signed integer from −2^(count−1)+1 to 2^(count−1).
    pub(super) fn signed(&mut self, count: u32) -> Result<i64, Fault> {
        let bits = self.bits(count)?;
        let value = bits.cast_signed();
        Ok(if count < 64 && bits > 1 << (count - 1) { value - (1 << count) } else { value })
    }

    /// An integer behind a prefix of ones that tells its width.
    pub(super) fn varbit_uint(&mut self) -> Result<u64, Fault> {
        let width = WIDTHS[self.ones(8)? as usize];
        self.bits(width)
    }

    /// The same, signed.
    pub(super) fn varbit_int(&mut self) -> Result<i64, Fault> {
        match WIDTHS[self.ones(8)? as usize] {
            0 => Ok(0),
            width => self.signed(width),
        }
    }
}

/// By the number of ones in front.
const WIDTHS: [u32; 9] = [0, 3, 6, 9, 12, 18, 25, 56, 64];

fn ended() -> Fault {
    "the chunk ends in the middle of a sample".to_owned()
}

/// A float as the difference to the one before.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct XorValue {
    pub(super) bits: u64,
    leading: u32,
    trailing: u32,
}

impl XorValue {
    pub(super) fn new(bits: u64) -> Self {
        Self { bits, leading: 0, trailing: 0 }
    }

    pub(super) fn value(self) -> f64 {
        f64::from_bits(self.bits)
    }

    pub(super) fn next(&mut self, stream: &mut BitReader<'_>) -> Result<(), Fault> {
        if !stream.bit()? {
            return Ok(());
        }
        if stream.bit()? {
            self.leading = u32::try_from(stream.bits(5)?).unwrap_or(0);
            let width = match u32::try_from(stream.bits(6)?).unwrap_or(0) {
                // 64 does not fit into six bits.
                0 => 64,
                width => width,
            };
            self.trailing = 64_u32
                .checked_sub(self.leading + width)
                .ok_or_else(|| format!("{} zeros before {width} bits", self.leading))?;
        }
        let width = 64 - self.leading - self.trailing;
        self.bits ^= stream.bits(width)? << self.trailing;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_from_the_top() {
        let mut stream = BitReader::new(&[0b1011_0000, 0b1111_1111, 0b0000_0001]);
        assert_eq!(stream.bits(3), Ok(0b101));
        assert_eq!(stream.bits(10), Ok(0b10_0001_1111));
        assert_eq!(stream.ones(8), Ok(3));
        assert_eq!(stream.bits(7), Ok(1));
        assert!(stream.bit().is_err());
    }

    #[test]
    fn widths_have_one_more_value_above_zero_than_below() {
        assert_eq!(BitReader::new(&[0b1000_0000]).signed(3), Ok(4));
        assert_eq!(BitReader::new(&[0b1010_0000]).signed(3), Ok(-3));
        assert_eq!(BitReader::new(&[0b1001_0000]).varbit_int(), Ok(2));
        assert_eq!(BitReader::new(&[0]).varbit_int(), Ok(0));
    }
}
