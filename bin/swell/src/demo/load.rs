//! Open-loop load: requests start when the schedule says so, whether or not earlier ones are answered,
//! and latency counts from the scheduled start. So a slow service cannot slow its own load down.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Requests under way at most; more than that count as failed at once. At 600 requests a second this is
/// seven seconds of a service that does not answer at all.
const IN_FLIGHT_MAX: usize = 4096;
/// A request that takes longer has failed.
const REQUEST_DEADLINE: Duration = Duration::from_secs(10);
/// Seconds of history kept for the sparklines.
const HISTORY_S: usize = 120;

/// One stretch of constant load.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Phase {
    /// What the reader calls it.
    pub(crate) name: &'static str,
    /// How long it lasts.
    pub(crate) length: Duration,
    /// Requests started per second.
    pub(crate) rate_per_s: f64,
}

/// Latencies and counts of one phase or one second.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    latencies_us: Vec<u32>,
    /// Requests that were not answered with 200 in time.
    pub(crate) failed: u64,
}

impl Tally {
    /// Requests answered or failed.
    pub(crate) fn request_count(&self) -> u64 {
        self.latencies_us.len() as u64 + self.failed
    }

    /// The latency that a share `quantile` of the answered requests did not exceed.
    pub(crate) fn latency(&self, quantile: f64) -> Option<Duration> {
        if self.latencies_us.is_empty() {
            return None;
        }
        let mut sorted = self.latencies_us.clone();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below len")]
        #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
        let rank = ((sorted.len() as f64 * quantile).ceil() as usize).clamp(1, sorted.len()) - 1;
        let (_, value, _) = sorted.select_nth_unstable(rank);
        Some(Duration::from_micros(u64::from(*value)))
    }
}

/// What one finished second looked like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct LoadSecond {
    /// Requests that were answered or failed in it.
    pub(crate) requests: u64,
    /// 95th percentile of the latency; none when nothing was answered.
    pub(crate) p95: Option<Duration>,
}

#[derive(Debug, Default)]
struct Shared {
    phases: Vec<Tally>,
    second: Tally,
    history: VecDeque<LoadSecond>,
    first_error: Option<String>,
}

/// The running generator's figures; clones share them.
#[derive(Clone, Debug, Default)]
pub(crate) struct LoadFigures(Arc<Mutex<Shared>>);

impl LoadFigures {
    fn lock(&self) -> std::sync::MutexGuard<'_, Shared> {
        self.0.lock().expect("no holder of the figures panics")
    }

    /// Ends the current second, for the history.
    pub(crate) fn close_second(&self) {
        let mut shared = self.lock();
        let second = std::mem::take(&mut shared.second);
        if shared.history.len() == HISTORY_S {
            shared.history.pop_front();
        }
        let closed = LoadSecond { requests: second.request_count(), p95: second.latency(0.95) };
        shared.history.push_back(closed);
    }

    /// Finished seconds, oldest first.
    pub(crate) fn history(&self) -> Vec<LoadSecond> {
        self.lock().history.iter().copied().collect()
    }

    /// A phase's figures so far.
    pub(crate) fn phase(&self, phase_idx: usize) -> Tally {
        self.lock().phases.get(phase_idx).cloned().unwrap_or_default()
    }

    /// Requests sent and failed, over all phases.
    pub(crate) fn totals(&self) -> (u64, u64) {
        let shared = self.lock();
        let requests = shared.phases.iter().map(Tally::request_count).sum();
        (requests, shared.phases.iter().map(|phase| phase.failed).sum())
    }

    /// The first failure, for the reader who wants to know why.
    pub(crate) fn first_error(&self) -> Option<String> {
        self.lock().first_error.clone()
    }

    fn record(&self, phase_idx: usize, outcome: Result<Duration, String>) {
        let mut shared = self.lock();
        if shared.phases.len() <= phase_idx {
            shared.phases.resize_with(phase_idx + 1, Tally::default);
        }
        match outcome {
            Ok(latency) => {
                let micros = u32::try_from(latency.as_micros()).unwrap_or(u32::MAX);
                shared.phases[phase_idx].latencies_us.push(micros);
                shared.second.latencies_us.push(micros);
            }
            Err(error) => {
                shared.phases[phase_idx].failed += 1;
                shared.second.failed += 1;
                shared.first_error.get_or_insert(error);
            }
        }
    }
}

