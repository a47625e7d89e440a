//! `http_sd_configs`: target groups that a server gives as a JSON list.

use ::http::header::{ACCEPT, CONTENT_TYPE, HeaderName, HeaderValue};
use serde::Deserialize;
use swell_http_client::{HttpClient, HttpRequest, TlsError, read_body, without_user};

use crate::config::HttpConfig;
use crate::discovery::Output;
use crate::group::{ListedLabels, TargetGroup};
use crate::metrics::DiscoveryMetrics;
use crate::refresh::{self, Ask, SourceError};

/// Tells the server how often it is asked.
const REFRESH_HEADER: HeaderName = HeaderName::from_static("x-prometheus-refresh-interval-seconds");
/// Label that names where a target came from.
const URL_LABEL: &str = "__meta_url";
/// Larger answers are no target lists.
const ANSWER_BYTES_MAX: u64 = 64 << 20;

/// Asks one server.
pub(crate) struct HttpSource {
    config: HttpConfig,
    client: HttpClient,
    metrics: DiscoveryMetrics,
}

impl HttpSource {
    pub(crate) fn new(config: &HttpConfig, metrics: &DiscoveryMetrics) -> Result<Self, TlsError> {
        let client = HttpClient::new(config.client.clone())?;
        Ok(Self { config: config.clone(), client, metrics: metrics.clone() })
    }

    pub(crate) async fn run(self, output: Output) {
        let interval = self.config.refresh.to_std();
        refresh::run(self, interval, output).await;
    }

    async fn try_ask(&self) -> Result<Vec<TargetGroup>, SourceError> {
        let seconds = self.config.refresh.to_std().as_secs_f64().to_string();
        let request = HttpRequest::get(self.config.url.clone())
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(REFRESH_HEADER, HeaderValue::try_from(seconds)?);
        let answer = self.client.send(&request).await?;
        if answer.status() != ::http::StatusCode::OK {
            return Err(format!("HTTP status {}", answer.status()).into());
        }
        let content_type = answer.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        let content_type = String::from_utf8_lossy(content_type.unwrap_or_default()).into_owned();
        if !is_json(&content_type) {
            return Err(format!("Content-Type {content_type:?} is not application/json").into());
        }
        let body = read_body(answer, ANSWER_BYTES_MAX).await?;
        groups(&body, without_user(&self.config.url).as_str())
    }
}

impl Ask for HttpSource {
    async fn ask(&mut self) -> Result<Vec<TargetGroup>, SourceError> {
        self.try_ask().await.inspect_err(|_| self.metrics.http_failures_total.inc())
    }
}

/// Whether a content type is JSON in UTF-8.
fn is_json(content_type: &str) -> bool {
    let lower = content_type.to_ascii_lowercase();
    let (media, params) = lower.split_once(';').unwrap_or((&lower, "charset=utf-8"));
    let charset = params.trim().strip_prefix("charset=").map(|it| it.trim_matches('"'));
    media.trim() == "application/json" && charset == Some("utf-8")
}

#[derive(Deserialize)]
struct RawGroup {
    targets: Option<Vec<String>>,
    labels: Option<ListedLabels>,
}

/// The groups of an answer; an empty list says that there are none.
fn groups(body: &[u8], url: &str) -> Result<Vec<TargetGroup>, SourceError> {
    let raw: Vec<RawGroup> = serde_json::from_slice(body).map_err(|error| {
        format!("the answer is no list of objects with targets and labels: {error}")
    })?;
    let group = |raw: RawGroup| {
        let mut group = TargetGroup::of_list(raw.targets, raw.labels);
        group.labels.insert(URL_LABEL.to_owned(), url.to_owned());
        group
    };
    Ok(raw.into_iter().map(group).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_list_of_groups() {
        let body = br#"[{"targets":["a:1","b:2"],"labels":{"env":"x"}},{"targets":[]}]"#;
        let read = groups(body, "http://s/list").expect("good");
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].targets, ["a:1", "b:2"]);
        assert_eq!(read[0].labels["env"], "x");
        assert_eq!(read[0].labels[URL_LABEL], "http://s/list");
        let nulls =
            br#"[{"targets":null,"labels":{"a":null}},{"targets":["a:1"],"labels":null},{}]"#;
        let read = groups(nulls, "u").expect("good");
        assert_eq!((read[0].targets.len(), read[0].labels["a"].as_str()), (0, ""));
        assert_eq!((read[1].targets.len(), read[1].labels.len(), read.len()), (1, 1, 3));
        assert!(groups(b"[]", "u").expect("says that there are none").is_empty());
        for odd in [
            "",
            "null",
            "{}",
            "[null]",
            r#"[{"targets":"a:1"}]"#,
            r#"[{"labels":{"a":1}}]"#,
            r#"[{"labels":{"":"a"}}]"#,
        ] {
            assert!(groups(odd.as_bytes(), "u").is_err(), "{odd}");
        }
    }

    #[test]
    fn content_types() {
        for (text, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=\"UTF-8\"", true),
            ("application/json;charset=utf-8", true),
            ("application/json; charset=latin1", false),
            ("text/plain", false),
            ("", false),
        ] {
            assert_eq!(is_json(text), expected, "{text}");
        }
    }
}
