//! `POST /api/v1/otlp/v1/metrics`.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use swell_http::plain_text;
use swell_otlp::Encoding;

use super::{Content, OtlpReceiver, told_refused};
use crate::failure::Failure;
use crate::metrics::Way;

/// How the body is written. As in Prometheus the type must be just one of the two, without parameters.
fn content_of(headers: &HeaderMap) -> Result<Content, String> {
    let shown = |name| {
        let value = headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()));
        value.unwrap_or_default().into_owned()
    };
    let content_type = shown(header::CONTENT_TYPE);
    let encoding = match content_type.as_str() {
        "application/x-protobuf" => Encoding::Protobuf,
        "application/json" => Encoding::Json,
        other => {
            return Err(format!(
                "unsupported content type: {other}, supported: [application/json, application/x-protobuf]"
            ));
        }
    };
    match shown(header::CONTENT_ENCODING).as_str() {
        "" => Ok(Content { encoding, is_gzip: false }),
        "gzip" => Ok(Content { encoding, is_gzip: true }),
        other => Err(format!(
            "unsupported compression: {other}. Only \"gzip\" or no compression supported"
        )),
    }
}

pub(super) async fn export(State(state): State<Arc<OtlpReceiver>>, request: Request) -> Response {
    if !state.config.is_enabled {
        let text = "the OTLP receiver is off: start the server with --web.enable-otlp-receiver, or set \
                    swell.otlp_receiver.enabled";
        return plain_text(StatusCode::NOT_FOUND, text);
    }
    let (parts, body) = request.into_parts();
    if parts.headers.contains_key(header::ORIGIN) {
        // A page in somebody's browser, and this changes state.
        return plain_text(StatusCode::FORBIDDEN, "samples are not taken from web pages");
    }
    let content = match content_of(&parts.headers) {
        Ok(content) => content,
        Err(text) => return plain_text(StatusCode::BAD_REQUEST, text),
    };
    let receiver = state.clone();
    let outcome = async {
        let body = state.intake.take(body).await?;
        state.intake.work(body, move |bytes| receiver.store(bytes, content)).await?
    };
    let outcome = outcome.await;
    state.note(Way::OtlpHttp, &outcome);
    match outcome {
        Ok(stored) if stored.refused.is_empty() => StatusCode::OK.into_response(),
        Ok(stored) => plain_text(StatusCode::BAD_REQUEST, told_refused(&stored)),
        Err(Failure { code, text }) => plain_text(code, text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content_type: &str, encoding: &str, expected: Result<bool, &str>) {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [(header::CONTENT_TYPE, content_type), (header::CONTENT_ENCODING, encoding)]
        {
            headers.insert(name, value.parse().expect("a header value"));
        }
        let found = content_of(&headers).map(|content| content.is_gzip);
        match expected {
            Ok(is_gzip) => assert_eq!(found, Ok(is_gzip)),
            Err(part) => assert!(found.as_ref().is_err_and(|it| it.contains(part)), "{found:?}"),
        }
    }

    #[test]
    fn only_the_two_types_are_read() {
        check("application/x-protobuf", "", Ok(false));
        check("application/json", "gzip", Ok(true));
        check("", "", Err("unsupported content type: , supported"));
        check("application/json; charset=utf-8", "", Err("unsupported content type"));
        check("application/x-protobuf", "snappy", Err("unsupported compression: snappy"));
    }
}
