//! `/proc/<pid>/stat`.

use swell_source::{fields, parse_u64};

/// The fields that are used, as numbered in proc(5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) parent: u32,
    pub(crate) session: u32,
    pub(crate) user_ticks: u64,
    pub(crate) system_ticks: u64,
    /// Of children that ended and were waited for, and of theirs.
    pub(crate) children_user_ticks: u64,
    pub(crate) children_system_ticks: u64,
    pub(crate) threads: u64,
    /// Since boot; tells a process from another that got the same id later.
    pub(crate) start_ticks: u64,
}

/// Parses the line; `None` when it is not of the documented form.
pub(crate) fn parse(text: &[u8]) -> Option<Stat> {
    // the name in parentheses may itself hold blanks and parentheses
    let after_name = text.iter().rposition(|byte| *byte == b')')? + 1;
    let mut fields = fields(&text[after_name..]);
    // the field after the name is number 3
    let mut number = 3;
    let mut take = |wanted: usize| {
        let field = fields.nth(wanted - number);
        number = wanted + 1;
        field
    };
    let pid = |field: &[u8]| parse_u64(field).and_then(|pid| u32::try_from(pid).ok());
    Some(Stat {
        parent: take(4).and_then(pid)?,
        session: take(6).and_then(pid)?,
        user_ticks: take(14).and_then(parse_u64)?,
        system_ticks: take(15).and_then(parse_u64)?,
        children_user_ticks: take(16).and_then(parse_u64)?,
        children_system_ticks: take(17).and_then(parse_u64)?,
        threads: take(20).and_then(parse_u64)?,
        start_ticks: take(22).and_then(parse_u64)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_blanks_and_parentheses_are_skipped() {
        let text =
            b"42 (a ) (b c) S 7 42 6 0 -1 4194304 100 1 2 3 11 12 13 14 20 0 5 0 999 1 1 1 1";
        let expected = Stat {
            parent: 7,
            session: 6,
            user_ticks: 11,
            system_ticks: 12,
            children_user_ticks: 13,
            children_system_ticks: 14,
            threads: 5,
            start_ticks: 999,
        };
        assert_eq!(parse(text), Some(expected));
        for text in
            ["", "42 (x) S 7", "42 x S 7 42 6", "1 (x) S -1 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0"]
        {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }
}
