//! From lines in CRI format to what a reader asked for.

use super::LogOptions;

/// Bytes of a timestamp as the shim writes it.
const STAMP_BYTES: usize = "2006-01-02T15:04:05.000000000Z".len();

/// Strips and filters lines; takes text in any pieces.
#[derive(Debug)]
pub(super) struct Lines {
    timestamps: bool,
    /// Earliest stamp; they have one form, so that their order is that of their text.
    since: Option<String>,
    room_bytes: Option<u64>,
    /// A begun line.
    pending: Vec<u8>,
    /// The next entry begins a line of the program.
    at_line_start: bool,
}

impl Lines {
    pub(super) fn new(options: &LogOptions) -> Self {
        Self {
            timestamps: options.timestamps,
            since: options.since.map(|at| {
                let at = jiff::Timestamp::from_millisecond(at.0).unwrap_or(jiff::Timestamp::MIN);
                format!("{at:.9}")
            }),
            room_bytes: options.limit_bytes,
            pending: Vec::new(),
            at_line_start: true,
        }
    }

    /// Whether the limit is reached.
    pub(super) fn is_full(&self) -> bool {
        self.room_bytes == Some(0)
    }

    /// What of this piece is wanted.
    pub(super) fn feed(&mut self, mut chunk: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(chunk.len());
        while let Some(end) = chunk.iter().position(|byte| *byte == b'\n') {
            if self.pending.is_empty() {
                self.entry(&chunk[..end], &mut out);
            } else {
                let mut line = std::mem::take(&mut self.pending);
                line.extend_from_slice(&chunk[..end]);
                self.entry(&line, &mut out);
            }
            chunk = &chunk[end + 1..];
        }
        self.pending.extend_from_slice(chunk);
        if let Some(room) = &mut self.room_bytes {
            out.truncate(usize::try_from(*room).unwrap_or(usize::MAX));
            *room -= out.len() as u64;
        }
        out
    }

    fn entry(&mut self, line: &[u8], out: &mut Vec<u8>) {
        let Some((stamp, tag, text)) = split(line) else {
            // Not ours: shown as it is rather than hidden.
            out.extend_from_slice(line);
            out.push(b'\n');
            return;
        };
        let whole = tag == b"F";
        let begins = std::mem::replace(&mut self.at_line_start, whole);
        if self.since.as_ref().is_some_and(|since| stamp < since.as_bytes()) {
            return;
        }
        if self.timestamps && begins {
            out.extend_from_slice(stamp);
            out.push(b' ');
        }
        out.extend_from_slice(text);
        if whole {
            out.push(b'\n');
        }
    }
}

fn split(line: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let mut parts = line.splitn(4, |byte| *byte == b' ');
    let (stamp, stream, tag, text) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let known = stamp.len() == STAMP_BYTES
        && matches!(stream, b"stdout" | b"stderr")
        && matches!(tag, b"F" | b"P");
    known.then_some((stamp, tag, text))
}

#[cfg(test)]
mod tests {
    use swell_model::TimestampMs;

    use super::*;

    const LOG: &str = "\
2023-11-14T22:13:20.000000001Z stdout F first
2023-11-14T22:13:21.000000000Z stderr P long
2023-11-14T22:13:21.000000500Z stderr F er
2023-11-14T22:13:22.500000000Z stdout F last one
";

    fn check(options: &LogOptions, expected: &str) {
        let mut lines = Lines::new(options);
        let whole = lines.feed(LOG.as_bytes());
        assert_eq!(String::from_utf8(whole).unwrap(), expected);
        let mut lines = Lines::new(options);
        let pieces: Vec<u8> =
            LOG.as_bytes().chunks(7).flat_map(|piece| lines.feed(piece)).collect();
        assert_eq!(String::from_utf8(pieces).unwrap(), expected, "in pieces");
    }

    #[test]
    fn options_select_and_decorate() {
        let plain = LogOptions::default();
        check(&plain, "first\nlonger\nlast one\n");
        check(
            &LogOptions { timestamps: true, ..plain.clone() },
            "2023-11-14T22:13:20.000000001Z first\n2023-11-14T22:13:21.000000000Z longer\n\
             2023-11-14T22:13:22.500000000Z last one\n",
        );
        let since = |at| LogOptions { since: Some(TimestampMs(at)), ..plain.clone() };
        check(&since(1_700_000_001_000), "longer\nlast one\n");
        check(&since(1_700_000_002_500), "last one\n");
        check(&since(1_700_000_002_501), "");
        check(&LogOptions { limit_bytes: Some(9), ..plain.clone() }, "first\nlon");
        check(&LogOptions { limit_bytes: Some(0), ..plain }, "");
    }

    #[test]
    fn what_is_no_entry_is_shown_as_it_is() {
        let mut lines = Lines::new(&LogOptions::default());
        assert_eq!(lines.feed(b"garbage\nmore x F y\n"), b"garbage\nmore x F y\n");
    }
}
