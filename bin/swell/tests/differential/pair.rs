//! Debian's Prometheus and Swell, fed with the same samples.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use swell_lab::tools;
use swell_model::Labels;
use swell_wire::remote_write::{encode_labels, put_series};

use crate::answers::{Answer, differences, is_empty};
use crate::harness::{DEADLINE, Folder, Process, Server};

/// Series of one request.
const SERIES_PER_REQUEST: usize = 500;

/// One call of the API.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) path: String,
    pub(crate) params: Vec<(String, String)>,
}

impl Call {
    pub(crate) fn new(path: &str, params: &[(&str, &str)]) -> Self {
        let params = params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self { path: path.to_owned(), params: params.collect() }
    }

    pub(crate) fn instant(query: &str, at: &str) -> Self {
        Self::new("/api/v1/query", &[("query", query), ("time", at)])
    }

    pub(crate) fn range(query: &str, start: &str, end: &str, step: &str) -> Self {
        let params = [("query", query), ("start", start), ("end", end), ("step", step)];
        Self::new("/api/v1/query_range", &params)
    }

    fn query(&self) -> &str {
        self.params.iter().find(|(name, _)| name == "query").map_or("", |(_, value)| value)
    }

    /// Whether the order of the answer is part of it.
    fn is_ordered(&self) -> bool {
        let sorts = ["sort", "topk", "bottomk"].iter().any(|word| self.query().starts_with(word));
        self.path == "/api/v1/query" && sorts
    }
}

/// What a comparison of many calls found.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) same: usize,
    /// Of those, the ones in which something was to be compared.
    pub(crate) with_content: usize,
    pub(crate) different: Vec<String>,
}

/// Both servers; they end with it.
pub(crate) struct Pair {
    reference: Process,
    reference_at: SocketAddr,
    candidate: Server,
}

impl Pair {
    /// Starts both with nothing stored and without anything that they scrape. Skips without Prometheus.
    pub(crate) fn start(folder: &Folder) -> Option<Self> {
        let prometheus = tools::program("prometheus", "prometheus")?;
        let config = folder.file("prometheus.yml", "global: {}\n");
        let mut command = Command::new(prometheus);
        command
            .args(["--config.file", &config, "--web.listen-address", "127.0.0.1:0"])
            .args(["--web.enable-remote-write-receiver", "--storage.tsdb.retention.time=100y"])
            .arg("--storage.tsdb.path")
            .arg(folder.join("prometheus"))
            .stdin(Stdio::null());
        let mut reference = Process::spawn(&mut command);
        let reference_at = reference.line("the address of Prometheus", |line| {
            let (_, rest) = line.split_once("address=")?;
            line.contains("Listening on").then(|| rest.split(' ').next()?.parse().ok()).flatten()
        });
        reference.line("Prometheus to be ready", |line| {
            line.contains("Server is ready to receive web requests").then_some(())
        });
        let config = folder.file("swell.yaml", "swell: {self_metrics: false}\n");
        let more = ["--config", &config, "--retention-time", "100y"];
        let candidate = Server::start(&folder.join("swell"), &more);
        Some(Self { reference, reference_at, candidate })
    }

    /// Where both take remote write.
    pub(crate) fn write_urls(&self) -> [String; 2] {
        self.addresses().map(|address| format!("http://{address}/api/v1/write"))
    }

    fn addresses(&self) -> [SocketAddr; 2] {
        [self.reference_at, self.candidate.http]
    }

    /// Stores series in both: labels, and samples of ascending time in milliseconds.
    #[track_caller]
    pub(crate) fn push(&self, series: &[(Labels, Vec<(i64, f64)>)]) {
        for part in series.chunks(SERIES_PER_REQUEST) {
            let mut message = Vec::new();
            for (labels, samples) in part {
                put_series(&encode_labels(labels), samples, &mut message);
            }
            let body = snap::raw::Encoder::new().compress_vec(&message).expect("packs");
            for address in self.addresses() {
                let head = "Content-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n\
                    X-Prometheus-Remote-Write-Version: 0.1.0\r\n";
                let (status, text) = post(address, "/api/v1/write", head, &body);
                assert!((200..300).contains(&status), "{address} refuses samples: {status} {text}");
            }
        }
    }

