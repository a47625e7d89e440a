//! Where a node stands in the query text.

use std::fmt;

/// Byte offsets of a piece of query text, half-open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The span from the start of `self` to the end of `other`.
    #[must_use]
    pub const fn to(self, other: Self) -> Self {
        Self { start: self.start, end: other.end }
    }

    /// The text of the span, empty when `query` is not the text the span was made for.
    #[must_use]
    pub fn text(self, query: &str) -> &str {
        query.get(self.start as usize..self.end as usize).unwrap_or("")
    }

    /// Line and column of the first byte.
    #[must_use]
    pub fn position(self, query: &str) -> Position {
        Position::of(query, self.start)
    }
}

/// Line and column, both counted from 1; columns count bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Position {
    /// Line.
    pub line: u32,
    /// Column in bytes.
    pub column: u32,
}

impl Position {
    /// The position of a byte of `query`; offsets past the end count as the end.
    #[must_use]
    pub fn of(query: &str, offset: u32) -> Self {
        let before = &query.as_bytes()[..(offset as usize).min(query.len())];
        let line_start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        let lines = before.iter().filter(|byte| **byte == b'\n').count();
        let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).saturating_add(1);
        Self { line: count(lines), column: count(before.len() - line_start) }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.line, self.column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one() {
        for (offset, expected) in [(0, "1:1"), (2, "1:3"), (3, "2:1"), (5, "2:3"), (99, "2:4")] {
            assert_eq!(Position::of("ab\ncde", offset).to_string(), expected, "{offset}");
        }
    }
}
