//! Servers that answer in every way, rightly and wrongly.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Response, StatusCode};
use axum::routing::post;
use parking_lot::Mutex;
use swell_env::SystemClock;
use swell_http_client::ClientOptions;
use swell_model::{Labels, Matcher, SeriesData, TimeRange, TimestampMs};
use swell_remote_read::{Asked, RemoteReadConfig, RemoteReaders};
use swell_wire::remote_read::{
    ReadAnswer, chunked_series, float_chunks, put_frame, read_request, samples_message,
};
use swell_wire::remote_write::encode_labels;
use tokio::net::TcpListener;

const SAMPLES: &str = "application/x-protobuf";
const FRAMES: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";

/// What a server answers, and what it was asked.
#[derive(Default)]
struct Script {
    status: u16,
    content_type: &'static str,
    body: Vec<u8>,
    delay: Duration,
    asked: Vec<(HeaderMap, Bytes)>,
}

#[derive(Clone)]
struct Peer {
    addr: SocketAddr,
    script: Arc<Mutex<Script>>,
}

impl Peer {
    async fn start() -> Self {
        let script = Arc::<Mutex<Script>>::default();
        let shared = script.clone();
        let answer = async move |headers: HeaderMap, body: Bytes| {
            let (delay, response) = {
                let mut script = shared.lock();
                script.asked.push((headers, body));
                let response = Response::builder()
                    .status(StatusCode::from_u16(script.status).expect("a status"))
                    .header("content-type", script.content_type)
                    .body(Body::from(script.body.clone()))
                    .expect("a response");
                (script.delay, response)
            };
            tokio::time::sleep(delay).await;
            response
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("bound");
        let router = Router::new().route("/read", post(answer));
        tokio::spawn(async move { axum::serve(listener, router).await.expect("serves") });
        Self { addr, script }
    }

    fn answers(&self, status: u16, content_type: &'static str, body: Vec<u8>) {
        let mut script = self.script.lock();
        (script.status, script.content_type, script.body) = (status, content_type, body);
    }

    fn config(&self, name: &str) -> RemoteReadConfig {
        RemoteReadConfig {
            name: name.to_owned(),
            url: format!("http://{}/read", self.addr).parse().expect("a URL"),
            client: ClientOptions::default(),
            timeout: Duration::from_secs(10),
            read_recent: false,
            required: Vec::new(),
            filter_external_labels: true,
            frame_bytes_max: 10_000,
        }
    }
}

fn labels(name: &str) -> Labels {
    Labels::from_pairs([("__name__", name), ("cluster", "eu")])
}

fn packed(series: &[(&str, &[(i64, f64)])]) -> Vec<u8> {
    let answers = series.iter().map(|(name, floats)| ReadAnswer {
        labels: labels(name),
        floats,
        histograms: Vec::new(),
    });
    let message = samples_message(&[answers.collect()]);
    snap::raw::Encoder::new().compress_vec(&message).expect("packs")
}

fn framed(series: &[(&str, &[(i64, f64)])]) -> Vec<u8> {
    let mut stream = Vec::new();
    for (name, floats) in series {
        let (times, values): (Vec<i64>, Vec<f64>) = floats.iter().copied().unzip();
        // A frame for each chunk: a series may come in several.
        for chunk in float_chunks(&times, &values) {
            put_frame(&chunked_series(&encode_labels(&labels(name)), &[chunk], 0), &mut stream);
        }
    }
    stream
}

struct Lab {
    readers: Arc<RemoteReaders>,
    registry: prometheus::Registry,
}

const RANGE: TimeRange = TimeRange { start_incl: TimestampMs(0), end_incl: TimestampMs(1000) };

impl Lab {
    fn new(configs: Vec<RemoteReadConfig>) -> Self {
        let registry = prometheus::Registry::new();
        let (runtime, clock) = (tokio::runtime::Handle::current(), Arc::new(SystemClock::new()));
        let readers = RemoteReaders::new(runtime, clock, Duration::from_secs(100), &registry);
        let readers = Arc::new(readers.expect("a new registry"));
        assert!(readers.is_empty());
        readers.replace(RemoteReaders::prepare(configs).expect("plain HTTP"));
        Self { readers, registry }
    }

    /// `name value@time …` of each series of job `a`, sorted, on a thread that may wait.
    async fn read(&self, samples_max: usize) -> Vec<String> {
        self.read_for(samples_max, false).await
    }

