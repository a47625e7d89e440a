//! Which format of an exposition a reader likes best.

/// The formats in which metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpositionFormat {
    /// The text format 0.0.4.
    Text,
    /// `OpenMetrics` 1.0.0.
    OpenMetrics,
    /// Messages, each behind its length.
    Protobuf,
}

impl ExpositionFormat {
    /// The `Content-Type` of a body.
    #[must_use]
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    /// The format that an `Accept` header likes best of those that are offered, the first of several; text where it likes
    /// none.
    #[must_use]
    pub fn best(accept: &str, offered: &[Self]) -> Self {
        let mut best = (0.0, Self::Text);
        for range in accept.split(',') {
            let mut parts = range.split(';').map(str::trim);
            let media_type = parts.next().unwrap_or_default().to_ascii_lowercase();
            let parameters: Vec<(&str, &str)> = parts
                .filter_map(|part| part.split_once('='))
                .map(|(name, value)| (name.trim(), value.trim().trim_matches('"')))
                .collect();
            let given = |name: &str| {
                let found = parameters.iter().find(|(given, _)| given.eq_ignore_ascii_case(name));
                found.map_or("", |(_, value)| *value)
            };
            let format = match media_type.as_str() {
                "application/vnd.google.protobuf"
                    if given("proto") == "io.prometheus.client.MetricFamily"
                        && given("encoding") == "delimited" =>
                {
                    Self::Protobuf
                }
                "application/openmetrics-text" if matches!(given("version"), "" | "1.0.0") => {
                    Self::OpenMetrics
                }
                "text/plain" if matches!(given("version"), "" | "0.0.4" | "1.0.0") => Self::Text,
                "text/*" | "*/*" => Self::Text,
                _ => continue,
            };
            if !offered.contains(&format) {
                continue;
            }
            let weight =
                if given("q").is_empty() { 1.0 } else { given("q").parse().unwrap_or(0.0) };
            if weight > best.0 {
                best = (weight, format);
            }
        }
        best.1
    }
}

#[cfg(test)]
mod tests {
    use super::ExpositionFormat::{OpenMetrics, Protobuf, Text};
    use super::*;

    const PROTOBUF: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";
    /// What scrapers send that want no native histograms.
    const TEXTS: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                         text/plain;version=0.0.4;q=0.3,*/*;q=0.2";

    #[track_caller]
    fn check(accept: &str, offered: &[ExpositionFormat], expected: ExpositionFormat) {
        assert_eq!(ExpositionFormat::best(accept, offered), expected, "{accept}");
    }

    #[test]
    fn the_dearest_that_there_is_counts() {
        let offered = [Text, Protobuf];
        check("", &offered, Text);
        check("*/*", &offered, Text);
        check("application/json", &offered, Text);
        check(PROTOBUF, &offered, Protobuf);
        check(TEXTS, &offered, Text);
        check(&format!("{PROTOBUF};q=0.7,{TEXTS}"), &offered, Protobuf);
        check(&format!("{PROTOBUF};q=0.1,{TEXTS}"), &offered, Text);
        check(&format!("{PROTOBUF};q=0.2,*/*;q=0.2"), &offered, Protobuf);
        check(&format!("{PROTOBUF};q=wrong,{TEXTS}"), &offered, Text);
        // Other encodings of it are not written.
        check(&PROTOBUF.replace("delimited", "text"), &offered, Text);
    }

    #[test]
    fn openmetrics_is_given_where_it_is_offered() {
        let offered = [Text, OpenMetrics, Protobuf];
        check(TEXTS, &offered, OpenMetrics);
        check(&format!("{PROTOBUF};q=0.7,{TEXTS}"), &offered, Protobuf);
        check("application/openmetrics-text", &offered, OpenMetrics);
        // Only 1.0.0 is written.
        check("application/openmetrics-text;version=0.0.1", &offered, Text);
        check("text/html,application/xhtml+xml,*/*;q=0.8", &offered, Text);
    }
}
