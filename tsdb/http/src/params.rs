//! Parameters of a request, from the query string and, for POST, the form in the body.

use std::collections::BTreeMap;

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use jiff::Timestamp;
use swell_model::{DurationMs, Matcher, TimeRange, TimestampMs};

use crate::error::ApiError;
use crate::turns::Client;

/// Bytes of a form: a query may have a megabyte of text.
const FORM_BYTES_MAX: usize = 4 << 20;

const FORM: &str = "application/x-www-form-urlencoded";

/// What Prometheus' clients send for the first and the last time there is. RFC 3339 has no years of more than four digits, so
/// these are known as texts.
const TIME_BOUNDS: [(&str, TimestampMs); 2] = [
    ("-292273086-05-16T16:47:06Z", TimestampMs(-9_223_309_901_257_974_000)),
    ("292277025-08-18T07:12:54.999999999Z", TimestampMs(9_223_309_901_257_974_999)),
];

/// All parameters by name, values of the form before those of the address, each in the order given, and who gives them.
#[derive(Debug, Default)]
pub(crate) struct Params {
    by_name: BTreeMap<String, Vec<String>>,
    client: Client,
}

impl Params {
    /// Who asks.
    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    /// Decodes `a=1&b=2`.
    fn add_encoded(&mut self, text: &str) {
        for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
            self.by_name.entry(name.into_owned()).or_default().push(value.into_owned());
        }
    }

    /// First value of a parameter; an empty one counts as absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.by_name.get(name)?.first().map(String::as_str).filter(|value| !value.is_empty())
    }

    /// All values of a repeated parameter.
    pub(crate) fn all(&self, name: &str) -> &[String] {
        self.by_name.get(name).map_or(&[], Vec::as_slice)
    }

    /// A parameter that must be there.
    pub(crate) fn required(&self, name: &'static str) -> Result<&str, ApiError> {
        self.get(name).ok_or_else(|| {
            ApiError::bad_param(
                name,
                match name {
                    "query" => {
                        "unknown position: parse error: no expression found in input".to_owned()
                    }
                    "step" => "cannot parse \"\" to a valid duration".to_owned(),
                    "label" => "it names the label whose values are searched".to_owned(),
                    "start" | "end" => "cannot parse \"\" to a valid timestamp".to_owned(),
                    _ => "it is required".to_owned(),
                },
            )
        })
    }

    /// A time, or `default` when absent.
    pub(crate) fn time(
        &self,
        name: &'static str,
        default: TimestampMs,
    ) -> Result<TimestampMs, ApiError> {
        self.get(name).map_or(Ok(default), |text| {
            parse_time(text).ok_or_else(|| {
                ApiError::bad_param(name, format!("cannot parse {text:?} to a valid timestamp"))
            })
        })
    }

    /// A duration, if given.
    pub(crate) fn duration(&self, name: &'static str) -> Result<Option<DurationMs>, ApiError> {
        self.get(name)
            .map(|text| {
                parse_duration(text).ok_or_else(|| {
                    ApiError::bad_param(name, format!("cannot parse {text:?} to a valid duration"))
                })
            })
            .transpose()
    }

    /// A truth, as Go's `strconv.ParseBool` reads it; `default` when absent.
    pub(crate) fn flag(&self, name: &'static str, default: bool) -> Result<bool, ApiError> {
        match self.get(name) {
            None => Ok(default),
            Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
            Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
            Some(text) => {
                Err(ApiError::bad_param(name, format!("{text:?} is neither true nor false")))
            }
        }
    }

    /// A whole number ≥ 0, if given; 0 is none.
    pub(crate) fn limit(&self, name: &'static str) -> Result<Option<usize>, ApiError> {
        let Some(text) = self.get(name) else { return Ok(None) };
        let limit: usize = text
            .parse()
            .map_err(|_| ApiError::bad_param(name, format!("{text:?} is not a number ≥ 0")))?;
        Ok((limit > 0).then_some(limit))
    }

    /// `start` and `end`, all of time where they are absent.
    pub(crate) fn range(&self) -> Result<TimeRange, ApiError> {
        self.range_if_any()?.ok_or_else(|| {
            let told = "end timestamp must not be before start time".to_owned();
            ApiError::bad_param("end", told)
        })
    }

    /// The same; none where it ends before it begins, for lists that have nothing then.
    pub(crate) fn range_if_any(&self) -> Result<Option<TimeRange>, ApiError> {
        let start_incl = self.time("start", TimestampMs::MIN)?;
        let end_incl = self.time("end", TimestampMs::MAX)?;
        Ok((start_incl <= end_incl).then_some(TimeRange { start_incl, end_incl }))
    }

    /// Selectors of `match[]`: each needs one matcher that does not match the empty text.
    pub(crate) fn selectors(&self) -> Result<Vec<Vec<Matcher>>, ApiError> {
        let selectors = self.any_selectors()?;
        if selectors.iter().any(|matchers| matchers.iter().all(Matcher::matches_empty)) {
            let told = "match[] must contain at least one non-empty matcher".to_owned();
            return Err(ApiError::bad_param("match[]", told));
        }
        Ok(selectors)
    }

    /// Selectors of `match[]`, also those that match all series.
    pub(crate) fn any_selectors(&self) -> Result<Vec<Vec<Matcher>>, ApiError> {
        self.all("match[]")
            .iter()
            .map(|text| match swell_promql_syntax::parse_any_selector(text) {
                Ok(selector) => Ok(selector.matchers),
                Err(error) => Err(ApiError::bad_param("match[]", error.to_string())),
            })
            .collect()
    }
}

