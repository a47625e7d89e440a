//! A sender of remote write.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};

use swell_model::Labels;
use swell_wire::remote_write::{encode_labels, put_series};

/// An answer.
pub(crate) struct Pushed {
    pub(crate) status: u16,
    /// Head and body, the head in lower case.
    pub(crate) text: String,
}

/// Sends `pushed{nr="0"}` and so on, one sample each, over a connection of its own.
pub(crate) fn push(server: SocketAddr, at_ms: i64, series_count: usize) -> Pushed {
    let mut message = Vec::new();
    for nr in 0..series_count {
        let labels = Labels::from_pairs([("__name__", "pushed"), ("nr", &nr.to_string())]);
        put_series(&encode_labels(&labels), &[(at_ms, 0.5)], &mut message);
    }
    let body = snap::raw::Encoder::new().compress_vec(&message).expect("packs");
    let mut stream = TcpStream::connect(server).expect("it listens");
    stream.set_read_timeout(Some(super::DEADLINE)).expect("a timeout");
    write!(
        stream,
        "POST /api/v1/write HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .and_then(|()| stream.write_all(&body))
    .expect("sent");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("answered");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    Pushed { status, text: format!("{}\n{body}", head.to_ascii_lowercase()) }
}
