//! Protocol buffers as far as remote write and remote read need them: a cursor over borrowed bytes, and fields appended.

use std::ops::Range;

/// The bytes are no such message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("byte {offset} of the message: {what}")]
pub struct WireError {
    /// Where in the whole message.
    pub offset: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// A stretch of a message, read from its start; offsets are those of the whole message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor<'a> {
    whole: &'a [u8],
    at: usize,
    end: usize,
}

/// A field's value by its wire type.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(Cursor<'a>),
    Fixed32,
}

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const BYTES: u64 = 2;
const FIXED32: u64 = 5;

impl<'a> Cursor<'a> {
    pub(crate) const fn new(whole: &'a [u8]) -> Self {
        Self { whole, at: 0, end: whole.len() }
    }

    pub(crate) fn at(whole: &'a [u8], range: Range<usize>) -> Self {
        assert!(range.start <= range.end && range.end <= whole.len(), "a range of the message");
        Self { whole, at: range.start, end: range.end }
    }

    pub(crate) const fn range(&self) -> Range<usize> {
        self.at..self.end
    }

    /// What is left.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        &self.whole[self.at..self.end]
    }

    pub(crate) const fn len(&self) -> usize {
        self.end - self.at
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.at == self.end
    }

    /// The same stretch without its first `len` bytes.
    ///
    /// # Panics
    /// When it has fewer.
    pub(crate) fn skipped(mut self, len: usize) -> Self {
        assert!(len <= self.len(), "skips what is there");
        self.at += len;
        self
    }

    pub(crate) const fn fault(&self, what: &'static str) -> WireError {
        WireError { offset: self.at, what }
    }

    #[inline]
    pub(crate) fn varint(&mut self) -> Result<u64, WireError> {
        let bytes = self.bytes();
        if let Some(first) = bytes.first()
            && *first < 0x80
        {
            self.at += 1;
            return Ok(u64::from(*first));
        }
        let mut value = 0_u64;
        for (idx, byte) in bytes.iter().take(10).enumerate() {
            let bits = u64::from(byte & 0x7f);
            if idx == 9 && *byte > 1 {
                return Err(self.fault("a number is larger than 64 bits"));
            }
            value |= bits << (7 * idx);
            if *byte < 0x80 {
                self.at += idx + 1;
                return Ok(value);
            }
        }
        Err(self.fault("a number does not end"))
    }

    #[inline]
    pub(crate) fn fixed64(&mut self) -> Result<u64, WireError> {
        let Some(bytes) = self.bytes().first_chunk::<8>() else {
            return Err(self.fault("eight bytes are cut short"));
        };
        self.at += 8;
        Ok(u64::from_le_bytes(*bytes))
    }

    #[inline]
    fn stretch(&mut self) -> Result<Self, WireError> {
        let len = self.varint()?;
        match usize::try_from(len) {
            Ok(len) if len <= self.len() => {
                let stretch = Self { whole: self.whole, at: self.at, end: self.at + len };
                self.at += len;
                Ok(stretch)
            }
            _ => Err(self.fault("a length reaches beyond the end")),
        }
    }

    /// The next field with its number; `None` at the end, which is also behind a fault: what follows one cannot be told
    /// apart, and who passes over faults must come to an end.
    #[inline]
    pub(crate) fn field(&mut self) -> Result<Option<(u64, Value<'a>)>, WireError> {
        let field = self.read_field();
        if field.is_err() {
            self.at = self.end;
        }
        field
    }

    #[inline]
    fn read_field(&mut self) -> Result<Option<(u64, Value<'a>)>, WireError> {
        if self.is_empty() {
            return Ok(None);
        }
        let tag = self.varint()?;
        let value = match tag & 7 {
            BYTES => Value::Bytes(self.stretch()?),
            VARINT => Value::Varint(self.varint()?),
            FIXED64 => Value::Fixed64(self.fixed64()?),
            FIXED32 => {
                if self.len() < 4 {
                    return Err(self.fault("four bytes are cut short"));
                }
                self.at += 4;
                Value::Fixed32
            }
            _ => return Err(self.fault("a field has a wire type that is not in use")),
        };
        match tag >> 3 {
            0 => Err(self.fault("a field has the number 0")),
            number => Ok(Some((number, value))),
        }
    }
}

/// Calls `each` with every field; what it does not know it passes over.
pub(crate) fn each_field<'a>(
    mut cursor: Cursor<'a>,
    mut each: impl FnMut(u64, Value<'a>, &Cursor<'a>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    while let Some((number, value)) = cursor.field()? {
        each(number, value, &cursor)?;
    }
    Ok(())
}

impl<'a> Value<'a> {
    pub(crate) fn stretch(self, at: &Cursor<'a>) -> Result<Cursor<'a>, WireError> {
        match self {
            Self::Bytes(stretch) => Ok(stretch),
            _ => Err(at.fault("a field that has bytes comes as a number")),
        }
    }

    pub(crate) fn number(self, at: &Cursor<'a>) -> Result<u64, WireError> {
        match self {
            Self::Varint(value) => Ok(value),
            _ => Err(at.fault("a field that is a varint has another wire type")),
        }
    }

    /// An `int64`, as varint in two's complement.
    pub(crate) fn signed(self, at: &Cursor<'a>) -> Result<i64, WireError> {
        self.number(at).map(u64::cast_signed)
    }

    pub(crate) fn float(self, at: &Cursor<'a>) -> Result<f64, WireError> {
        match self {
            Self::Fixed64(bits) => Ok(f64::from_bits(bits)),
            _ => Err(at.fault("a field that is a double has another wire type")),
        }
    }

    /// A `uint32`; larger values lose their upper bits, as they do in other readers.
    pub(crate) fn u32(self, at: &Cursor<'a>) -> Result<u32, WireError> {
        self.number(at).map(low_u32)
    }
}

/// The lower half.
pub(crate) fn low_u32(value: u64) -> u32 {
    u32::try_from(value & u64::from(u32::MAX)).expect("masked to 32 bits")
}

/// A `sint64`.
pub(crate) const fn unzigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}

/// Appends a repeated scalar, packed or one by one.
pub(crate) fn repeated<'a, T>(
    value: Value<'a>,
    at: &Cursor<'a>,
    out: &mut Vec<T>,
    mut one: impl FnMut(&mut Cursor<'a>) -> Result<T, WireError>,
    single: impl FnOnce(Value<'a>) -> Result<T, WireError>,
) -> Result<(), WireError> {
    if let Value::Bytes(mut packed) = value {
        while !packed.is_empty() {
            out.push(one(&mut packed)?);
        }
    } else {
        out.push(
            single(value).map_err(|error| WireError { offset: at.fault("").offset, ..error })?,
        );
    }
    Ok(())
}

/// Wire types of fields that are appended.
pub(crate) const fn varint_tag(field: u8) -> u8 {
    field << 3
}

pub(crate) const fn fixed64_tag(field: u8) -> u8 {
    field << 3 | 1
}

pub(crate) const fn bytes_tag(field: u8) -> u8 {
    field << 3 | 2
}

/// Appends a number without a tag.
pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).expect("seven bits"));
}

/// Appends a field of bytes.
pub(crate) fn put_bytes(tag: u8, bytes: &[u8], out: &mut Vec<u8>) {
    out.push(tag);
    put_varint(bytes.len() as u64, out);
    out.extend_from_slice(bytes);
}

/// A `sint64` as varint.
pub(crate) const fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}