/// Drives the phases one after the other against `url`, calling `on_phase` with the index of each as it
/// starts; returns when all requests are answered, or early when `stop` is cancelled.
pub(crate) async fn drive(
    url: http::Uri,
    phases: &[Phase],
    figures: &LoadFigures,
    stop: &CancellationToken,
    mut on_phase: impl FnMut(usize),
) {
    let client = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
    let slots = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let requests = TaskTracker::new();
    'phases: for (phase_idx, phase) in phases.iter().enumerate() {
        on_phase(phase_idx);
        let phase_start = Instant::now();
        let gap = Duration::from_secs_f64(1.0 / phase.rate_per_s);
        let mut due = phase_start;
        while due < phase_start + phase.length {
            tokio::select! {
                () = stop.cancelled() => break 'phases,
                () = tokio::time::sleep_until(due) => {}
            }
            match slots.clone().try_acquire_owned() {
                Ok(slot) => {
                    let (client, figures, url) = (client.clone(), figures.clone(), url.clone());
                    requests.spawn(async move {
                        let outcome = request(&client, url).await.map(|()| due.elapsed());
                        figures.record(phase_idx, outcome);
                        drop(slot);
                    });
                }
                Err(_) => figures.record(
                    phase_idx,
                    Err(format!("{IN_FLIGHT_MAX} requests are waiting for an answer already")),
                ),
            }
            due += gap;
        }
    }
    requests.close();
    requests.wait().await;
}

async fn request(
    client: &Client<HttpConnector, Empty<Bytes>>,
    url: http::Uri,
) -> Result<(), String> {
    let answer = tokio::time::timeout(REQUEST_DEADLINE, async {
        let response = client.get(url).await.map_err(|error| swell_telemetry::chain(&error))?;
        let status = response.status();
        let body =
            response.into_body().collect().await.map_err(|error| swell_telemetry::chain(&error))?;
        if status.is_success() {
            Ok(())
        } else {
            Err(format!("{status}: {}", String::from_utf8_lossy(&body.to_bytes()).trim_end()))
        }
    });
    answer.await.unwrap_or_else(|_| Err(format!("no answer within {REQUEST_DEADLINE:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_answered_requests() {
        let tally = Tally { latencies_us: (1..=100).rev().collect(), failed: 3 };
        assert_eq!(tally.latency(0.5), Some(Duration::from_micros(50)));
        assert_eq!(tally.latency(0.95), Some(Duration::from_micros(95)));
        assert_eq!(tally.latency(1.0), Some(Duration::from_micros(100)));
        assert_eq!(tally.request_count(), 103);
        assert_eq!(Tally::default().latency(0.5), None);
    }

    #[tokio::test]
    async fn a_service_that_is_not_there_fails_each_request_and_says_why() {
        let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback");
        let url = format!("http://{}/work", closed.local_addr().expect("bound"));
        drop(closed);
        let figures = LoadFigures::default();
        let phases =
            [Phase { name: "calm", length: Duration::from_millis(100), rate_per_s: 100.0 }];
        let mut started = Vec::new();
        drive(
            url.parse().expect("valid url"),
            &phases,
            &figures,
            &CancellationToken::new(),
            |idx| started.push(idx),
        )
        .await;
        assert_eq!(started, [0]);
        assert_eq!(figures.totals(), (10, 10));
        assert!(figures.first_error().expect("an error").contains("refused"));
    }
}