    async fn read_for(&self, samples_max: usize, labels_only: bool) -> Vec<String> {
        let readers = self.readers.clone();
        let work = move || {
            let external = Labels::from_pairs([("cluster", "eu")]);
            let matchers = [Matcher::equal("job", "a")];
            let asked = Asked {
                matchers: &matchers,
                range: RANGE,
                local_from: None,
                external: &external,
                labels_only,
                unwanted: None,
            };
            assert!(readers.are_asked(asked));
            readers.read(asked, samples_max)
        };
        let series = tokio::task::spawn_blocking(work).await.expect("no panic");
        let mut shown: Vec<String> = series.iter().map(shown).collect();
        shown.sort();
        shown
    }

    fn warnings(&self) -> String {
        self.readers.warnings(RANGE).join("; ")
    }
}

fn shown(series: &SeriesData) -> String {
    let points = series.floats.timestamps.iter().zip(series.floats.values.iter());
    let points: Vec<String> = points.map(|(at, value)| format!("{value}@{at}")).collect();
    format!("{} {}", series.labels, points.join(" "))
}

const SERIES: &[(&str, &[(i64, f64)])] =
    &[("m", &[(1, 0.5), (2, 1.5)]), ("n", &[(1000, 3.0), (1001, 4.0)])];
const SHOWN: [&str; 2] = ["m 0.5@1 1.5@2", "n 3@1000"];

#[tokio::test]
async fn both_forms_of_an_answer_are_taken() {
    let peer = Peer::start().await;
    let lab = Lab::new(vec![peer.config("far")]);
    for (content_type, body) in [(SAMPLES, packed(SERIES)), (FRAMES, framed(SERIES))] {
        peer.answers(200, content_type, body);
        assert_eq!(lab.read(100).await, SHOWN, "{content_type}");
    }
    assert_eq!(lab.warnings(), "");
    let asked = peer.script.lock().asked.pop().expect("a request");
    assert_eq!(asked.0["content-encoding"], "snappy");
    assert_eq!(asked.0["content-type"], "application/x-protobuf");
    assert_eq!(asked.0["x-prometheus-remote-read-version"], "0.1.0");
    let message = snap::raw::Decoder::new().decompress_vec(&asked.1).expect("packed");
    let request = read_request(&message).expect("a request");
    let matchers: Vec<String> =
        request.queries[0].matchers.iter().map(ToString::to_string).collect();
    assert_eq!(matchers, [r#"job="a""#, r#"cluster="eu""#]);
    assert_eq!(request.queries[0].range, RANGE);
    let counted = lab.registry.gather();
    let total = counted.iter().find(|it| it.name().ends_with("read_queries_total"));
    let total = &total.expect("counted").get_metric()[0];
    assert_eq!(total.get_counter().get_value(), 2.0);
}

#[tokio::test]
async fn labels_are_asked_for_without_samples() {
    let peer = Peer::start().await;
    let lab = Lab::new(vec![peer.config("far")]);
    let has_hint = || {
        let asked = peer.script.lock().asked.pop().expect("a request");
        let message = snap::raw::Decoder::new().decompress_vec(&asked.1).expect("packed");
        message.windows(8).any(|it| it == b"\x12\x06series")
    };
    peer.answers(200, SAMPLES, packed(&[("m", &[]), ("n", &[(1, 0.5)]), ("o", &[(1001, 0.5)])]));
    // Who did not leave samples out has series where it has samples.
    assert_eq!(lab.read_for(100, true).await, ["m ", "n 0.5@1"]);
    assert!(has_hint());
    assert_eq!(lab.read(100).await, ["n 0.5@1"]);
    assert!(!has_hint());
}

#[tokio::test]
async fn a_server_that_answers_wrongly_adds_nothing_and_is_told() {
    let peer = Peer::start().await;
    let lab = Lab::new(vec![peer.config("far")]);
    let long = "x".repeat(20_000);
    let mut damaged = framed(SERIES);
    *damaged.last_mut().expect("bytes") ^= 1;
    let cut = framed(SERIES)[..10].to_vec();
    let mut wide = Vec::new();
    put_frame(&[0; 10_001], &mut wide);
    for (status, content_type, body, part) in [
        (500, "text/plain", b"out of\nmemory".to_vec(), "the answer is 500: out of"),
        (404, "text/plain", long.into_bytes(), "the answer is 404: xxx"),
        (200, "text/html", b"<html>".to_vec(), "content type \"text/html\""),
        (200, SAMPLES, b"no snappy".to_vec(), "no snappy block"),
        (200, SAMPLES, vec![0xff, 0xff, 0xff, 0xff, 0x0f, 0], "unpacks to 4294967295"),
        (200, FRAMES, damaged, "checksum differs"),
        (200, FRAMES, cut, "ends inside a frame"),
        (200, FRAMES, wide, "at most 10000 are read"),
        (200, SAMPLES, packed(&[("m", &[(1, 0.0); 50])]), "more than 20 samples"),
        (
            200,
            FRAMES,
            framed(&[("m", &(0..50).map(|at| (at, 0.0)).collect::<Vec<_>>())]),
            "more than 20 samples",
        ),
    ] {
        peer.answers(status, content_type, body);
        assert!(lab.read(20).await.is_empty(), "{part}");
        let warnings = lab.warnings();
        assert!(
            warnings.contains("remote_read far: ") && warnings.contains(part),
            "{part} in {warnings}"
        );
        let mut causes: Vec<&str> = warnings.split(": ").collect();
        causes.sort_unstable();
        assert!(causes.windows(2).all(|two| two[0] != two[1]), "told twice: {warnings}");
    }
    peer.answers(200, FRAMES, framed(SERIES));
    assert_eq!(lab.read(20).await, SHOWN, "it is asked again each time");
}

#[tokio::test]
async fn others_are_answered_with_although_one_is_slow_or_gone() {
    let (slow, good) = (Peer::start().await, Peer::start().await);
    good.answers(200, FRAMES, framed(&[("m", &[(1, 7.0), (5, 7.0)])]));
    slow.answers(200, SAMPLES, packed(SERIES));
    let gone = RemoteReadConfig {
        url: "http://127.0.0.1:1/read".parse().expect("a URL"),
        ..good.config("gone")
    };
    let mut hasty = slow.config("slow");
    hasty.timeout = Duration::from_millis(50);
    let lab = Lab::new(vec![slow.config("slow"), gone, good.config("good")]);
    // Where two have a sample at a time, that of the first counts.
    assert_eq!(lab.read(100).await, ["m 0.5@1 1.5@2 7@5", "n 3@1000"]);
    slow.script.lock().delay = Duration::from_secs(60);
    lab.readers.replace(RemoteReaders::prepare(vec![hasty, good.config("good")]).expect("plain"));
    assert_eq!(lab.read(100).await, ["m 7@1 7@5"]);
    let warnings = lab.warnings();
    assert!(warnings.contains("remote_read gone: ask 127.0.0.1:1"), "{warnings}");
    assert!(warnings.contains("remote_read slow: no whole answer within 50ms"), "{warnings}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_waited_for_while_somebody_waits() {
    let (silent, good) = (Peer::start().await, Peer::start().await);
    let hours = Duration::from_secs(100 * 3600);
    silent.answers(200, SAMPLES, packed(SERIES));
    silent.script.lock().delay = hours;
    good.answers(200, SAMPLES, packed(SERIES));
    let patient = RemoteReadConfig { timeout: hours, ..silent.config("silent") };
    let lab = Lab::new(vec![patient, good.config("good")]);
    let unwanted = Arc::<AtomicBool>::default();
    let (readers, flag) = (lab.readers.clone(), unwanted.clone());
    let read = tokio::task::spawn_blocking(move || {
        let external = Labels::empty();
        let asked = Asked {
            matchers: &[],
            range: RANGE,
            local_from: None,
            external: &external,
            labels_only: false,
            unwanted: Some(&flag),
        };
        readers.read(asked, 100).len()
    });
    let running = || {
        let counted = lab.registry.gather();
        let family = counted.iter().find(|it| it.name().ends_with("remote_read_queries"));
        let gauges = family.map_or(&[][..], |family| family.get_metric());
        gauges.iter().map(|it| it.get_gauge().get_value()).sum::<f64>()
    };
    // The good one has answered, the silent one has been asked.
    while silent.script.lock().asked.is_empty() || running() != 1.0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!read.is_finished());
    unwanted.store(true, Ordering::Relaxed);
    assert_eq!(read.await.expect("no panic"), SERIES.len(), "what has come is there");
    assert_eq!(running(), 0.0);
    assert_eq!(lab.warnings(), "", "it did nothing wrong");
    let counted = lab.registry.gather();
    let total = counted.iter().find(|it| it.name().ends_with("read_queries_total"));
    let codes: Vec<&str> = total.expect("counted").get_metric().iter().map(code_of).collect();
    assert_eq!(codes, ["200", "cancelled"]);
}

/// The label `code` of a counter.
fn code_of(metric: &prometheus::proto::Metric) -> &str {
    let code = metric.get_label().iter().find(|label| label.name() == "code");
    code.expect("a code").value()
}
