//! Addresses as people type them: with `"`, `<` and `>` as they are, which belong escaped.
//!
//! `curl -g 'http://127.0.0.1:9090/api/v1/query?query=up{job="app"}>0'` sends them so, as do clients in Go; Go's servers
//! take it, and Prometheus' documentation has it. What parses addresses here does not. So they are escaped
//! in the line that begins a request, on connections that have not had anything but whole heads until then: where a body, a
//! request ahead of its turn or another protocol may be on the way, bytes stay as they are.

use std::mem;

/// Where in a connection the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// In the line that begins a request, before its address.
    Method,
    /// In that line, in the address or after it.
    Address,
    /// After it; whether the line so far is empty, as the last one of a head is.
    Headers { is_empty: bool },
    /// Behind a head.
    Behind,
    /// Not known any more.
    Unknown,
}

/// The heads of a connection of HTTP/1.
#[derive(Debug)]
pub(crate) struct Heads {
    place: Place,
    /// Whole ones so far.
    count: usize,
    /// The line so far is empty: those before a request are passed over.
    is_blank: bool,
}

impl Heads {
    pub(crate) const fn new() -> Self {
        Self { place: Place::Method, count: 0, is_blank: true }
    }

    /// Whole heads so far.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// Behind a head: what comes is the next one, if that was all of its request.
    pub(crate) fn next(&mut self) {
        if self.place == Place::Behind {
            (self.place, self.is_blank) = (Place::Method, true);
        }
    }

    /// The bytes to go on with, where they are not `bytes` themselves.
    pub(crate) fn escaped(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut escaped: Option<Vec<u8>> = None;
        if self.place == Place::Unknown {
            return escaped;
        }
        for (idx, &byte) in bytes.iter().enumerate() {
            let code: Option<&[u8]> = match byte {
                b'"' => Some(b"%22"),
                b'<' => Some(b"%3C"),
                b'>' => Some(b"%3E"),
                _ => None,
            };
            match (code, self.place) {
                (Some(code), Place::Address) => {
                    escaped.get_or_insert_with(|| bytes[..idx].to_vec()).extend_from_slice(code);
                }
                _ => {
                    if let Some(escaped) = &mut escaped {
                        escaped.push(byte);
                    }
                }
            }
            self.pass(byte);
        }
        escaped
    }

    fn pass(&mut self, byte: u8) {
        self.place = match (self.place, byte) {
            (Place::Method, b'\n') if !self.is_blank => Place::Headers { is_empty: true },
            (Place::Method, b' ') if !self.is_blank => Place::Address,
            (Place::Method, byte) => {
                self.is_blank &= matches!(byte, b'\r' | b'\n');
                Place::Method
            }
            (Place::Address, b'\n') => Place::Headers { is_empty: true },
            (Place::Address, _) => Place::Address,
            (Place::Headers { is_empty: true }, b'\n') => {
                self.count += 1;
                Place::Behind
            }
            (Place::Headers { .. }, b'\n') => Place::Headers { is_empty: true },
            (headers @ Place::Headers { .. }, b'\r') => headers,
            (Place::Headers { .. }, _) => Place::Headers { is_empty: false },
            (Place::Behind | Place::Unknown, _) => Place::Unknown,
        };
    }
}

/// Bytes that found no room.
#[derive(Debug, Default)]
pub(crate) struct Left(Vec<u8>);

impl Left {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes `bytes`, and gives those that fit into `buffer`.
    pub(crate) fn put(&mut self, bytes: Vec<u8>, buffer: &mut tokio::io::ReadBuf<'_>) {
        self.0 = bytes;
        self.give(buffer);
    }

    /// Gives as many as fit.
    pub(crate) fn give(&mut self, buffer: &mut tokio::io::ReadBuf<'_>) {
        let fitting = self.0.len().min(buffer.remaining());
        let rest = self.0.split_off(fitting);
        buffer.put_slice(&mem::replace(&mut self.0, rest));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of `parts`, read one after the other.
    fn read(heads: &mut Heads, parts: &[&str]) -> String {
        let escaped = parts.iter().map(|part| {
            let escaped = heads.escaped(part.as_bytes());
            escaped.map_or_else(
                || (*part).to_owned(),
                |bytes| String::from_utf8(bytes).expect("UTF-8"),
            )
        });
        escaped.collect()
    }

    #[test]
    fn only_the_line_of_a_request_is_escaped() {
        let mut heads = Heads::new();
        let told = read(
            &mut heads,
            &["\r\nGET /q?query=up{a=\"", "b\"}>", "0 HTTP/1.1\r\nA: \"<b>\"\r", "\n\r\n"],
        );
        assert_eq!(told, "\r\nGET /q?query=up{a=%22b%22}%3E0 HTTP/1.1\r\nA: \"<b>\"\r\n\r\n");
        assert_eq!(heads.count(), 1);
        heads.next();
        let told = read(&mut heads, &["GET /<\nA: \"\n\n"]);
        assert_eq!(told, "GET /%3C\nA: \"\n\n");
        assert_eq!(heads.count(), 2);
    }

    #[test]
    fn it_does_not_matter_how_the_bytes_come() {
        let sent = "\r\nGET /q?query={a=\"b\"}>0 HTTP/1.1\r\nA: <b>\r\n\r\n";
        let expected = "\r\nGET /q?query={a=%22b%22}%3E0 HTTP/1.1\r\nA: <b>\r\n\r\n";
        for cut in 0..=sent.len() {
            let parts = [&sent[..cut], &sent[cut..]];
            assert_eq!(read(&mut Heads::new(), &parts), expected, "{cut}");
        }
        let single: Vec<&str> = sent.split_inclusive(|_: char| true).collect();
        assert_eq!(read(&mut Heads::new(), &single), expected, "each by itself");
        let method = "G\"T / HTTP/1.1\r\n\r\n";
        assert_eq!(read(&mut Heads::new(), &[method]), method, "it is no address");
    }

    #[test]
    fn bytes_that_find_no_room_come_next() {
        let (mut left, mut read) = (Left::default(), Vec::new());
        let mut room = [0; 3];
        let mut buffer = tokio::io::ReadBuf::new(&mut room);
        left.put(b"%22abc%3E".to_vec(), &mut buffer);
        read.extend_from_slice(buffer.filled());
        while !left.is_empty() {
            let mut buffer = tokio::io::ReadBuf::new(&mut room);
            left.give(&mut buffer);
            read.extend_from_slice(buffer.filled());
        }
        assert_eq!(read, b"%22abc%3E");
    }

    #[test]
    fn what_may_be_something_else_stays_as_it_is() {
        let body = "POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n\"\r\n\"\r\n\r\n\"";
        let mut heads = Heads::new();
        assert_eq!(read(&mut heads, &[body]), body);
        heads.next();
        assert_eq!(read(&mut heads, &["GET /\"\r\n"]), "GET /\"\r\n", "never again");
        let ahead = "GET / HTTP/1.1\r\n\r\nGET /\" HTTP/1.1\r\n\r\n";
        assert_eq!(read(&mut Heads::new(), &[ahead]), ahead);
        let behind = ["GET / HTTP/1.1\r\n\r\n", "\"\r\n"];
        assert_eq!(
            read(&mut Heads::new(), &behind),
            behind.concat(),
            "nobody said that it is a head"
        );
    }
}
