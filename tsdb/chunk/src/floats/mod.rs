//! A column of floats. Every bit pattern comes back, NaN payloads and the sign of zero included.
//!
//! ```text
//! kinds    byte     codec (bits 0-2), exceptions follow (bit 3)
//!          Constant         nothing
//!          ConstantDecimal  byte exponent
//!          Decimal          byte exponent, integer kind of the mantissas
//!          PseudoDecimal    the same, then integer kind of the corrections
//!          Bits             integer kind of the bit patterns
//!          Referring        byte exponent, integer kind of the differences
//! numbers  Constant         8 bytes of the value
//!          ConstantDecimal  zigzag mantissa
//!          others           [varint number of exceptions], integer numbers in the order of the kinds
//! body     integer bodies in the order of the kinds
//! exceptions: for each, varint (distance from the last position * 2 + is the staleness marker), [8 bytes value]
//! ```
//!
//! - **Decimal**: all values but the exceptions are `mantissa / 10^exponent` exactly. An exception's mantissa
//!   repeats the one before it, so that a NaN in mid-stream costs its own bytes and no more.
//! - **`PseudoDecimal`**: sums of measured durations are decimals but for rounding; the correction is the
//!   distance in bit patterns.
//! - **Bits**: differences of bit patterns, for what is left.
//! - **Referring**: as Decimal, but of each mantissa the mantissa of another column at the same position is
//!   subtracted: buckets of one histogram, counters that the same event moves.
//!
//! The four parts are apart so that a block can keep each beside its like. As one piece they stand one behind the
//! other, the exceptions last.

mod reader;
mod statistics;
mod writer;

#[cfg(test)]
mod tests;

pub use reader::{FloatCursors, FloatHead, FloatReader};
pub use statistics::{Falls, FloatStatistics};
pub use writer::{FloatParts, FloatWriter};

const CONSTANT: u8 = 0;
const CONSTANT_DECIMAL: u8 = 1;
const DECIMAL: u8 = 2;
const PSEUDO_DECIMAL: u8 = 3;
const BITS: u8 = 4;
const REFERRING: u8 = 5;
const HAS_EXCEPTIONS: u8 = 1 << 3;