    /// What the reference answers.
    pub(crate) fn ask_reference(&self, call: &Call) -> Answer {
        ask(self.reference_at, call)
    }

    /// Asks both the same, on two threads as Grafana has several calls in flight.
    pub(crate) fn compare(&self, calls: &[Call]) -> Outcome {
        let next = AtomicUsize::new(0);
        let work = || {
            let mut outcome = Outcome::default();
            while let Some(call) = calls.get(next.fetch_add(1, Ordering::Relaxed)) {
                let [wanted, given] = self.addresses().map(|address| ask(address, call));
                let found = of_call(call, &wanted, &given);
                if found.is_empty() {
                    outcome.same += 1;
                    outcome.with_content += usize::from(!is_empty(&wanted));
                } else {
                    outcome.different.push(format!("{call:?}\n    {}", found.join("\n    ")));
                }
            }
            outcome
        };
        let parts: Vec<Outcome> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..2).map(|_| scope.spawn(work)).collect();
            threads.into_iter().map(|thread| thread.join().expect("it compares")).collect()
        });
        parts.into_iter().fold(Outcome::default(), |mut all, part| {
            all.same += part.same;
            all.with_content += part.with_content;
            all.different.extend(part.different);
            all
        })
    }

    pub(crate) fn stop(self) {
        assert_eq!(self.candidate.stop(), 0);
        assert_eq!(self.reference.stop(), 0);
    }
}

/// Queries have results to compare with a tolerance; lists of names are equal or not.
fn of_call(call: &Call, wanted: &Answer, given: &Answer) -> Vec<String> {
    if !call.query().is_empty() {
        return differences(wanted, given, call.is_ordered());
    }
    match (wanted, given) {
        (Answer::Data(wanted), Answer::Data(given)) if sorted(wanted) == sorted(given) => {
            Vec::new()
        }
        (Answer::Refused { status: wanted, .. }, Answer::Refused { status: given, .. })
            if wanted == given =>
        {
            Vec::new()
        }
        _ => vec![format!("{given:?}"), format!("wanted {wanted:?}")],
    }
}

/// Lists of series come in no order.
fn sorted(list: &Value) -> Vec<String> {
    let mut texts: Vec<String> = match list {
        Value::Array(list) => list.iter().map(Value::to_string).collect(),
        other => vec![other.to_string()],
    };
    texts.sort();
    texts
}

fn ask(address: SocketAddr, call: &Call) -> Answer {
    let pairs = call.params.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let form = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
    // Label values are asked for by GET alone.
    let (status, body) = if call.path.starts_with("/api/v1/label/") {
        crate::harness::get(address, &format!("{}?{form}", call.path))
    } else {
        let head = "Content-Type: application/x-www-form-urlencoded\r\n";
        post(address, &call.path, head, form.as_bytes())
    };
    let mut answer: Value = match serde_json::from_str(&body) {
        Ok(answer) => answer,
        Err(error) => panic!("{address} {call:?}: {status}, {error}: {body}"),
    };
    let text = |name: &str| answer[name].as_str().unwrap_or_default().to_owned();
    if answer["status"] != "success" {
        return Answer::Refused { status, kind: text("errorType"), text: text("error") };
    }
    Answer::Data(answer["data"].take())
}

fn post(address: SocketAddr, path: &str, head: &str, body: &[u8]) -> (u16, String) {
    let mut stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(DEADLINE)).expect("a timeout");
    let length = body.len();
    write!(
        stream,
        "POST {path} HTTP/1.0\r\nHost: localhost\r\n{head}Content-Length: {length}\r\n\r\n"
    )
    .and_then(|()| stream.write_all(body))
    .expect("sent");
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).expect("answered");
    let text = String::from_utf8_lossy(&bytes);
    let status = text.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status line");
    (status, text.split_once("\r\n\r\n").map_or("", |(_, body)| body).to_owned())
}
