//! What is asked of a server, if anything.

use swell_model::{Labels, MatchOp, Matcher, TimeRange, TimestampMs};

use crate::config::RemoteReadConfig;

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) struct Ask {
    pub(crate) matchers: Vec<Matcher>,
    pub(crate) range: TimeRange,
    /// Labels that were asked for on behalf of this server, and are left out of the answer.
    pub(crate) added: Vec<String>,
    /// Whether samples are not needed.
    pub(crate) labels_only: bool,
}

/// What a server is asked for a selection; `None` when it has nothing to add. `local_from` is the time from which the
/// storage here has all there is, `None` when it has nothing; `external` are this server's labels. The rules are those of
/// Prometheus' `storage/remote/read.go`.
pub(crate) fn ask(
    config: &RemoteReadConfig,
    matchers: &[Matcher],
    range: TimeRange,
    local_from: Option<TimestampMs>,
    external: &Labels,
) -> Option<Ask> {
    let asks_for = |name: &str, value: &str| {
        matchers.iter().any(|it| it.op == MatchOp::Equal && it.name == name && it.value == value)
    };
    if !config.required.iter().all(|(name, value)| asks_for(name, value)) {
        return None;
    }
    let range = match local_from.filter(|_| !config.read_recent) {
        None => range,
        Some(from) if range.start_incl > from => return None,
        Some(from) => TimeRange { end_incl: range.end_incl.min(from), ..range },
    };
    let mut matchers = matchers.to_vec();
    let mut added = Vec::new();
    if config.filter_external_labels {
        for (name, value) in external.iter() {
            // A selection that names the label means it.
            if matchers.iter().all(|it| it.name != name) {
                matchers.push(Matcher::equal(name, value));
                added.push(name.to_owned());
            }
        }
    }
    Some(Ask { matchers, range, added, labels_only: false })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use swell_http_client::ClientOptions;

    use super::*;

    fn config() -> RemoteReadConfig {
        RemoteReadConfig {
            name: "far".to_owned(),
            url: "http://far/read".parse().expect("a URL"),
            client: ClientOptions::default(),
            timeout: Duration::from_secs(1),
            read_recent: false,
            required: Vec::new(),
            filter_external_labels: true,
            frame_bytes_max: 1000,
        }
    }

    const fn range(from: i64, to: i64) -> TimeRange {
        TimeRange { start_incl: TimestampMs(from), end_incl: TimestampMs(to) }
    }

    fn asked(config: &RemoteReadConfig, range: TimeRange, from: Option<i64>) -> Option<(i64, i64)> {
        let job = [Matcher::equal("job", "a")];
        let ask = ask(config, &job, range, from.map(TimestampMs), &Labels::empty())?;
        Some((ask.range.start_incl.0, ask.range.end_incl.0))
    }

    #[test]
    fn times_that_are_here_are_asked_for_only_if_wanted() {
        let usual = config();
        assert_eq!(asked(&usual, range(10, 20), None), Some((10, 20)));
        assert_eq!(asked(&usual, range(10, 20), Some(15)), Some((10, 15)));
        assert_eq!(asked(&usual, range(10, 20), Some(30)), Some((10, 20)));
        assert_eq!(asked(&usual, range(10, 20), Some(10)), Some((10, 10)));
        assert_eq!(asked(&usual, range(10, 20), Some(9)), None);
        let recent = RemoteReadConfig { read_recent: true, ..config() };
        assert_eq!(asked(&recent, range(10, 20), Some(9)), Some((10, 20)));
    }

    #[test]
    fn a_server_is_asked_for_what_it_is_there_for() {
        let required = vec![("job".to_owned(), "a".to_owned()), ("env".to_owned(), "x".to_owned())];
        let config = RemoteReadConfig { required, ..config() };
        let is_asked = |matchers: &[Matcher]| {
            ask(&config, matchers, range(0, 1), None, &Labels::empty()).is_some()
        };
        let (job, env) = (Matcher::equal("job", "a"), Matcher::equal("env", "x"));
        assert!(!is_asked(std::slice::from_ref(&job)));
        assert!(is_asked(&[env.clone(), job.clone(), Matcher::equal("other", "1")]));
        let pattern = Matcher::new("env", MatchOp::Regex, "x").expect("valid");
        assert!(!is_asked(&[job, pattern]), "a pattern that matches it is not the value");
        assert!(!is_asked(&[Matcher::equal("job", "b"), env]));
    }

    #[test]
    fn own_labels_are_asked_for_and_left_out_again() {
        let external = Labels::from_pairs([("cluster", "eu"), ("replica", "1")]);
        let all = [Matcher::equal("job", "a"), Matcher::equal("cluster", "us")];
        let shown = |config: &RemoteReadConfig| {
            let ask = ask(config, &all, range(0, 1), None, &external).expect("asked");
            let matchers: Vec<String> = ask.matchers.iter().map(ToString::to_string).collect();
            (matchers.join(", "), ask.added.join(", "))
        };
        let (matchers, added) = shown(&config());
        assert_eq!(matchers, r#"job="a", cluster="us", replica="1""#);
        assert_eq!(added, "replica");
        let plain = RemoteReadConfig { filter_external_labels: false, ..config() };
        assert_eq!(shown(&plain), (r#"job="a", cluster="us""#.to_owned(), String::new()));
    }
}
