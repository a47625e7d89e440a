//! The whole request.

use super::metadata::Metadata;
use super::series::SeriesMessage;
use crate::protobuf::{Cursor, WireError, each_field};

/// Which of the two messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message {
    /// `prometheus.WriteRequest`
    V1,
    /// `io.prometheus.write.v2.Request`
    V2,
}

impl Message {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V1, Self::V2];

    /// The message's name, as the `proto` parameter of the content type has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::V1 => "prometheus.WriteRequest",
            Self::V2 => "io.prometheus.write.v2.Request",
        }
    }
}

/// One entry of a request.
#[derive(Clone, Copy, Debug)]
pub enum Item<'a> {
    /// A series.
    Series(SeriesMessage<'a>),
    /// What a metric family is (1.0).
    Metadata(Metadata<'a>),
}

/// The entries of an unpacked request, in their order.
pub fn items(bytes: &[u8], message: Message) -> impl Iterator<Item = Result<Item<'_>, WireError>> {
    let mut cursor = Cursor::new(bytes);
    let series_field = match message {
        Message::V1 => 1,
        Message::V2 => 5,
    };
    std::iter::from_fn(move || {
        loop {
            let (number, value) = match cursor.field() {
                Ok(Some(field)) => field,
                Ok(None) => return None,
                Err(error) => return Some(Err(error)),
            };
            if number == series_field {
                let series = value.stretch(&cursor).map(|cursor| SeriesMessage { cursor, message });
                return Some(series.map(Item::Series));
            }
            if number == 3 && message == Message::V1 {
                let metadata = value.stretch(&cursor).and_then(Metadata::read);
                return Some(metadata.map(Item::Metadata));
            }
        }
    })
}

/// Appends the symbol table of an unpacked 2.0 request.
///
/// # Errors
/// [`WireError`] when a field is malformed.
pub fn read_symbols<'a>(bytes: &'a [u8], out: &mut Vec<&'a [u8]>) -> Result<(), WireError> {
    const SYMBOLS: u64 = 4;
    each_field(Cursor::new(bytes), |number, value, at| {
        if number == SYMBOLS {
            out.push(value.stretch(at)?.bytes());
        }
        Ok(())
    })
}
