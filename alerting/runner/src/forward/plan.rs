//! What is sent to an Alertmanager, and what an answer means. Values in, values out.

use serde::Serialize;
use swell_model::{DurationMs, Labels, TimestampMs};
use swell_route::Alert;

/// Longest an Alertmanager may ask us to stay away.
const RETRY_AFTER_MAX: DurationMs = DurationMs::from_secs(60);

/// The alerts as they are sent: those that the rules drop, or leave without labels, are not among them.
pub(super) fn relabelled(
    alerts: &[Alert],
    relabel: &dyn Fn(&Labels) -> Option<Labels>,
) -> Vec<Alert> {
    let relabelled = alerts.iter().filter_map(|alert| {
        let labels = relabel(&alert.labels).filter(|labels| !labels.is_empty())?;
        Some(Alert { labels, ..alert.clone() })
    });
    relabelled.collect()
}

/// One alert in Alertmanager's API, version 2.
#[derive(Serialize)]
struct Posted<'a> {
    labels: serde_json::Map<String, serde_json::Value>,
    annotations: &'a std::collections::BTreeMap<String, String>,
    #[serde(rename = "startsAt")]
    starts_at: String,
    #[serde(rename = "endsAt")]
    ends_at: String,
    #[serde(rename = "generatorURL")]
    generator_url: &'a str,
}

/// The body of a request.
pub(super) fn body<'a>(alerts: impl IntoIterator<Item = &'a Alert>) -> Vec<u8> {
    let posted: Vec<Posted<'_>> = alerts
        .into_iter()
        .map(|alert| Posted {
            labels: crate::http::label_object(&alert.labels),
            annotations: &alert.annotations,
            starts_at: crate::http::rfc3339(Some(alert.starts_at)),
            ends_at: crate::http::rfc3339(Some(alert.ends_at)),
            generator_url: &alert.generator_url,
        })
        .collect();
    serde_json::to_vec(&posted).expect("texts and maps of texts have a form in JSON")
}

/// What becomes of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It was taken.
    Taken,
    /// It will never be taken: it is dropped.
    Refused,
    /// It is tried again.
    Later,
}

/// What a status means: as Prometheus, 2xx is success; what says "not now" is worth another attempt.
pub(super) const fn verdict(status: u16) -> Verdict {
    match status {
        200..=299 => Verdict::Taken,
        408 | 425 | 429 | 500..=599 => Verdict::Later,
        _ => Verdict::Refused,
    }
}

/// The wait that a `Retry-After` of seconds asks for.
pub(super) fn retry_after(header: Option<&str>) -> Option<DurationMs> {
    let seconds: i64 = header?.trim().parse().ok().filter(|seconds| *seconds >= 0)?;
    Some(DurationMs(seconds.saturating_mul(1000)).min(RETRY_AFTER_MAX))
}

/// Whether an alert that waits has nothing more to say: it ended so long ago that its sender forgets it as well.
pub(super) fn is_stale(alert: &Alert, now: TimestampMs) -> bool {
    now.since(alert.ends_at) > swell_rules::RESOLVED_RETENTION
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn alert(pairs: &[(&str, &str)]) -> Alert {
        Alert {
            labels: Labels::from_pairs(pairs.iter().copied()),
            annotations: BTreeMap::from([("summary".to_owned(), "it \"burns\"".to_owned())]),
            starts_at: TimestampMs(1_700_000_000_000),
            ends_at: TimestampMs(1_700_000_240_500),
            updated_at: TimestampMs(1_700_000_000_000),
            generator_url: "http://s/graph".to_owned(),
            timeout: false,
        }
    }

    #[test]
    fn a_body_has_the_form_of_the_api() {
        let body = String::from_utf8(body([&alert(&[("alertname", "A"), ("host", "a")])]));
        assert_eq!(
            body.expect("JSON"),
            r#"[{"labels":{"alertname":"A","host":"a"},"annotations":{"summary":"it \"burns\""},"startsAt":"2023-11-14T22:13:20Z","endsAt":"2023-11-14T22:17:20.5Z","generatorURL":"http://s/graph"}]"#
        );
    }

    #[test]
    fn alerts_that_are_dropped_or_bare_are_not_sent() {
        let alerts = [alert(&[("a", "1")]), alert(&[("b", "1")]), alert(&[("c", "1"), ("d", "1")])];
        let relabel = |labels: &Labels| match labels.iter().next()?.0 {
            "a" => None,
            _ => Some(labels.filtered(|name| name == "d")),
        };
        let sent = relabelled(&alerts, &relabel);
        assert_eq!(sent.len(), 1);
        assert_eq!(sent[0].labels.to_string(), r#"{d="1"}"#);
    }

    #[test]
    fn answers_decide_what_becomes_of_a_batch() {
        for (status, expected) in [
            (200, Verdict::Taken),
            (202, Verdict::Taken),
            (400, Verdict::Refused),
            (302, Verdict::Refused),
            (404, Verdict::Refused),
            (429, Verdict::Later),
            (503, Verdict::Later),
        ] {
            assert_eq!(verdict(status), expected, "{status}");
        }
        for (header, expected) in
            [(None, None), (Some("3"), Some(3000)), (Some("900"), Some(60_000)), (Some("x"), None)]
        {
            assert_eq!(retry_after(header), expected.map(DurationMs), "{header:?}");
        }
    }

    #[test]
    fn what_ended_long_ago_is_not_worth_a_request() {
        let ended = alert(&[("a", "1")]);
        let after = |minutes: i64| ended.ends_at + DurationMs::from_secs(60 * minutes);
        assert!(!is_stale(&ended, after(15)));
        assert!(is_stale(&ended, after(16)));
    }
}
