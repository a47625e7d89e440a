//! The tokens of a tail: a few stand in place, more in a buffer of their own. Most series do not change, or are new.

/// Tokens that stand in place, in bytes: what a buffer's address and sizes take, less the byte that counts them.
const INLINE_MAX: usize = 15;

/// Bytes of the longest varint.
const VARINT_MAX: usize = 10;

/// The first buffer, the least that the system's allocator gives. It hands memory out in pieces of 16 bytes less the eight
/// that it keeps for itself, so larger ones are 16 apart as well.
pub(crate) const BUFFER_MIN_BYTES: usize = 24;
const BUFFER_STEP_BYTES: usize = 16;

/// The capacity after this one: a fifth more at least, so that copying stays cheap.
const fn grown(capacity: usize) -> usize {
    if capacity < BUFFER_MIN_BYTES {
        return BUFFER_MIN_BYTES;
    }
    let steps = (capacity / 5).div_ceil(BUFFER_STEP_BYTES);
    let steps = if steps == 0 { 1 } else { steps };
    let above = (capacity - BUFFER_MIN_BYTES).div_ceil(BUFFER_STEP_BYTES) + steps;
    BUFFER_MIN_BYTES + above * BUFFER_STEP_BYTES
}

/// See the module. 24 bytes.
#[derive(Clone, Debug)]
pub(crate) enum Tokens {
    Inline { len: u8, bytes: [u8; INLINE_MAX] },
    Buffer(Vec<u8>),
}

impl Default for Tokens {
    fn default() -> Self {
        Self::Inline { len: 0, bytes: [0; INLINE_MAX] }
    }
}

impl Tokens {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut tokens = Self::default();
        tokens.extend(bytes);
        tokens
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Self::Inline { len, bytes } => &bytes[..usize::from(*len)],
            Self::Buffer(buffer) => buffer,
        }
    }

    pub(crate) const fn len(&self) -> usize {
        match self {
            Self::Inline { len, .. } => *len as usize,
            Self::Buffer(buffer) => buffer.len(),
        }
    }

    /// Bytes of the buffer.
    pub(crate) const fn heap_bytes(&self) -> usize {
        match self {
            Self::Inline { .. } => 0,
            Self::Buffer(buffer) => buffer.capacity(),
        }
    }

    /// Appends a token, or what follows one.
    #[inline]
    pub(crate) fn put_varint(&mut self, value: u64) {
        let [low, high, ..] = value.to_le_bytes();
        if value < 0x80 {
            self.extend(&[low]);
        } else if value < 0x4000 {
            self.extend(&[low | 0x80, high << 1 | low >> 7]);
        } else {
            self.put_long(value);
        }
    }

    fn put_long(&mut self, mut value: u64) {
        let (mut bytes, mut len) = ([0; VARINT_MAX], 0);
        while value >= 0x80 {
            bytes[len] = value.to_le_bytes()[0] | 0x80;
            value >>= 7;
            len += 1;
        }
        bytes[len] = value.to_le_bytes()[0];
        self.extend(&bytes[..=len]);
    }

    #[inline]
    pub(crate) fn extend(&mut self, more: &[u8]) {
        match self {
            Self::Inline { len, bytes } => {
                let end = usize::from(*len) + more.len();
                match (bytes.get_mut(usize::from(*len)..end), u8::try_from(end)) {
                    (Some(place), Ok(end)) => {
                        place.copy_from_slice(more);
                        *len = end;
                    }
                    _ => self.move_out(more),
                }
            }
            Self::Buffer(buffer) => {
                // There is a buffer for each series that varies, so it grows in small steps: doubling would leave a third
                // of all of them empty.
                let (len, capacity) = (buffer.len(), buffer.capacity());
                if len + more.len() > capacity {
                    buffer.reserve_exact(grown(capacity).max(len + more.len()) - len);
                }
                buffer.extend_from_slice(more);
            }
        }
    }

    fn move_out(&mut self, more: &[u8]) {
        let len = self.len() + more.len();
        let mut capacity = 0;
        while capacity < len {
            capacity = grown(capacity);
        }
        let mut buffer = Vec::with_capacity(capacity);
        buffer.extend_from_slice(self.as_slice());
        buffer.extend_from_slice(more);
        *self = Self::Buffer(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes::put_varint;

    #[test]
    fn tokens_move_into_a_buffer_once_they_are_many() {
        assert_eq!(size_of::<Tokens>(), size_of::<Vec<u8>>());
        let (mut tokens, mut expected) = (Tokens::default(), Vec::new());
        for nr in 0..40_u64 {
            tokens.put_varint(nr * nr * nr);
            put_varint(&mut expected, nr * nr * nr);
            assert_eq!(tokens.as_slice(), expected);
            assert_eq!(tokens.len(), expected.len());
            assert_eq!(tokens.heap_bytes() > 0, expected.len() > INLINE_MAX, "{nr}");
            assert_eq!(Tokens::of(&expected).as_slice(), expected);
        }
        let long = vec![7; 1000];
        let mut tokens = Tokens::of(&[1]);
        tokens.extend(&long);
        assert_eq!((tokens.len(), tokens.as_slice()[1]), (1001, 7));
    }
}
