//! What an operator may say of a queue: plain, checked values.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use swell_http_client::ClientOptions;
use swell_model::Labels;
use swell_wire::remote_write::Message;
use url::Url;

/// A receiver, and how it is sent to.
#[derive(Clone, Debug, PartialEq)]
pub struct QueueConfig {
    /// What it is called in metrics, and what its place in the log is written down under: a queue of the same name goes on
    /// where the last one was.
    pub name: String,
    /// Where requests go.
    pub url: Url,
    /// Credentials, TLS, proxies and headers.
    pub client: ClientOptions,
    /// How long an answer may take.
    pub timeout: Duration,
    /// Which message is sent.
    pub message: Message,
    /// Whether exemplars are sent.
    pub send_exemplars: bool,
    /// Whether native histograms are sent.
    pub send_histograms: bool,
    /// What labels a series is sent with.
    pub rewrite: Rewrite,
    /// Batches, shards and back-off.
    pub batching: Batching,
    /// How metadata of metric families is sent, in message 1.0; 2.0 has it in each series.
    pub metadata: Option<MetadataSending>,
}

/// What a queue is called that is given no name: six digits of its receiver's address, without user and password.
#[must_use]
pub fn name_of(url: &Url) -> String {
    let shown = swell_http_client::without_user(url);
    format!("{:06x}", crc32fast::hash(shown.as_str().as_bytes()) & 0x00ff_ffff)
}

/// From the labels of a series to those that are sent; `None` for a series that is not.
pub type RewriteLabels = dyn Fn(&Labels) -> Option<Labels> + Send + Sync;

/// External labels and relabelling as one function. Two are equal when their texts are.
#[derive(Clone)]
pub struct Rewrite {
    /// What the function is made from.
    pub text: String,
    /// The function.
    pub apply: Arc<RewriteLabels>,
}

impl PartialEq for Rewrite {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl fmt::Debug for Rewrite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Rewrite").field(&self.text).finish()
    }
}

/// `queue_config:`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    /// Points that a shard holds at most before the log is read no further.
    pub capacity: usize,
    /// Shards, at least one.
    pub shards_min: usize,
    /// Shards at most.
    pub shards_max: usize,
    /// Points of a request.
    pub batch_max: usize,
    /// How long a point waits for others.
    pub batch_deadline: Duration,
    /// The first wait after a failure; each further one is twice as long.
    pub backoff_min: Duration,
    /// The longest wait, unless the receiver asks for more.
    pub backoff_max: Duration,
    /// Whether the answer 429 asks for another try; otherwise it is a refusal.
    pub retry_on_429: bool,
    /// Older samples are not sent.
    pub sample_age_max: Option<Duration>,
}

impl Batching {
    /// What Prometheus starts with.
    #[must_use]
    pub const fn standard() -> Self {
        Self {
            capacity: 10_000,
            shards_min: 1,
            shards_max: 50,
            batch_max: 2000,
            batch_deadline: Duration::from_secs(5),
            backoff_min: Duration::from_millis(30),
            backoff_max: Duration::from_secs(5),
            retry_on_429: false,
            sample_age_max: None,
        }
    }
}

/// `metadata_config:`
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetadataSending {
    /// How often all families are told.
    pub interval: Duration,
    /// Families of a request.
    pub batch_max: usize,
}

impl MetadataSending {
    /// What Prometheus starts with.
    #[must_use]
    pub const fn standard() -> Self {
        Self { interval: Duration::from_secs(60), batch_max: 2000 }
    }
}
