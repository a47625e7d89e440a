//! A receiver that answers as it is told, and remembers what it took.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use swell_model::Labels;
use swell_wire::remote_write::{Item, Message, Part, items};

/// What it answers.
#[derive(Clone, Debug)]
pub(crate) enum Mood {
    /// 204, and everything is taken.
    Takes,
    /// A status line's end and further header lines; nothing is taken.
    Answers(&'static str),
    /// It closes the connection.
    HangsUp,
}

#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// Times by label set, in the order in which they came.
    pub(crate) points: BTreeMap<String, Vec<i64>>,
    /// Requests, whatever was answered.
    pub(crate) requests: usize,
    /// Heads of requests, in lower case.
    pub(crate) heads: Vec<String>,
    /// Metric families.
    pub(crate) families: Vec<String>,
}

pub(crate) struct Receiver {
    pub(crate) address: SocketAddr,
    mood: Arc<Mutex<Mood>>,
    taken: Arc<Mutex<Taken>>,
}

impl Receiver {
    /// Listens for as long as the test runs.
    pub(crate) fn start(mood: Mood) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let receiver = Self {
            address,
            mood: Arc::new(Mutex::new(mood)),
            taken: Arc::new(Mutex::new(Taken::default())),
        };
        let (mood, taken) = (receiver.mood.clone(), receiver.taken.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (mood, taken) = (mood.clone(), taken.clone());
                std::thread::spawn(move || {
                    // A peer that goes away ends the connection.
                    drop(serve(stream, &mood, &taken));
                });
            }
        });
        receiver
    }

    pub(crate) fn becomes(&self, mood: Mood) {
        *self.mood.lock().unwrap_or_else(PoisonError::into_inner) = mood;
    }

    pub(crate) fn look<T>(&self, look: impl FnOnce(&Taken) -> T) -> T {
        look(&self.taken.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn serve(stream: TcpStream, mood: &Mutex<Mood>, taken: &Mutex<Taken>) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut stream = stream;
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if reader.read_line(&mut head)? == 0 {
                return Ok(());
            }
        }
        let head = head.to_ascii_lowercase();
        let len = head.lines().find_map(|line| line.strip_prefix("content-length: "));
        let len = len.and_then(|len| len.trim().parse().ok()).unwrap_or(0);
        let mut body = vec![0; len];
        reader.read_exact(&mut body)?;
        let mood = mood.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut taken = taken.lock().unwrap_or_else(PoisonError::into_inner);
        taken.requests += 1;
        taken.heads.push(head);
        match mood {
            Mood::Takes => {
                take(&body, &mut taken);
                drop(taken);
                stream.write_all(b"HTTP/1.1 204 No Content\r\n\r\n")?;
            }
            Mood::Answers(status) => {
                drop(taken);
                write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 5\r\n\r\nsorry")?;
            }
            Mood::HangsUp => return Ok(()),
        }
    }
}

fn take(body: &[u8], taken: &mut Taken) {
    let message = snap::raw::Decoder::new().decompress_vec(body).expect("snappy");
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    for item in items(&message, Message::V1) {
        let series = match item.expect("a good message") {
            Item::Series(series) => series,
            Item::Metadata(metadata) => {
                taken.families.push(text(metadata.metric_name));
                continue;
            }
        };
        let mut pairs = Vec::new();
        series.each_label(|name, value| pairs.push((text(name), text(value)))).expect("good");
        let points = taken.points.entry(Labels::from_pairs(pairs).to_string()).or_default();
        for part in series.parts(series.labels_len().expect("good")) {
            if let Part::Sample(sample) = part.expect("good") {
                points.push(sample.timestamp_ms);
            }
        }
    }
}
