//! Where lines end: at a line end that is in no quoted text of a field.

use crate::line::is_special;

/// Lines with the number of the first of their line ends, from 1 on. A text that does not end takes all that follows:
/// what stands in a text must never be read as a line of its own.
pub(crate) fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let (mut rest, mut number) = (Some(bytes), 1);
    std::iter::from_fn(move || {
        let bytes = rest?;
        let len = line_len(bytes);
        let line = &bytes[..len];
        rest = bytes.get(len + 1..);
        let found = (number, line);
        number += 1 + line.iter().filter(|byte| **byte == b'\n').count();
        Some(found)
    })
}

/// Where in a line a letter stands.
#[derive(Clone, Copy)]
enum Part {
    /// Measurement and tags.
    Series,
    SpaceBeforeFields,
    FieldName,
    /// Behind the `=` of a field, where a quote begins a text.
    ValueStart,
    Value,
    Text,
    /// The timestamp, or all of a comment: nothing has a meaning but the line end.
    Last,
}

/// Bytes before the end of the first line. Goes by the same letters as the parser of lines, so that both agree on what
/// is a text.
fn line_len(bytes: &[u8]) -> usize {
    let is_space = |byte: &u8| *byte != b'\n' && byte.is_ascii_whitespace();
    let mut at = bytes.iter().take_while(|byte| is_space(byte)).count();
    let mut part = if bytes.get(at) == Some(&b'#') { Part::Last } else { Part::Series };
    while let Some(byte) = bytes.get(at) {
        let is_escape = || bytes.get(at + 1).is_some_and(|next| is_special(*next));
        part = match (part, byte) {
            (Part::Text, b'\\') => {
                at += 1;
                Part::Text
            }
            (Part::Text, b'"') => Part::Value,
            (Part::Text, _) => Part::Text,
            (_, b'\n') => return at,
            (Part::ValueStart, b'"') => Part::Text,
            (Part::Last, _) => Part::Last,
            (Part::SpaceBeforeFields, b' ') => Part::SpaceBeforeFields,
            (_, b'\\') if is_escape() => {
                at += 1;
                match part {
                    Part::SpaceBeforeFields => Part::FieldName,
                    Part::ValueStart => Part::Value,
                    other => other,
                }
            }
            (Part::Series, b' ') => Part::SpaceBeforeFields,
            (Part::Series, _) => Part::Series,
            (Part::SpaceBeforeFields | Part::FieldName, b'=') => Part::ValueStart,
            (_, b' ') => Part::Last,
            (Part::ValueStart | Part::Value, b',') => Part::FieldName,
            (Part::ValueStart | Part::Value, _) => Part::Value,
            (Part::SpaceBeforeFields | Part::FieldName, _) => Part::FieldName,
        };
        at += 1;
    }
    bytes.len()
}
