//! Bits, highest first, and the numbers of Prometheus' chunks in them.

/// See the module.
#[derive(Debug, Default)]
pub(super) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits that are free in the last byte.
    free: u32,
}

/// How many bits a number gets, by how long its prefix of ones is: `(prefix bits, number bits)`.
const SIZES: [(u32, u32); 7] = [(2, 3), (3, 6), (4, 9), (5, 12), (6, 18), (7, 25), (8, 56)];

impl BitWriter {
    /// Appends the lowest `count` bits of a number.
    pub(super) fn bits(&mut self, value: u64, mut count: u32) {
        while count > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let taken = count.min(self.free);
            let part = value >> (count - taken) & ((1 << taken) - 1);
            let last = self.bytes.last_mut().expect("there is one");
            *last |= u8::try_from(part << (self.free - taken)).expect("as many bits as are free");
            self.free -= taken;
            count -= taken;
        }
    }

    pub(super) fn float(&mut self, value: f64) {
        self.bits(value.to_bits(), 64);
    }

    /// As many ones as the prefix has, the last one a zero unless it is the longest.
    fn prefix(&mut self, bits: u32) {
        self.bits((1 << bits) - 2, bits);
    }

    /// A signed number by its size.
    pub(super) fn varbit(&mut self, value: i64) {
        if value == 0 {
            return self.bits(0, 1);
        }
        for (prefix, bits) in SIZES {
            if fits(value, bits) {
                self.prefix(prefix);
                return self.bits(value.cast_unsigned(), bits);
            }
        }
        self.bits(0xff, 8);
        self.bits(value.cast_unsigned(), 64);
    }

    /// A number without sign by its size.
    pub(super) fn varbit_unsigned(&mut self, value: u64) {
        if value == 0 {
            return self.bits(0, 1);
        }
        for (prefix, bits) in SIZES {
            if value >> bits == 0 {
                self.prefix(prefix);
                return self.bits(value, bits);
            }
        }
        self.bits(0xff, 8);
        self.bits(value, 64);
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

/// Whether a number is kept in so many bits: one more above zero than below.
pub(super) const fn fits(value: i64, bits: u32) -> bool {
    let half = 1_i64 << (bits - 1);
    -half < value && value <= half
}
