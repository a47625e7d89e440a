//! Which format a reader likes best.

/// The formats of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AnswerFormat {
    /// The text format 0.0.4.
    Text,
    /// Messages, each behind its length.
    Protobuf,
}

/// The format that an `Accept` header likes best of those that there are, the first of several; text where it likes none.
/// As in Prometheus, `OpenMetrics` is none of them here.
pub(super) fn best(accept: &str) -> AnswerFormat {
    let mut best = (0.0, AnswerFormat::Text);
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
                AnswerFormat::Protobuf
            }
            "text/plain" if matches!(given("version"), "" | "0.0.4" | "1.0.0") => {
                AnswerFormat::Text
            }
            "text/*" | "*/*" => AnswerFormat::Text,
            _ => continue,
        };
        let weight = if given("q").is_empty() { 1.0 } else { given("q").parse().unwrap_or(0.0) };
        if weight > best.0 {
            best = (weight, format);
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROTOBUF: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited";

    fn check(accept: &str, expected: AnswerFormat) {
        assert_eq!(best(accept), expected, "{accept}");
    }

    #[test]
    fn the_dearest_that_there_is_counts() {
        check("", AnswerFormat::Text);
        check("*/*", AnswerFormat::Text);
        check("application/json", AnswerFormat::Text);
        check(PROTOBUF, AnswerFormat::Protobuf);
        // What scrapers with and without native histograms send.
        let text = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
                    text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
        check(text, AnswerFormat::Text);
        check(&format!("{PROTOBUF};q=0.7,{text}"), AnswerFormat::Protobuf);
        check(&format!("{PROTOBUF};q=0.1,{text}"), AnswerFormat::Text);
        check(&format!("{PROTOBUF};q=0.2,*/*;q=0.2"), AnswerFormat::Protobuf);
        check(&format!("{PROTOBUF};q=wrong,{text}"), AnswerFormat::Text);
        // Other encodings of it are not written.
        check(&PROTOBUF.replace("delimited", "text"), AnswerFormat::Text);
    }
}