impl<S: Send + Sync> FromRequest<S> for Params {
    type Rejection = Response;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Response> {
        let client = Client::of(request.extensions());
        let mut params = Self { client, ..Self::default() };
        let query = request.uri().query().map(str::to_owned);
        let has_body = [Method::POST, Method::PUT].contains(request.method());
        if has_body && is_form(request.headers()) {
            let body = axum::body::to_bytes(request.into_body(), FORM_BYTES_MAX)
                .await
                .map_err(|error| unread_form(&error).into_response())?;
            let text = std::str::from_utf8(&body)
                .map_err(|_| ApiError::bad_data("the form is no UTF-8").into_response())?;
            params.add_encoded(text);
        }
        // Behind the form, which wins where both name a parameter, as with Go.
        params.add_encoded(query.as_deref().unwrap_or_default());
        Ok(params)
    }
}

/// Whether the body is a form, or may be one: other bodies are no parameters and are not read.
fn is_form(headers: &HeaderMap) -> bool {
    let media_type = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = media_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    media_type.is_empty() || media_type.eq_ignore_ascii_case(FORM)
}

/// A form that is too large, or whose sender went away.
fn unread_form(error: &axum::Error) -> ApiError {
    let told = swell_telemetry::chain(error);
    if told.contains("length limit") {
        return ApiError::bad_data(format!("the form has more than {FORM_BYTES_MAX} bytes"))
            .with_code(StatusCode::PAYLOAD_TOO_LARGE);
    }
    ApiError::bad_data(format!("the form cannot be read: {told}"))
}

/// RFC 3339, or Unix seconds as a decimal number, rounded to milliseconds.
pub(crate) fn parse_time(text: &str) -> Option<TimestampMs> {
    if let Ok(seconds) = text.parse::<f64>() {
        return millis(seconds).map(TimestampMs);
    }
    if let Some((_, bound)) = TIME_BOUNDS.iter().find(|(told, _)| *told == text) {
        return Some(*bound);
    }
    let time: Timestamp = text.parse().ok()?;
    Some(TimestampMs(time.as_millisecond()))
}

/// Seconds as a decimal number, or a Prometheus duration.
fn parse_duration(text: &str) -> Option<DurationMs> {
    if let Ok(seconds) = text.parse::<f64>() {
        return millis(seconds).map(DurationMs);
    }
    DurationMs::parse_prometheus(text).ok()
}

#[expect(clippy::cast_possible_truncation, reason = "the range is checked before")]
fn millis(seconds: f64) -> Option<i64> {
    let millis = (seconds * 1000.0).round();
    (millis.abs() < 9.2e18).then_some(millis as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_or_rfc_3339() {
        for (text, expected) in [
            ("1435781451.781", Some(1_435_781_451_781)),
            ("0", Some(0)),
            ("-1.5", Some(-1500)),
            ("2015-07-01T20:10:51.781Z", Some(1_435_781_451_781)),
            ("2015-07-01T22:10:51.781+02:00", Some(1_435_781_451_781)),
            ("yesterday", None),
            ("NaN", None),
            ("1e300", None),
            ("-292273086-05-16T16:47:06Z", Some(-9_223_309_901_257_974_000)),
            ("292277025-08-18T07:12:54.999999999Z", Some(9_223_309_901_257_974_999)),
        ] {
            assert_eq!(parse_time(text), expected.map(TimestampMs), "{text}");
        }
    }

    #[test]
    fn durations_are_seconds_or_prometheus_own() {
        for (text, expected) in
            [("15", Some(15_000)), ("0.5", Some(500)), ("1m30s", Some(90_000)), ("1x", None)]
        {
            assert_eq!(parse_duration(text), expected.map(DurationMs), "{text}");
        }
    }
}
